"""ingest: read the bytes of what the sources say. ``records`` -> ``images``, one row a record.

    spark-submit --properties-file conf/spark-defaults.conf jobs/ingest.py coco --images DIR --captions FILE --root R

``add`` parses a source into ``records`` (no bytes), leaving out what is there already; one stream then reads the bytes of all
sources. (One stream, not one a source: the ingest batch is then unique by construction.)
"""

from typing import TYPE_CHECKING
from urllib.parse import unquote

from jobs.stream import Batch, Run, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FETCHED = "image BINARY, content_sha256 STRING, width INT, height INT, format STRING"
NARROW = ("source", "source_key", "split", "license", "captions", "annotations")


def add(run: Run, parsed: "DataFrame") -> int:
    """Append the records that are new, in files of ``ingest.batch_records``; returns how many they were.

    The parse is one action that ends in one commit: a malformed file leaves nothing behind, not even an empty table.
    """
    from pyspark import StorageLevel

    fresh = parsed.dropDuplicates(["record_id"])
    if run.store.exists("records"):
        fresh = fresh.join(run.store.read("records").select("record_id"), on="record_id", how="left_anti")
    fresh = fresh.persist(StorageLevel.DISK_ONLY)
    try:
        count = fresh.count()
        run.store.create("records")
        if count:
            # One task, in a fixed order: files then hold exactly that many records, and their order, which numbers the ingest
            # batches, is the same in every run. In the order of the source's own files each of those is read for few batches.
            rows = fresh.repartition(1).sortWithinPartitions("locator.path", "locator.offset", "record_id")
            run.store.append(rows, "records", file_records=run.settings.ingest.batch_records)
    finally:
        fresh.unpersist()
    return count


def transform(batch: Batch) -> "DataFrame":
    """Locators in, bytes out. The bytes are kept on the workers' disks while their hashes, which are narrow, are compared."""
    from pyspark.sql import functions as F

    fetched = batch.keep(_fetch(batch))
    # Deduplication needs a shuffle, of hashes and captions only; its verdict goes back to the bytes by broadcast.
    verdicts = F.broadcast(_verdicts(batch, fetched))
    status = F.coalesce(F.col("verdict"), F.col("status")).alias("status")
    return fetched.join(verdicts, on="record_id", how="left").select(
        "ingest_batch", "record_id", *NARROW, *FETCHED_NAMES, "duplicate_of", status, "error", *LINEAGE
    )


FETCHED_NAMES = ("image", "content_sha256", "width", "height", "format")
LINEAGE = ("model", "model_version", "device", "seconds")


def _fetch(batch: Batch) -> "DataFrame":
    from pyspark.sql import functions as F

    from udfs.factory import model_udf

    # `add` leaves out what is known, but two of them may run at once.
    rows = batch.rows.dropDuplicates(["record_id"])
    if batch.attempt == 0:
        known = batch.store.read("images").join(F.broadcast(rows.select("record_id")), on="record_id", how="left_semi")
        rows = rows.join(F.broadcast(known.select("record_id")), on="record_id", how="left_anti")
    rows = _with_bytes(batch, rows)
    read = model_udf("udfs.fetcher:Fetcher", batch.settings, FETCHED, batch_size=1)
    return rows.select("ingest_batch", "record_id", *NARROW, read(F.struct("locator", "bytes")).alias("made")).select(
        "ingest_batch", "record_id", *NARROW, "made.*"
    )


def _with_bytes(batch: Batch, rows: "DataFrame") -> "DataFrame":
    """Add ``bytes``: null where workers open files; for rows of Parquet files the bytes, joined where they lie.

    Rows of a Parquet file that is gone, or no longer one, keep null and become failures of their own.
    """
    from pyspark.sql import functions as F

    from jobs.sources.parquet import bytes_of

    inside = F.col("locator.offset").isNotNull() & F.col("locator.length").isNull()
    files = rows.where(inside).select(F.col("locator.path"), F.col("locator.member")).distinct().collect()
    whole = [row for row in files if _is_parquet(row["path"])]
    joined = inside & F.col("locator.path").isin([row["path"] for row in whole])
    opened = rows.where(~F.coalesce(joined, F.lit(False))).repartition(batch.partitions, "record_id")
    both = opened.sortWithinPartitions("record_id").withColumn("bytes", F.lit(None).cast("binary"))
    for member in sorted({row["member"] for row in whole}):
        table = bytes_of(batch.store.spark, [row["path"] for row in whole if row["member"] == member], member)
        table = table.withColumnRenamed("image", "bytes")
        same = (F.col("locator.path") == F.col("path")) & (F.col("locator.offset") == F.col("row"))
        wanted = rows.where(joined & (F.col("locator.member") == member))
        both = both.unionByName(table.join(F.broadcast(wanted), on=same, how="inner").drop("path", "row"))
        # A file written anew since may have fewer rows. Which it has is in its footer.
        lost = wanted.join(table.select("path", "row"), on=same, how="left_anti")
        both = both.unionByName(lost.withColumn("bytes", F.lit(None).cast("binary")))
    return both


def _is_parquet(uri: str) -> bool:
    """Whether a file is there and ends as a Parquet file does."""
    import fsspec

    files, name = fsspec.core.url_to_fs(unquote(uri))
    try:
        return bool(files.tail(name, 4) == b"PAR1")
    except FileNotFoundError:
        return False


def _verdicts(batch: Batch, fetched: "DataFrame") -> "DataFrame":
    """For each image whose bytes are known already: the first record that had them, and whether it brings new captions.

    What was committed before comes first, also before a record that is tried again. A record brings something new if it is the
    first to say one of its texts of these bytes.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    columns = ("record_id", "content_sha256", "captions", "ingest_batch")
    mine = fetched.where("status = 'ok'").select(*columns, F.lit(1).alias("now"))
    wanted, ids = F.broadcast(mine.select("content_sha256").distinct()), F.broadcast(mine.select("record_id"))
    earlier = batch.store.read("images").where("status IN ('ok', 'duplicate')").select(*columns, F.lit(0).alias("now"))
    earlier = earlier.join(wanted, on="content_sha256", how="left_semi").join(ids, on="record_id", how="left_anti")
    place = F.struct("now", "ingest_batch", "record_id").alias("place")
    said = earlier.unionByName(mine).select("content_sha256", place, F.explode_outer(F.expr(TEXTS)).alias("text"))
    # Row numbers and not lists of what was said before: some bytes ("image not available") come by the ten thousand.
    order = Window.partitionBy("content_sha256", "text").orderBy("place")
    numbered = said.select("*", (F.row_number().over(order) == 1).alias("is_new"))
    ranked = numbered.select("*", F.min("place").over(Window.partitionBy("content_sha256")).alias("first"))
    again = ranked.where((F.col("place.now") == 1) & (F.col("place") != F.col("first")))
    return (
        again.groupBy(F.col("place.record_id").alias("record_id"), F.col("first.record_id").alias("duplicate_of"))
        .agg(F.max(F.col("text").isNotNull() & F.col("is_new")).alias("brings_new"))
        .select("record_id", "duplicate_of", F.when(~F.col("brings_new"), F.lit("duplicate")).alias("verdict"))
    )


TEXTS = "transform(filter(captions, c -> c.status = 'ok'), c -> c.caption)"

STAGE = Stage("ingest", "records", "images", ("ingest.max_pixels", "ingest.max_bytes"), transform, blob_target=True)

if __name__ == "__main__":
    from jobs.cli import main

    main(["ingest"])
