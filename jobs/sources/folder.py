"""A folder of images with a table beside it: CSV, TSV or JSON lines, a row a caption, several rows an image.

Columns ``split``, ``license`` and ``caption_id`` are taken where the table has them. Images that no row
names are no records.
"""

import csv
import json
from collections.abc import Iterator
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.sources.gather import Line, gather_files
from jobs.sources.paths import open_text, require
from jobs.sources.record import Origin, SourceError

OPTIONS = {
    "images": "folder of the images (required)",
    "captions": "table: .csv, .tsv or .jsonl (required)",
    "file_column": "column of the file name (file)",
    "caption_column": "column of the caption; in JSON lines also a list of captions (caption)",
    "delimiter": "of a CSV (a comma; a tab for .tsv)",
}
REQUIRED = ("images", "captions")
PATHS = ("images", "captions")
_MAX_FIELD = 16_000_000  # characters; a longer one is a quote that was never closed


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of a table; ``source_key`` is the file name as the table writes it, or ``table.csv:17``, the
    table and the line, where it writes none.
    """
    images = require(options["images"], "the images folder")
    captions = require(options["captions"], "the table")
    delimiter = options.get("delimiter", ",").replace("\\t", "\t")  # a shell's way to say tab
    if len(delimiter) != 1:
        raise SourceError(f"the delimiter must be one character, not {delimiter!r}")
    if "delimiter" in options:
        options = options | {"delimiter": delimiter}
    return gather_files(spark, [captions], lambda file: parse(file, options), images, origin)


def parse(file: str, options: dict[str, str]) -> Iterator[tuple[int, Line]]:
    """Yield ``(row number, Line)``.

    Raises:
        SourceError: a column is missing, a row has too many or too few fields, a quote is not closed, or a
            line is not JSON.
    """
    name_column, caption_column = options.get("file_column", "file"), options.get("caption_column", "caption")
    for number, row in _json_lines(file) if file.endswith((".jsonl", ".ndjson")) else _table(file, options):
        for column in (name_column, caption_column):
            if column not in row:
                known = ", ".join(str(name) for name in row)
                raise SourceError(f"{file}: line {number} has no column {column!r}; it has {known}")
        name, caption = row[name_column], row[caption_column]
        captions = caption if isinstance(caption, list) else [caption]
        if not isinstance(name, str) or not all(text is None or isinstance(text, str) for text in captions):
            raise SourceError(f"{file}: line {number}: {name_column!r} and {caption_column!r} must be text")
        own_id = _text(row.get("caption_id"))
        yield (
            number,
            Line(
                # Rows without a file name are each a record of their own, with status unsafe_path.
                name if name.strip() else f"{file.rpartition('/')[2]}:{number}",
                name,
                # One id cannot name several captions.
                [(own_id if len(captions) == 1 else None, text) for text in captions],
                _text(row.get("split")),
                _text(row.get("license")),
            ),
        )


def _json_lines(file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_text(file) as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as problem:
                raise SourceError(f"{file}: line {number} is not JSON: {problem}") from None
            if not isinstance(row, dict):
                raise SourceError(f"{file}: line {number} must be a JSON object, not a {type(row).__name__}")
            yield number, row


def _table(file: str, options: dict[str, str]) -> Iterator[tuple[int, dict[str, Any]]]:
    delimiter = options.get("delimiter", "\t" if file.endswith(".tsv") else ",")
    csv.field_size_limit(_MAX_FIELD)
    with open_text(file) as lines:
        # strict: a stray quote would otherwise swallow the rows up to the next one.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise SourceError(f"{file} is empty: its first line must name the columns")
            for name in (options.get("file_column", "file"), options.get("caption_column", "caption")):
                if name not in header:
                    raise SourceError(f"{file} has no column {name!r}; it has {', '.join(header)}")
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != len(header):
                    found = f"{len(fields)} fields where the header has {len(header)}"
                    raise SourceError(f"{file}: line {reader.line_num} has {found}")
                yield reader.line_num, dict(zip(header, fields, strict=True))
        except csv.Error as problem:
            raise SourceError(f"{file}: line {reader.line_num}: {problem}") from None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
