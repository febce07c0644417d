"""Takedowns: records that no view and no later snapshot shows. ``dualset withdraw``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from pyspark.sql import functions as F

from jobs.console import Profile, Root, Set, log, open_filled
from jobs.engine.stream import StageError
from jobs.engine.tables import Store
from jobs.engine.writers import Say, writing


def withdraw(store: Store, record_ids: Sequence[str], reason: str, say: Say = lambda line: None) -> list[str]:
    """Add records to ``withdrawn``, together with all other records of the same images: a takedown is of an image.

    Returns:
        The ids of all records that this call withdraws, ``record_ids`` first.

    Raises:
        StageError: an id is not in ``records``; nothing is written then.
    """
    asked = list(dict.fromkeys(record_ids))
    with writing(store.root, ["withdrawn"], say):
        return _withdraw(store, asked, reason)


def _withdraw(store: Store, asked: list[str], reason: str) -> list[str]:
    known = {
        row["record_id"] for row in store.read("records").where(F.col("record_id").isin(asked)).select("record_id").collect()
    }
    if unknown := [record_id for record_id in asked if record_id not in known]:
        raise StageError(f"no record {', '.join(unknown)} in {store.name('records')}; nothing was withdrawn")
    others: set[str] = set()
    if store.exists("images"):
        images = store.read("images").select("record_id", "content_sha256")
        shown = images.where(F.col("record_id").isin(asked) & F.col("content_sha256").isNotNull()).select("content_sha256")
        same = images.join(F.broadcast(shown.distinct()), on="content_sha256", how="left_semi").select("record_id").distinct()
        others = {row["record_id"] for row in same.collect()} - known
    store.create("withdrawn")
    ids, now = [*asked, *sorted(others)], datetime.now(UTC)
    before = {
        row["record_id"] for row in store.read("withdrawn").where(F.col("record_id").isin(ids)).select("record_id").collect()
    }
    rows = [{"record_id": record_id, "reason": reason, "withdrawn_at": now} for record_id in ids if record_id not in before]
    if rows:
        store.append(store.local_rows(rows, "withdrawn"), "withdrawn")
    return ids


def withdraw_command(
    root: Root,
    record_id: Annotated[list[str], typer.Option(help="record to take down; may be given again")],
    reason: Annotated[str, typer.Option(help="why, for the table")],
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Take images down: no view and no later snapshot shows these records, or others of the same image."""
    withdrawn = withdraw(open_filled(root, profile, set_).store, record_id, reason, log)
    more = len(withdrawn) - len(set(record_id))
    same = f" ({more} more than named, as they have the same image)" if more > 0 else ""
    log(f"{len(withdrawn)} records withdrawn{same}; publish again to make a snapshot without them")
