"""A folder of images and a table: CSV, TSV or JSON lines, a row a caption, several rows an image.

Columns ``split``, ``license`` and ``caption_id`` are read if the table has them. Images that no row names become no records.
"""

import re
from collections.abc import Iterator
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.gather import Line, gather_files
from jobs.sources.paths import open_text, require
from jobs.sources.record import Origin, SourceError
from udfs.text_files import TextFileError, json_lines, table_rows

OPTIONS = {
    "images": "folder of the images (required)",
    "captions": "table: .csv, .tsv or .jsonl (required)",
    "file_column": "column of the file name (file)",
    "caption_column": "column of the caption; in JSON lines also a list of captions (caption)",
    "delimiter": "of a CSV (a comma; a tab for .tsv)",
    "quoting": "csv: fields may stand in quotation marks; none: those are text (csv; in a TSV what each line fits)",
}
REQUIRED = ("images", "captions")
PATHS = ("images", "captions")
_JSON_LINES = (".jsonl", ".ndjson")
_QUOTES = re.compile(r"line \d+: |quotation")  # errors that a quotation mark may have made


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of a table; ``source_key`` is the file name as in the table, or table and line (``table.csv:17``) without one."""
    images = require(options["images"], "the images folder")
    captions = require(options["captions"], "the table")
    delimiter = options.get("delimiter", ",").replace("\\t", "\t")  # as typed in a shell
    if len(delimiter) != 1:
        raise SourceError(f"the delimiter must be one character, not {delimiter!r}")
    if "delimiter" in options:
        options = options | {"delimiter": delimiter}
    if options.get("quoting", "csv") not in ("csv", "none"):
        raise SourceError(f"quoting must be csv or none, not {options['quoting']!r}")
    return gather_files(spark, [captions], lambda file: parse(file, options, origin), images, origin)


def parse(file: str, options: dict[str, str], origin: Origin | None = None) -> Iterator[tuple[int, Line]]:
    """Yield ``(row number, Line)``; rows that take several lines, as a stray quotation mark would, are counted and told.

    Raises:
        SourceError: a column is missing, a row has too many or too few fields, a quote is not closed, or a line is not JSON.
    """
    long_rows, first = 0, ""
    try:
        for number, line in _lines(file, options):
            yield number, line
            if not file.endswith(_JSON_LINES) and any("\n" in (text or "") for _, text in line.captions):
                long_rows, first = long_rows + 1, first or f"the one that ends in line {number} of {file}"
    except TextFileError as problem:
        hint = "; if quotation marks are text in this file, give --quoting none" if _QUOTES.search(str(problem)) else ""
        raise SourceError(f"{problem}{hint}") from None
    if origin:
        origin.tell(
            file, "captions in quotation marks go on over several lines (if those are text: --quoting none)", long_rows, first
        )


def _lines(file: str, options: dict[str, str]) -> Iterator[tuple[int, Line]]:
    name_column, caption_column = options.get("file_column", "file"), options.get("caption_column", "caption")
    for number, row in _rows(file, options, (name_column, caption_column)):
        if not isinstance(row, dict):
            raise SourceError(f"{file}: line {number} must be a JSON object, not a {type(row).__name__}")
        for column in (name_column, caption_column):
            if column not in row:
                known = ", ".join(str(name) for name in row)
                raise SourceError(f"{file}: line {number} has no column {column!r}; it has {known}")
        name, caption = row[name_column], row[caption_column]
        captions = caption if isinstance(caption, list) else [caption]
        if not isinstance(name, str) or not all(text is None or isinstance(text, str) for text in captions):
            raise SourceError(f"{file}: line {number}: {name_column!r} and {caption_column!r} must be text")
        caption_id = _text(row.get("caption_id"))
        yield (
            number,
            Line(
                # Each row without a file name is a record of its own, with status unsafe_path.
                name if name.strip() else f"{file.rpartition('/')[2]}:{number}",
                name,
                # One id cannot name several captions.
                [(caption_id if len(captions) == 1 else None, text) for text in captions],
                _text(row.get("split")),
                _text(row.get("license")),
            ),
        )


def _rows(file: str, options: dict[str, str], columns: tuple[str, str]) -> Iterator[tuple[int, Any]]:
    with open_text(file) as lines:
        if file.endswith(_JSON_LINES):
            yield from json_lines(lines, file)
        else:
            delimiter = options.get("delimiter", "\t" if file.endswith(".tsv") else ",")
            yield from table_rows(lines, file, columns, delimiter, options.get("quoting"))


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
