"""ingest: read the bytes of what the sources say. ``records`` -> ``images``, one row a record.

    spark-submit --properties-file conf/spark-defaults.conf jobs/ingest.py coco --images DIR --captions FILE --root R

``add`` parses a source into ``records`` (no bytes), leaving out what is there already; one stream then reads the bytes of all
sources. (One stream, not one a source: the ingest batch is then unique by construction.)
"""

from typing import TYPE_CHECKING

from jobs.stream import Batch, Run, Stage

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

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
            # One task, in order of the ids: files then hold exactly that many records, and their order, which numbers the ingest
            # batches, is the same in every run. (Of files made by hash, each would be one task when its rows are hashed again.)
            rows = fresh.repartition(1).sortWithinPartitions("record_id")
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

    rows = batch.rows
    if batch.attempt == 0:
        # `add` leaves out what is known, but two of them may run at once.
        rows = rows.dropDuplicates(["record_id"])
        known = batch.store.read("images").join(F.broadcast(rows.select("record_id")), on="record_id", how="left_semi")
        rows = rows.join(F.broadcast(known.select("record_id")), on="record_id", how="left_anti")
    rows = _with_bytes(batch, rows)
    read = model_udf("udfs.fetcher:Fetcher", batch.settings, FETCHED, batch_size=1)
    return rows.select("ingest_batch", "record_id", *NARROW, read(F.struct("locator", "bytes")).alias("made")).select(
        "ingest_batch", "record_id", *NARROW, "made.*"
    )


def _with_bytes(batch: Batch, rows: "DataFrame") -> "DataFrame":
    """Add ``bytes``: null where workers open files; for rows of Parquet files the bytes, joined where they lie."""
    from pyspark.sql import functions as F

    inside = F.col("locator.offset").isNotNull() & F.col("locator.length").isNull()
    files = rows.where(inside).select(F.col("locator.path"), F.col("locator.member")).distinct().collect()
    opened = rows.where(~F.coalesce(inside, F.lit(False))).repartition(batch.partitions, "record_id")
    both = opened.sortWithinPartitions("record_id").withColumn("bytes", F.lit(None).cast("binary"))
    for member in sorted({row["member"] for row in files}):
        from jobs.sources.parquet import bytes_of

        table = bytes_of(batch.store.spark, [row["path"] for row in files if row["member"] == member], member)
        table = table.withColumnRenamed("image", "bytes")
        same = (F.col("locator.path") == F.col("path")) & (F.col("locator.offset") == F.col("row"))
        wanted = F.broadcast(rows.where(inside & (F.col("locator.member") == member)))
        both = both.unionByName(table.join(wanted, on=same, how="inner").drop("path", "row"))
    return both


def _verdicts(batch: Batch, fetched: "DataFrame") -> "DataFrame":
    """For each image whose bytes are known already: the first record that had them, and whether it brings new captions."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    columns = ("record_id", "content_sha256", "captions", "ingest_batch")
    mine = fetched.where("status = 'ok'").select(*columns)
    wanted = F.broadcast(mine.select("content_sha256").distinct())
    earlier = batch.store.read("images").where("status IN ('ok', 'duplicate')").select(*columns)
    same = earlier.join(wanted, on="content_sha256", how="left_semi").unionByName(mine)
    order = Window.partitionBy("content_sha256").orderBy("ingest_batch", "record_id")
    before = order.rowsBetween(Window.unboundedPreceding, -1)
    ranked = same.select(
        *columns,
        F.first("record_id").over(order).alias("first"),
        F.flatten(F.collect_list(_texts()).over(before)).alias("known"),
    )
    again = ranked.where(F.col("first") != F.col("record_id")).where(F.col("ingest_batch").isin(list(batch.ingest_batches)))
    stale = F.size(F.array_except(_texts(), F.col("known"))) == 0
    return again.select("record_id", F.col("first").alias("duplicate_of"), F.when(stale, F.lit("duplicate")).alias("verdict"))


def _texts() -> "Column":
    from pyspark.sql import functions as F

    return F.expr("transform(filter(captions, c -> c.status = 'ok'), c -> c.caption)")


STAGE = Stage("ingest", "records", "images", ("ingest.max_pixels", "ingest.max_bytes"), transform, blob_target=True)

if __name__ == "__main__":
    from jobs.cli import main

    main(["ingest"])
