"""Parquet files whose rows hold images: what can be read of one, and why a row could not be.

Spark reads the bytes, by a join. This reads footers only, to keep missing, damaged or rewritten files out of that join.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from udfs.fetch.locator import FetchError, Locator
from udfs.files import file_errors, file_system

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData


def steps_to(path: str, member: str) -> list[str]:
    """The names that lead to the column of bytes ``member`` in a Parquet file: a column, or a struct and its field.

    ``member`` joins them with dots, and a name may itself have dots.

    Args:
        path: the file, as a URI of Spark's (with %20 in it).
        member: as in a locator.

    Raises:
        FetchError: the file is gone, no Parquet file, damaged at its end, or has no such column of bytes.
        ImportError: fsspec has no driver for the file system, which Spark may still read.
    """
    return _steps(_footer(path), path, member)


def why_lost(locator: Locator) -> FetchError:
    """Why Spark did not find a locator's row; opens the file and reads its end."""
    path, row = locator["path"], locator["offset"] or 0
    try:
        footer = _footer(path)
        _steps(footer, path, locator["member"] or "")
    except FetchError as problem:
        return problem
    except ImportError as problem:
        return FetchError("unreadable_file", f"{path} has no row {row} that can be read: {problem}")
    if row >= footer.num_rows:
        return FetchError("missing_file", f"{path} has no row {row} any more: it has {footer.num_rows} rows")
    return FetchError("unreadable_file", f"{path} is damaged: its row {row} of {footer.num_rows} cannot be read")


def split_name(names: Sequence[str], member: str) -> list[str]:
    """``member`` as a name of ``names`` (the longest that fits) and the fields below it; without one, all its parts."""
    fits = [name for name in names if f"{member.lower()}.".startswith(f"{name.lower()}.")]
    if not fits:
        return member.split(".")
    first = max(fits, key=len)
    return [first, *member[len(first) + 1 :].split(".")] if len(member) > len(first) else [first]


def _footer(path: str) -> "FileMetaData":
    import pyarrow
    from pyarrow import parquet

    try:
        files, name = file_system(unquote(path))
        if files.tail(name, 4) != b"PAR1":
            raise FetchError("missing_file", f"{path} is no Parquet file any more")
        with files.open(name, "rb") as stream:
            return parquet.read_metadata(stream)
    except FetchError:
        raise
    except FileNotFoundError:
        raise FetchError("missing_file", f"{path} does not exist") from None
    except file_errors(ValueError, pyarrow.ArrowException) as problem:
        raise FetchError("unreadable_file", f"{path} is damaged or cannot be read: {problem}") from None


def _steps(footer: "FileMetaData", path: str, member: str) -> list[str]:
    leaves = [footer.schema.column(index) for index in range(len(footer.schema))]
    kinds = {leaf.path.lower(): leaf.physical_type for leaf in leaves}
    if kinds.get(member.lower()) not in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
        raise FetchError("missing_file", f"{path} has no column {member!r} of bytes any more")
    return split_name(footer.schema.to_arrow_schema().names, member)
