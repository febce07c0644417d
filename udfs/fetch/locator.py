"""Where the bytes of a record's image are, and how a worker reads them."""

import re
import unicodedata
from typing import IO, TypedDict, cast

from udfs.errors import DualsetError
from udfs.files import file_errors, file_system


class Locator(TypedDict):
    """The place of an image's bytes, as ``jobs.sources`` writes it; ``path`` is a local path or an fsspec URI.

    A whole file has neither offset nor length; a member of a tar has both, in bytes. For a row of a Parquet file ``offset`` is
    the number of the row and ``length`` is None. ``member`` is the tar member's name, or the Parquet column.
    """

    path: str
    offset: int | None
    length: int | None
    member: str | None


class FetchError(DualsetError, OSError):
    """The bytes of an image cannot be read.

    ``status`` is missing_file, unreadable_file, file_too_large, empty_file or unsafe_path; ``error`` says more.
    """

    def __init__(self, status: str, error: str) -> None:
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error


def read_bytes(locator: Locator | None, max_bytes: int) -> bytes:
    """Read a whole file, or ``length`` bytes at ``offset`` of a file. Sizes are checked before anything is read.

    Rows of Parquet files are refused: their bytes come by a join (``jobs.sources.parquet.bytes_of``).

    Args:
        locator: None where the record names no file.
        max_bytes: the most that is read.

    Raises:
        FetchError: with the status that the record gets.
    """
    if locator is None or not locator.get("path") or _is_unsafe(locator["path"]):
        raise FetchError("unsafe_path", "the record names no file that may be opened")
    path, offset, length = locator["path"], locator.get("offset"), locator.get("length")
    # Spark gives whole numbers as floats where other rows of the batch, of whole files, have none.
    offset, length = (None if number is None else int(number) for number in (offset, length))
    if offset is not None and length is None:
        raise FetchError("unreadable_file", f"{path} is a row of a Parquet file, which is joined and not opened")
    try:
        fs, inner = file_system(path)
        if offset is None:
            info = fs.info(inner)
            if info["type"] != "file":
                raise FetchError("unreadable_file", f"{path} is no file")
            length = info.get("size")  # None from some web servers
        if length == 0:
            raise FetchError("empty_file", f"{path} has no bytes")
        if length is not None and length > max_bytes:
            raise FetchError("file_too_large", f"{length} bytes, more than {max_bytes}")
        # Not fsspec.open, which reads [ and * in a file's name as a pattern.
        with cast(IO[bytes], fs.open(inner, "rb")) as file:
            if offset is not None:
                file.seek(offset)
            data = file.read(max_bytes + 1 if length is None else length)
    except FetchError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        hint = "; a \\ is part of a name here, and parts no folders" if "\\" in path else ""
        raise FetchError("missing_file", f"{path} does not exist{hint}") from None
    except file_errors(ValueError, ImportError) as problem:  # no permission; a protocol that is unknown or not installed
        raise FetchError("unreadable_file", f"{path}: {problem}") from None
    if not data:
        raise FetchError("empty_file", f"{path} has no bytes")
    if len(data) > max_bytes:
        raise FetchError("file_too_large", f"more than {max_bytes} bytes")
    if length is not None and len(data) < length:
        raise FetchError("unreadable_file", f"{path} ends after {len(data)} of {length} bytes")
    return data


def _is_unsafe(path: str) -> bool:
    """A second check after ``jobs.sources.paths.locate``: no way up, no chain of file systems, no control character."""
    unprintable = any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
    return unprintable or "::" in path or ".." in re.split(r"[/\\]", path)
