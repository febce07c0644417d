"""What each stage has done, and what waits for it: ``dualset status``."""

from typing import TYPE_CHECKING

from jobs.chain import CHAIN
from jobs.tables import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def current_runs(store: Store) -> "DataFrame":
    """The rows of ``runs`` of each stage's present generation; ``--fresh`` leaves those of what it dropped."""
    from pyspark.sql import functions as F

    runs = store.read("runs")
    newest = runs.groupBy("stage").agg(F.max_by("generation", "started_at").alias("generation"))
    return runs.join(F.broadcast(newest), on=["stage", "generation"], how="left_semi")


def require_tables(store: Store) -> None:
    """Say clearly when the chain has not run to its end over this root.

    Raises:
        jobs.stream.StageError: a stage's table is not there yet.
    """
    from jobs.stream import StageError

    missing = [stage.target for stage in CHAIN if not store.exists(stage.target)]
    if missing:
        raise StageError(f"{store.root} has no {', '.join(missing)} yet: dualset run --root {store.root}")


def stage_status(store: Store) -> list[tuple[str, str, int, int, int, int, float, int]]:
    """One row a stage: (stage, table, rows, ok, not ok, records waiting, wall seconds, micro-batches).

    Waiting are records that are ok in the source and have no row in the target yet.
    """
    from pyspark.sql import functions as F

    shown = []
    spent_by = _spent(store) if store.exists("runs") else {}
    for stage in CHAIN:
        if not store.exists(stage.source):
            shown.append((stage.name, stage.target, 0, 0, 0, 0, 0.0, 0))
            continue
        ready = store.read(stage.source).where(F.col("status") == "ok").select("record_id").distinct()
        if not store.exists(stage.target):
            shown.append((stage.name, stage.target, 0, 0, 0, ready.count(), 0.0, 0))
            continue
        target = store.read(stage.target)
        row = target.agg(F.count("*").alias("rows"), F.count_if(F.col("status") == "ok").alias("ok")).first()
        waiting = ready.join(target.select("record_id").distinct(), on="record_id", how="left_anti").count()
        assert row is not None, "an aggregate without groups has one row"
        shown.append(
            (
                stage.name,
                stage.target,
                row["rows"],
                row["ok"],
                row["rows"] - row["ok"],
                waiting,
                *spent_by.get(stage.name, (0.0, 0)),
            )
        )
    return shown


def _spent(store: Store) -> dict[str, tuple[float, int]]:
    """Wall seconds and micro-batches of each stage's present generation."""
    from pyspark.sql import functions as F

    sums = current_runs(store).groupBy("stage").agg(F.round(F.sum("wall_seconds"), 1).alias("s"), F.count("*").alias("n"))
    return {row["stage"]: (row["s"], row["n"]) for row in sums.collect()}
