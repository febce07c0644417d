"""Takedowns: records that no view and no later snapshot shows. ``dualset withdraw``."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs.stream import StageError
from jobs.tables import Store, schema


def withdraw(store: Store, record_ids: Sequence[str], reason: str) -> list[str]:
    """Add records to ``withdrawn``, and with them all other records of the same image: it is the image that has to go.

    Returns:
        The ids of all records that are withdrawn by this call, those given first.

    Raises:
        StageError: an id is in no table; nothing is written then.
    """
    from pyspark.sql import functions as F

    given = list(dict.fromkeys(record_ids))
    known = {
        row["record_id"] for row in store.read("records").where(F.col("record_id").isin(given)).select("record_id").collect()
    }
    if unknown := [one for one in given if one not in known]:
        raise StageError(f"no record {', '.join(unknown)} in {store.name('records')}; nothing is withdrawn")
    others: set[str] = set()
    if store.exists("images"):
        images = store.read("images").select("record_id", "content_sha256")
        shown = images.where(F.col("record_id").isin(given) & F.col("content_sha256").isNotNull()).select("content_sha256")
        same = images.join(F.broadcast(shown.distinct()), on="content_sha256", how="left_semi").select("record_id").distinct()
        others = {row["record_id"] for row in same.collect()} - known
    store.create("withdrawn")
    ids, now = [*given, *sorted(others)], datetime.now(UTC)
    rows = [(one, reason, now) for one in ids]
    store.append(store.spark.createDataFrame(rows, schema(store.spark, "withdrawn")), "withdrawn")
    return ids
