"""Parquet files with the image's bytes in a column, or its file name; read by Spark itself, so paths are
Spark's (``s3a://...``).

Bytes are no part of a record: its locator is a file, a row index and the column's name, and ``bytes_of``
gives what a join needs.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlparse

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T  # noqa: N812  Spark's own convention

from jobs.sources.gather import LINE, Line, gather
from jobs.sources.paths import below, require
from jobs.sources.record import RECORD, Origin, Row, SourceError, make_records, source_error, to_batches

OPTIONS = {
    "files": "a file, a folder or a pattern (required)",
    "image_column": "column of the bytes, or a struct with a field bytes (image)",
    "path_column": "column of the file name, instead of bytes; needs images",
    "images": "folder of the images, with path_column",
    "caption_column": "column of the caption, or of a list of captions (caption)",
    "key_column": "column of the image's name in the source (the path, or the file and row)",
    "split_column": "column of the split (split, if there is one)",
    "license_column": "column of the licence (license, if there is one)",
}
REQUIRED = ("files",)
PATHS = ("files", "images")


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of Parquet files: a row each with bytes; with a path column, rows of one key (or path) are one
    image.

    Raises:
        SourceError: nothing to read, or a column is missing or of the wrong type; known before any row is
            read.
    """
    table = _open(spark, options["files"])
    caption = options.get("caption_column", "caption")
    kind = _type(table, caption)
    texts = F.col(caption) if isinstance(kind, T.ArrayType) else F.array(F.col(caption))
    if isinstance(kind, T.ArrayType):
        kind = kind.elementType
    if not isinstance(kind, T.StringType):
        raise SourceError(f"{options['files']}: column {caption!r} must be text or a list of text")
    # As binary: a Parquet string need not be UTF-8, and the worker gives one that is not its status.
    captions = F.transform(texts, lambda text: text.cast("binary")).alias("captions")
    common = [
        captions,
        _optional(table, options, "split"),
        _optional(table, options, "license"),
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.row_index").alias("number"),
    ]
    files = options["files"]
    key = _binary(table, options["key_column"]) if "key_column" in options else F.lit(None).cast("binary")
    if "path_column" in options:
        if "images" not in options:
            raise SourceError("a parquet source with a path column needs images, the folder of the paths")
        images = require(options["images"], "the images folder")
        rows = table.select(key.alias("key"), _binary(table, options["path_column"]).alias("name"), *common)
        return gather(rows.mapInArrow(lambda batches: _to_lines(batches, files), LINE), images, origin)
    column = _bytes_column(table, options.get("image_column", "image"), files)

    def finish(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            yield from to_batches(_to_records(batch.to_pylist(), files, column, origin), RECORD)

    return table.select(key.alias("key"), *common).mapInArrow(finish, RECORD)


def bytes_of(spark: SparkSession, paths: Sequence[str], column: str) -> DataFrame:
    """The bytes behind locators: DataFrame ``(path string, row long, image binary)`` of whole files, to join
    on path and row.

    ``paths`` are locators' paths, ``column`` their member. The same expression of Spark wrote the locator's
    path and writes ``path`` here, so that they compare equal.
    """
    files = [_to_spark(path) for path in paths]
    return spark.read.parquet(*files).select(
        F.col("_metadata.file_path").alias("path"),
        F.col("_metadata.row_index").alias("row"),
        F.col(column).cast("binary").alias("image"),
    )


def _to_spark(path: str) -> str:
    """A file path of ``_metadata`` (a URI with %20 in it) as ``spark.read`` takes it: decoded, pattern
    characters escaped.
    """
    plain = unquote(path) if urlparse(path).scheme else path
    return "".join(f"\\{letter}" if letter in "*?[]{},\\" else letter for letter in plain)


def _to_records(rows: list[Row], files: str, column: str, origin: Origin) -> Iterator[Row]:
    for row in rows:
        locator = {"path": row["file"], "offset": row["number"], "length": None, "member": column}
        key = _decode(row["key"]) or _default_key(row, files)
        captions = [(None, _decode(text)) for text in row["captions"] or [] if not _is_absent(row, text)]
        split, licence = row["split"], row["license"]
        yield from make_records(origin, key, captions, locator, split=split, license_name=licence)


def _to_lines(batches: Iterable[Any], files: str) -> Iterator[Any]:
    def rows(batch: Any) -> Iterator[Row]:
        for row in batch.to_pylist():
            name = _decode(row["name"]) or ""
            captions = [(None, _decode(text)) for text in row["captions"] or [] if not _is_absent(row, text)]
            # Rows without a path are each a record of their own, with status unsafe_path.
            key = _decode(row["key"]) or (name if name.strip() else _default_key(row, files))
            yield Line(key, name, captions, row["split"], row["license"]).row(row["file"], row["number"])

    for batch in batches:
        yield from to_batches(rows(batch), LINE)


def _is_absent(row: Row, text: bytes | None) -> bool:
    return text is None and len(row["captions"]) == 1  # a null caption column, not a blank in a list


def _default_key(row: Row, files: str) -> str:
    return f"{below(files, unquote(row['file']))}:{row['number']}"


def _decode(text: bytes | None) -> str | None:
    return None if text is None else bytes(text).decode("utf-8", "surrogateescape")


def _open(spark: SparkSession, files: str) -> DataFrame:
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it ships no types

    try:
        return spark.read.parquet(files)
    # No such path, no schema, a broken footer, which is no PySparkException.
    except (PySparkException, Py4JJavaError) as problem:
        raise source_error(problem) or SourceError(f"{files}: {str(problem).splitlines()[0]}") from None


def _type(table: DataFrame, column: str) -> T.DataType:
    try:
        return table.select(F.col(column)).schema[0].dataType
    except AnalysisException:
        raise SourceError(f"there is no column {column!r}; there are {', '.join(table.columns)}") from None


def _bytes_column(table: DataFrame, column: str, files: str) -> str:
    kind = _type(table, column)
    if isinstance(kind, T.StructType) and "bytes" in kind.names:
        column, kind = f"{column}.bytes", kind["bytes"].dataType
    if not isinstance(kind, T.BinaryType):
        raise SourceError(f"{files}: column {column!r} must be binary; for file names give path_column")
    return column


def _binary(table: DataFrame, column: str) -> Column:
    _type(table, column)
    return F.col(column).cast("string").cast("binary")


def _optional(table: DataFrame, options: dict[str, str], name: str) -> Column:
    given = options.get(f"{name}_column")
    if given or name in table.columns:
        _type(table, given or name)
        return F.col(given or name).cast("string").alias(name)
    return F.lit(None).cast("string").alias(name)
