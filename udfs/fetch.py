"""Opens the bytes behind a record's locator, inside a worker."""

import re
import unicodedata
from typing import IO, Any, cast

import fsspec


class FetchError(OSError):
    """One image's bytes cannot be had. ``status`` is missing_file, unreadable_file, file_too_large,
    empty_file or unsafe_path.
    """

    def __init__(self, status: str, error: str) -> None:
        """``status`` is the reason code; ``error`` says more."""
        super().__init__(f"{status}: {error}")
        self.status = status
        self.error = error


def fetch(locator: dict[str, Any] | None, max_bytes: int) -> bytes:
    """Read a whole file, or ``length`` bytes at ``offset`` of one (a tar's member). Sizes are checked before
    anything is read.

    Args:
        locator: ``{"path", "offset", "length", "member"}`` as ``jobs.sources`` makes them; the path is local
            or an fsspec URI. Rows of
            Parquet files (an offset without a length) are not read here but joined
            (``jobs.sources.parquet.bytes_of``).
        max_bytes: the most that is read.

    Raises:
        FetchError: with the status that the record gets.
    """
    if locator is None or not locator.get("path") or _is_unsafe(locator["path"]):
        raise FetchError("unsafe_path", "the record names no file that may be opened")
    path, offset, length = locator["path"], locator.get("offset"), locator.get("length")
    if offset is not None and length is None:
        raise FetchError("unreadable_file", f"{path} is a row of a Parquet file, which is joined and not opened")
    try:
        fs, inner = fsspec.core.url_to_fs(path)
        if offset is None:
            info = fs.info(inner)
            if info["type"] != "file":
                raise FetchError("unreadable_file", f"{path} is no file")
            length = info.get("size")  # None from some web servers
        if length == 0:
            raise FetchError("empty_file", f"{path} has no bytes")
        if length is not None and length > max_bytes:
            raise FetchError("file_too_large", f"{length} bytes, more than {max_bytes}")
        # Not fsspec.open: it takes [ and * in a file's name for a pattern.
        with cast(IO[bytes], fs.open(inner, "rb")) as file:
            if offset is not None:
                file.seek(offset)
            data = file.read(max_bytes + 1 if length is None else length)
    except FetchError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise FetchError("missing_file", f"{path} does not exist") from None
    except (
        OSError,
        ValueError,
        ImportError,
    ) as problem:  # no permission, a protocol that is unknown or not installed
        raise FetchError("unreadable_file", f"{path}: {problem}") from None
    if not data:
        raise FetchError("empty_file", f"{path} has no bytes")
    if len(data) > max_bytes:
        raise FetchError("file_too_large", f"more than {max_bytes} bytes")
    if length is not None and len(data) < length:
        raise FetchError("unreadable_file", f"{path} ends after {len(data)} of {length} bytes")
    return data


def _is_unsafe(path: str) -> bool:
    """A second look at what ``jobs.sources.paths.locate`` lets through: no way up, no chain of file
    systems, no control characters or lone surrogates.
    """
    bad = any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path)
    return bad or "::" in path or ".." in re.split(r"[/\\]", path)
