"""Parquet files with the image's bytes, or its file name, in a column. Spark reads them, so paths are Spark's (``s3a://...``).

A record has no bytes: its locator is a file, a row index and the column's name, and ``bytes_of`` reads the bytes for a join.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it ships no types
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T  # noqa: N812  Spark's own convention

from jobs.engine.tables import literal
from jobs.sources.gather import LINE, Line, gather
from jobs.sources.paths import below, require
from jobs.sources.record import RECORD, Locator, Origin, Row, SourceError, make_records, source_error, to_batches
from udfs.fetch.parquet_file import split_name

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
_ENDS = (".parquet", ".parq", ".pq")


def read(spark: SparkSession, options: dict[str, str], origin: Origin) -> DataFrame:
    """Records of Parquet files. With bytes each row is an image; with a path column, the rows of one key (or path) are.

    Raises:
        SourceError: nothing to read, or a column is missing or of the wrong type; raised before any row is read.
    """
    table = _open(spark, options["files"], origin)
    caption = options.get("caption_column", "caption")
    kind = _type(table, caption)
    texts = _column(table, caption) if isinstance(kind, T.ArrayType) else F.array(_column(table, caption))
    if isinstance(kind, T.ArrayType):
        kind = kind.elementType
    if not isinstance(kind, T.StringType):
        raise SourceError(f"{options['files']}: column {caption!r} must be text or a list of text")
    # As binary: a Parquet string need not be UTF-8, and the worker gives such a caption its status.
    captions = F.transform(texts, lambda text: text.cast("binary")).alias("captions")
    place = table.metadataColumn("_metadata")  # Spark's own, also where the file has a column of that name
    common = [
        captions,
        _optional(table, options, "split"),
        _optional(table, options, "license"),
        place["file_path"].alias("file"),
        place["row_index"].alias("number"),
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


def bytes_of(spark: SparkSession, paths: Sequence[str], column: str, steps: Sequence[str] | None = None) -> DataFrame:
    """The bytes behind locators: DataFrame ``(path string, row long, image binary)`` of whole files, to join on path and row.

    ``paths`` are locators' paths, ``column`` their member, and ``steps`` the names that lead to it, where names have dots. The
    same Spark expression gives the locator's path and ``path`` here, so that they compare equal. ``image`` is empty where it is
    null in the file. What cannot be read of a file, because it is damaged, is missing: no row fails for those of another file.
    """
    names = list(steps or column.split("."))
    kind: T.DataType = T.BinaryType()
    for name in reversed(names):
        kind = T.StructType([T.StructField(name, kind)])
    # With the schema given, no file is opened here, and no file's columns are taken for those of another.
    reader = spark.read.schema(cast(T.StructType, kind)).option("ignoreCorruptFiles", "true").option("ignoreMissingFiles", "true")
    return reader.parquet(*(_to_spark(path) for path in paths)).select(
        F.col("_metadata.file_path").alias("path"),
        F.col("_metadata.row_index").alias("row"),
        F.coalesce(F.col(".".join(map(_quoted, names))), F.expr("X''")).alias("image"),
    )


def _to_spark(path: str) -> str:
    """A file path of ``_metadata`` (a URI with %20 in it) for ``spark.read``: decoded, with pattern characters escaped."""
    plain = unquote(path) if urlparse(path).scheme else path
    return literal(plain)


def _to_records(rows: list[Row], files: str, column: str, origin: Origin) -> Iterator[Row]:
    for row in rows:
        locator: Locator = {"path": row["file"], "offset": row["number"], "length": None, "member": column}
        key = _decode(row["key"]) or _default_key(row, files)
        captions = [(None, _decode(text)) for text in row["captions"] or [] if not _is_absent(row, text)]
        split, licence = _decode(row["split"]), _decode(row["license"])
        yield from make_records(origin, key, captions, locator, split=split, license_name=licence)


def _to_lines(batches: Iterable[Any], files: str) -> Iterator[Any]:
    def rows(batch: Any) -> Iterator[Row]:
        for row in batch.to_pylist():
            name = _decode(row["name"]) or ""
            captions = [(None, _decode(text)) for text in row["captions"] or [] if not _is_absent(row, text)]
            # Each row without a path is a record of its own, with status unsafe_path.
            key = _decode(row["key"]) or (name if name.strip() else _default_key(row, files))
            line = Line(key, name, captions, _decode(row["split"]), _decode(row["license"]))
            yield line.row(row["file"], row["number"])

    for batch in batches:
        yield from to_batches(rows(batch), LINE)


def _is_absent(row: Row, text: bytes | None) -> bool:
    return text is None and len(row["captions"]) == 1  # a null caption, not a null in a list


def _default_key(row: Row, files: str) -> str:
    return f"{below(files, unquote(row['file']))}:{row['number']}"


def _decode(text: bytes | None) -> str | None:
    return None if text is None else bytes(text).decode("utf-8", "surrogateescape")


def _open(spark: SparkSession, files: str, origin: Origin) -> DataFrame:
    reader = spark.read
    # Spark reads a path as a pattern. One that exists as it stands is meant as it stands, with the \\, [ and * in its name.
    path = _to_spark(files) if os.path.exists(files) else files  # noqa: PTH110  Path would turn s3a:// into s3a:/
    listed = _listed(spark, path)
    names = [name.rpartition("/")[2] for name in listed]
    if not_files := sorted(name for name in listed if _is_no_file(name)):
        raise SourceError(f"{not_files[0]} is no file: it is a pipe or a device")  # Spark would wait for it
    others = [name for name in names if not name.lower().endswith(_ENDS)]
    if others and len(others) < len(names):  # a README.md beside them
        origin.tell(files, "files beside the Parquet files have another extension, and were not read", len(others), min(others))
        ends = {"." + name.rpartition(".")[2] for name in names if name not in others}
        reader = reader.option("pathGlobFilter", f"*{{{','.join(sorted(ends))}}}")
    try:
        return reader.parquet(path)
    # No such path, no schema, or a broken footer, which is no PySparkException.
    except (PySparkException, Py4JJavaError) as problem:
        cause = _innermost(problem.java_exception) if isinstance(problem, Py4JJavaError) else str(problem)
        raise source_error(problem) or SourceError(f"{files}: {cause.splitlines()[0]}") from None


def _innermost(exception: Any) -> str:
    """What went wrong first; the exceptions around it say that a job was aborted."""
    while (cause := exception.getCause()) is not None:
        exception = cause
    return str(exception.toString())


def _listed(spark: SparkSession, files: str) -> list[str]:
    """The files that Spark would read, as URIs; none if it cannot list them, which reading them will explain."""
    try:
        return spark.read.format("binaryFile").load(files).inputFiles()
    except (PySparkException, Py4JJavaError):
        return []


def _is_no_file(uri: str) -> bool:
    """Whether ``uri`` is on this machine's disk, and is neither a file nor a folder."""
    path = Path(unquote(urlparse(uri).path))
    return uri.startswith("file:") and path.exists() and not path.is_file() and not path.is_dir()


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _column(table: DataFrame, name: str) -> Column:
    """A column, or the field of a struct; names of columns may have dots."""
    return F.col(".".join(map(_quoted, split_name(table.columns, name))))


def _type(table: DataFrame, column: str) -> T.DataType:
    try:
        return table.select(_column(table, column)).schema[0].dataType
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
    return _column(table, column).cast("string").cast("binary")


def _optional(table: DataFrame, options: dict[str, str], name: str) -> Column:
    column = options.get(f"{name}_column") or name
    if f"{name}_column" in options or name in table.columns:
        return _binary(table, column).alias(name)
    return F.lit(None).cast("binary").alias(name)
