"""Files that are written whole or not at all: under a temporary name first, then renamed."""

import os
from pathlib import Path


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a local file (text as UTF-8), and make its folder; a reader sees the old file, the new one, or none.

    The temporary name holds the process id, so that two writers of the same file do not meet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    partial.replace(path)


def put_whole(url: str, data: bytes) -> None:
    """Write a file on any file system of fsspec, first as ``url`` plus ``.part``. Its folder must exist."""
    import fsspec

    files, name = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{name}.part", data)
    files.mv(f"{name}.part", name)
