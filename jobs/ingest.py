"""ingest: read the image bytes of the sources' records. ``records`` -> ``images``, a row for each record.

    spark-submit --properties-file jobs/engine/spark-defaults.conf jobs/ingest.py coco --images DIR --captions FILE --root R

``add`` appends the records of a source that are new to ``records``, without bytes. A single stream then reads the bytes of all
sources. With a stream for each source, the numbers of ingest batches would not be unique.
"""

from collections.abc import Callable, Sequence
from typing import Any

import typer
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from jobs.console import absolute, log, open_run, run_app
from jobs.engine.stream import Batch, Run, Stage
from jobs.engine.versions import bring_up_to_date
from jobs.engine.writers import writing
from udfs.factory import model_udf
from udfs.fetch.locator import FetchError
from udfs.fetch.parquet_file import steps_to

IN_PARQUET = "(locator.offset IS NOT NULL AND locator.length IS NULL)"  # never null itself
FETCHED = "image BINARY, content_sha256 STRING, width INT, height INT, format STRING"
NARROW = ("source", "source_key", "split", "license", "captions", "annotations")


def add(run: Run, parsed: DataFrame) -> int:
    """Append the new records of a source; return how many they are (``take_in``)."""
    return sum(take_in(run, parsed).values())


def take_in(run: Run, parsed: DataFrame) -> dict[str, int]:
    """Append the new records, in files of ``ingest.batch_records`` records; return how many have which status.

    Parsing is one action, before the root is touched, and ends in one commit: a malformed file leaves nothing behind, not even
    an empty table, and a long one keeps no other writer waiting.

    Raises:
        jobs.sources.SourceError: the source has no record at all.
    """
    from jobs.sources import SourceError

    brought = parsed.dropDuplicates(["record_id"]).persist(StorageLevel.DISK_ONLY)
    try:
        if not brought.count():
            raise SourceError("the source has no record")
        with writing(run.store.root, ["records"], run.say) as check:
            return _append_new(run, brought, check)
    finally:
        brought.unpersist()


def _append_new(run: Run, brought: DataFrame, check: Callable[[], None]) -> dict[str, int]:
    fresh = brought
    if run.store.exists("records"):
        fresh = fresh.join(run.store.read("records").select("record_id"), on="record_id", how="left_anti")
    counts = {row["status"]: row["count"] for row in fresh.groupBy("status").count().collect()}
    run.store.create("records")
    if counts:
        # One task and a fixed order: every file holds exactly that many records, and the order of files, which numbers the
        # ingest batches, is the same in every run. Sorted by path, each of the source's files is read for few batches.
        rows = fresh.repartition(1).sortWithinPartitions("locator.path", "locator.offset", "record_id")
        check()
        run.store.append(rows, "records", file_records=run.settings.ingest.batch_records)
    return counts


def transform(batch: Batch) -> DataFrame:
    """Locators in, bytes out. The bytes stay on the workers' disks while their hashes, which are narrow, are compared."""
    rows = _new_rows(batch)
    in_parquet = rows.where(IN_PARQUET)
    files = in_parquet.select("locator.path", "locator.member").distinct().collect()
    found = batch.keep(_fetch(batch, _with_bytes(batch, rows, files)))
    fetched = found
    if files:
        # Rows that no file has given: the reader says of each why. They are known only now that the files were read.
        lost = in_parquet.join(F.broadcast(found.select("record_id")), on="record_id", how="left_anti")
        fetched = found.unionByName(_fetch(batch, lost.withColumn("bytes", F.lit(None).cast("binary"))))
    # Deduplication shuffles hashes and captions only; its verdicts are broadcast back to the bytes.
    verdicts = F.broadcast(_verdicts(batch, found))
    status = F.coalesce(F.col("verdict"), F.col("status")).alias("status")
    return fetched.join(verdicts, on="record_id", how="left").select(
        "ingest_batch", "record_id", *NARROW, *FETCHED_NAMES, "duplicate_of", status, "error", *LINEAGE
    )


FETCHED_NAMES = ("image", "content_sha256", "width", "height", "format")
LINEAGE = ("model", "model_version", "device", "seconds")


def _new_rows(batch: Batch) -> DataFrame:
    # `add` leaves out known records. This holds also where a root has records twice, as earlier versions could write them.
    rows = batch.rows.dropDuplicates(["record_id"])
    if batch.attempt == 0:
        known = batch.store.read("images").join(F.broadcast(rows.select("record_id")), on="record_id", how="left_semi")
        rows = rows.join(F.broadcast(known.select("record_id")), on="record_id", how="left_anti")
    return rows


def _fetch(batch: Batch, rows: DataFrame) -> DataFrame:
    read = model_udf("udfs.fetch.image_reader:ImageReader", batch.settings, FETCHED, batch_size=1)
    return rows.select("ingest_batch", "record_id", *NARROW, read(F.struct("locator", "bytes")).alias("result")).select(
        "ingest_batch", "record_id", *NARROW, "result.*"
    )


def _with_bytes(batch: Batch, rows: DataFrame, files: Sequence[Row]) -> DataFrame:
    """Add the column ``bytes``: null where workers open a file; the bytes, by a join, for rows of the Parquet ``files``.

    Rows whose Parquet file is gone, damaged or written anew are left out, and nothing else.
    """
    from jobs.sources.parquet import bytes_of

    opened = rows.where(f"NOT {IN_PARQUET}").repartition(batch.partitions, "record_id")
    result = opened.sortWithinPartitions("record_id").withColumn("bytes", F.lit(None).cast("binary"))
    readable: dict[tuple[str, ...], list[str]] = {}  # paths, by the member and the names that lead to it
    for row in files:
        try:
            steps = steps_to(row["path"], row["member"])
        except FetchError:
            continue
        except ImportError:  # fsspec lacks the file system's driver; Spark may have one
            steps = row["member"].split(".")
        readable.setdefault((row["member"], *steps), []).append(row["path"])
    for (member, *names), paths in sorted(readable.items()):
        table = bytes_of(batch.store.spark, sorted(paths), member, names).withColumnRenamed("image", "bytes")
        same = (F.col("locator.path") == F.col("path")) & (F.col("locator.offset") == F.col("row"))
        wanted = rows.where(IN_PARQUET).where((F.col("locator.member") == member) & F.col("locator.path").isin(paths))
        result = result.unionByName(table.join(F.broadcast(wanted), on=same, how="inner").drop("path", "row"))
    return result


def _verdicts(batch: Batch, fetched: DataFrame) -> DataFrame:
    """For each record whose bytes are known already: the first record that had them, and whether it brings new captions.

    Records that were committed before come first, also before a record that is tried again. A record brings something new if one
    of its texts comes with these bytes for the first time.
    """
    columns = ("record_id", "content_sha256", "captions", "ingest_batch")
    current = fetched.where("status = 'ok'").select(*columns, F.lit(1).alias("now"))
    hashes, ids = F.broadcast(current.select("content_sha256").distinct()), F.broadcast(current.select("record_id"))
    earlier = batch.store.read("images").where("status IN ('ok', 'duplicate')").select(*columns, F.lit(0).alias("now"))
    earlier = earlier.join(hashes, on="content_sha256", how="left_semi").join(ids, on="record_id", how="left_anti")
    place = F.struct("now", "ingest_batch", "record_id").alias("place")
    texts = earlier.unionByName(current).select("content_sha256", place, F.explode_outer(F.expr(TEXTS)).alias("text"))
    # Row numbers and not lists of the earlier texts: some bytes ("image not available") come by the ten thousand.
    order = Window.partitionBy("content_sha256", "text").orderBy("place")
    numbered = texts.select("*", (F.row_number().over(order) == 1).alias("is_new"))
    ranked = numbered.select("*", F.min("place").over(Window.partitionBy("content_sha256")).alias("first"))
    repeated = ranked.where((F.col("place.now") == 1) & (F.col("place") != F.col("first")))
    return (
        repeated.groupBy(F.col("place.record_id").alias("record_id"), F.col("first.record_id").alias("duplicate_of"))
        .agg(F.max(F.col("text").isNotNull() & F.col("is_new")).alias("brings_new"))
        .select("record_id", "duplicate_of", F.when(~F.col("brings_new"), F.lit("duplicate")).alias("verdict"))
    )


TEXTS = "transform(filter(captions, c -> c.status = 'ok'), c -> c.caption)"

STAGE = Stage("ingest", "records", "images", ("ingest.max_pixels", "ingest.max_bytes"), transform, blob_target=True)


def ingest_source(kind: str, options: dict[str, Any], root: str, profile: str, overrides: list[str] | None) -> None:
    """``dualset ingest KIND``: add the new records of a source, then read their bytes.

    Raises:
        jobs.sources.SourceError: the source cannot be read, or has no record.
    """
    from jobs.sources import SourceError, complete, records, source_error, source_name
    from jobs.sources.notes import Notes
    from udfs.captions import vocabulary

    run = open_run(root, profile, overrides)
    options = dict(complete(kind, options, absolute(root)))
    labels = vocabulary.load(run.settings.lexicon).labels if options.get("instances") else ()
    name, notes = source_name(kind, options), Notes(run.store.spark)
    try:
        parsed = records(run.store.spark, kind, options, run.settings.ingest, labels, notes, run.settings.lexicon)
        counts = take_in(run, parsed)
    except PySparkException as problem:
        raise source_error(problem) or problem from None
    except SourceError as problem:
        raise SourceError("; ".join([str(problem), *notes.lines()])) from None
    log(arrived(counts, name))
    for line in notes.lines():
        log(f"  {line}")
    bring_up_to_date(STAGE, run)
    log(f"tables: {run.store.root}/tables    next: dualset run --root {run.store.root}")


def arrived(counts: dict[str, int], source: str) -> str:
    """The line about what a source brought: how many of its new records go on, and why the others do not."""
    total, refused = sum(counts.values()), sorted((status, count) for status, count in counts.items() if status != "ok")
    if not total:
        return f"0 new records from {source}: all its records are known already"
    reasons = ", ".join(f"{count} {status}" for status, count in refused)
    return f"{total} new records from {source}" + (f"; {counts.get('ok', 0)} go on, and not {reasons}" if refused else "")


def app() -> typer.Typer:
    """``dualset ingest``: a command for each kind of source."""
    from jobs.sources.commands import source_app

    return source_app(ingest_source)


if __name__ == "__main__":
    run_app(app())
