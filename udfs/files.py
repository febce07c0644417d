"""Files on a disk or in an object store: how to reach them, and writing them whole or not at all."""

import os
import sys
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a local file (text as UTF-8), and make its folder; a reader sees the old file, the new one, or none.

    The temporary name holds the process id, so that two writers of the same file do not meet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    partial.replace(path)


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or address, and the path in it.

    It keeps no listings: Spark, or another machine, may have written into a folder since it was last looked at.

    Raises:
        ImportError: the driver of this kind of address is not installed.
        ValueError: fsspec knows no such kind of address.
    """
    import fsspec

    return fsspec.core.url_to_fs(url, use_listings_cache=False)


def file_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What reading and writing files raises, to be caught: OSError, those of S3's driver (no key, no route), and ``more``."""
    library = sys.modules.get("botocore.exceptions")  # loaded with the driver
    return (OSError, *more, library.BotoCoreError) if library else (OSError, *more)


def mark(url: str) -> None:
    """Leave an empty file on any file system, in a folder that exists."""
    files, name = file_system(url)
    files.pipe_file(name, b"")


def read_text(url: str) -> str:
    """A small text file on any file system; bytes that are no UTF-8 become question marks."""
    files, name = file_system(url)
    return files.cat_file(name).decode(errors="replace")


def present(url: str) -> bool:
    """Whether there is a file or folder of this name on any file system."""
    files, name = file_system(url)
    return files.exists(name)


def listed(folder: str) -> list[str]:
    """The names in a folder on any file system; none if it does not exist."""
    files, name = file_system(folder)
    return [entry.rstrip("/").rpartition("/")[2] for entry in files.ls(name, detail=False)] if files.exists(name) else []


def make_folder(url: str) -> None:
    """Make a folder and its parents on any file system; object stores have none to make."""
    files, name = file_system(url)
    files.makedirs(name, exist_ok=True)


def put_whole(url: str, data: bytes) -> None:
    """Write a file on any file system of fsspec, first as ``url`` plus ``.part``. Its folder must exist."""
    files, name = file_system(url)
    files.pipe_file(f"{name}.part", data)
    files.mv(f"{name}.part", name)
