"""Text files as people bring them, read alike by sources and benchmarks: JSON, JSON lines, and tables with a header.

All are UTF-8, with or without a byte order mark. A line ends at a line feed only: U+2028 and its like are text.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from udfs.errors import DualsetError

_MAX_FIELD = 16_000_000  # characters; a longer one is a quote that was never closed
_WIDE = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
TableRow = dict[str, str]


class TextFileError(DualsetError, ValueError):
    """A text file cannot be read; the message names it and the line."""


def open_lines(stream: IO[bytes], file: str, errors: str = "strict") -> IO[str]:
    """``stream`` as text with line ends kept; ``errors`` says what becomes of bytes that are not UTF-8, as for ``open``.

    Raises:
        TextFileError: the file is UTF-16 or UTF-32 by its first bytes.
    """
    begin = stream.read(4)
    stream.seek(0)
    if name := wide_encoding(begin):
        raise TextFileError(f"{file} is {name}, and UTF-8 is needed: convert it, as with iconv -f {name} -t UTF-8")
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline="\n")


def wide_encoding(begin: bytes) -> str | None:
    """UTF-16 or UTF-32, if the first four bytes of a file say so: by their mark, or by zeros beside ASCII letters."""
    if name := next((name for mark, name in _WIDE.items() if begin.startswith(mark)), None):
        return name
    zeros = [byte == 0 for byte in begin[:4]]
    if zeros == [False, True, False, True]:
        return "UTF-16LE"
    return "UTF-16BE" if zeros == [True, False, True, False] else None


def load_json(data: bytes, file: str) -> Any:
    """A whole JSON file.

    Raises:
        TextFileError: it is not JSON in UTF-8.
    """
    if name := wide_encoding(data[:4]):
        raise TextFileError(f"{file} is not JSON in UTF-8 but {name}: convert it, as with iconv -f {name} -t UTF-8")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as problem:
        raise TextFileError(f"{file} is not JSON: {problem}") from None


def json_lines(lines: Iterable[str], file: str) -> Iterator[tuple[int, Any]]:
    """Number and value of each line that is not blank.

    Raises:
        TextFileError: a line is not JSON.
    """
    for number, text in enumerate(lines, start=1):
        if text.strip():
            try:
                yield number, json.loads(text)
            except (ValueError, RecursionError) as problem:
                raise TextFileError(f"{file}: line {number} is not JSON: {problem}") from None


def table_rows(
    lines: IO[str], file: str, columns: Sequence[str], delimiter: str = ",", quoting: str | None = None
) -> Iterator[tuple[int, TableRow]]:
    """Number (of its last line) and fields, by column, of each row of a CSV or TSV file that is not blank.

    Args:
        lines: the file, which can be read from its start again.
        file: its name in messages.
        columns: what its first line must name.
        delimiter: one character.
        quoting: ``csv``: a field may stand in quotation marks, and then hold delimiters and line ends. ``none``: quotation marks
            are text. None: as ``csv``, but if the delimiter is a tab and each line alone has as many fields as the first, each is
            a row: there a quotation mark that begins or ends a caption is text, unless it encloses the whole field.

    Raises:
        TextFileError: a column is missing, a row has too many or too few fields, or a quotation mark is not closed.
    """
    guessed = quoting is None and delimiter == "\t"
    alone = quoting == "none" or (guessed and _is_row_a_line(lines, delimiter))
    rows = _single_lines(lines, delimiter, quoting != "none") if alone else _csv(lines, file, delimiter)
    _, names = next(rows, (0, []))
    header = [name.strip() for name in names]
    if not header:
        raise TextFileError(f"{file} is empty: its first line must name the columns")
    for name in columns:
        if name not in header:
            raise TextFileError(f"{file} has no column {name!r}; it has {', '.join(header)}")
    for number, fields in rows:
        if len(fields) != len(header):
            raise TextFileError(f"{file}: line {number} has {len(fields)} fields where the header has {len(header)}")
        if guessed and not alone and any("\n" in field and delimiter in field for field in fields):
            raise TextFileError(f"{file}: line {number} ends a quotation that holds tabs and line ends, perhaps other rows")
        yield number, dict(zip(header, fields, strict=True))


def _is_row_a_line(lines: IO[str], delimiter: str) -> bool:
    counts = {text.count(delimiter) for text in lines if text.strip("\r\n")}
    lines.seek(0)
    return len(counts) <= 1


def _single_lines(lines: IO[str], delimiter: str, unquoted: bool) -> Iterator[tuple[int, list[str]]]:
    for number, text in enumerate(lines, start=1):
        if line := text.rstrip("\r\n"):
            fields = line.split(delimiter)
            yield number, [_unquote(field) for field in fields] if unquoted else fields


def _unquote(field: str) -> str:
    return field[1:-1].replace('""', '"') if _QUOTED.fullmatch(field) else field


def _csv(lines: IO[str], file: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_MAX_FIELD)
    # strict: a stray quote would otherwise swallow the rows up to the next one.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as problem:
        raise TextFileError(f"{file}: line {reader.line_num}: {problem}") from None
