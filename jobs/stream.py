"""How a stage runs: one Structured Streaming query from one Delta table to the next, exactly once.

The rows of a micro-batch are written under ``txnAppId = stage + generation`` and ``txnVersion = batch id``, so a batch that was
committed and is tried again writes nothing. The generation lives in the checkpoint; when the checkpoint is gone but the table has
rows, nothing can tell what was done, and the stage refuses to start.
"""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.session import partitions
from jobs.settings import Settings, settings_hash
from jobs.tables import Store, delete

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming import StreamingQuery

Report = Callable[[str, dict[str, Any]], None]


class StageError(RuntimeError):
    """A stage cannot start or go on; the message says what to do."""


@dataclass(frozen=True)
class Batch:
    """What a transform may read: the ok rows of its source, and the current rows of older tables of the same ingest batches."""

    rows: "DataFrame"
    store: Store
    settings: Settings
    ingest_batches: tuple[str, ...] = ()
    attempt: int = 0
    kept: list["DataFrame"] = field(default_factory=list)

    def keep(self, rows: "DataFrame") -> "DataFrame":
        """Hold rows that are read twice on the workers' disks until the micro-batch is done: bytes do not belong in memory."""
        from pyspark import StorageLevel

        self.kept.append(rows.persist(StorageLevel.DISK_ONLY))
        return self.kept[-1]

    def lookup(self, table: str) -> "DataFrame":
        """The ok rows of an older table for the ingest batches at hand; files of other batches are not read."""
        from pyspark.sql import functions as F

        rows = self.store.read(table)
        return rows.where(F.col("ingest_batch").isin(list(self.ingest_batches)) & (F.col("status") == "ok"))

    @property
    def partitions(self) -> int:
        """How many tasks narrow work is cut into before a model sees it."""
        return partitions(self.store.spark, self.settings)


@dataclass(frozen=True)
class Stage:
    """One link of the chain. ``transform`` is pure: rows of ``source`` in, rows of ``target`` without lineage of the run out."""

    name: str
    source: str
    target: str
    sections: tuple[str, ...]
    transform: Callable[[Batch], "DataFrame"]
    blob_source: bool = False
    blob_target: bool = False


@dataclass
class Run:
    """One invocation: its id, and whom to tell of finished micro-batches."""

    store: Store
    settings: Settings
    report: Report = lambda stage, row: None
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


def start(stage: Stage, run: Run) -> "StreamingQuery":
    """Start the query of a stage over everything that its source holds now.

    Raises:
        StageError: the source is missing, the checkpoint is gone or belongs to other settings.
        jobs.tables.TableError: a table has other columns.
    """
    store = run.store
    if not store.exists(stage.source):
        raise StageError(f"{stage.name} reads {stage.source}, which is not there yet: run the stage before it first")
    _refuse_lost_table(stage, run)
    store.create(stage.target)
    store.create("runs")
    generation = generation_of(stage, run)
    # A narrow table has one file a micro-batch; a blob table has about one a task.
    files = partitions(store.spark, run.settings) if stage.blob_source else 1
    return (
        store.stream(stage.source, files)
        .writeStream.queryName(f"dualset_{stage.name}")
        .foreachBatch(partial(_process, stage, run, generation))
        .option("checkpointLocation", f"{store.checkpoint(stage.name)}/stream")
        .trigger(availableNow=True)
        .start()
    )


def finish(query: "StreamingQuery", stage: Stage) -> None:
    """Wait for a query and turn its failure into one clear line."""
    from pyspark.errors import StreamingQueryException

    try:
        query.awaitTermination()
    except StreamingQueryException as problem:
        raise StageError(f"{stage.name} failed: {first_cause(str(problem))}") from problem


def write(stage: Stage, run: Run, rows: "DataFrame", batch_id: int, attempt: int, application: str, version: int) -> None:
    """Add the run's lineage to a transform's rows and append them to the stage's table."""
    from pyspark.sql import functions as F

    lineage = {
        "attempt": F.lit(attempt),
        "settings_hash": F.lit(settings_hash(run.settings, stage.sections)),
        "run_id": F.lit(run.run_id),
        "batch_id": F.lit(batch_id).cast("long"),
    }
    rows = rows.withColumns(lineage)
    # One file a micro-batch, so that the next stage's micro-batches are as large. Blobs stay where they were made.
    run.store.append(rows if stage.blob_target else rows.repartition(1), stage.target, application, version)


def first_cause(text: str) -> str:
    """The line of a long Spark error that names what happened, without stack frames."""
    lines = [line.strip() for line in text.splitlines() if "Error: " in line or "Exception: " in line]
    ours = [line for line in lines if line.startswith(("udfs.", "jobs."))]
    if ours:
        return ours[0].partition(": ")[2][:500]
    # The innermost cause comes last; py4j's own lines only say that something was called.
    causes = [line for line in lines if not line.startswith(("File ", "at ", "py4j.", "raise "))]
    return (causes or [text.splitlines()[0]])[-1].removeprefix("Caused by: ")[:500]


def reset(stages: Sequence[Stage], run: Run) -> None:
    """``--fresh``: drop the tables and checkpoints of these stages (a stage and all after it)."""
    for stage in reversed(stages):
        # The note first: what is left of a checkpoint after a kill must not pass for a whole one.
        delete(f"{run.store.checkpoint(stage.name)}/generation")
        delete(run.store.checkpoint(stage.name))
        run.store.drop(stage.target)


def _process(stage: Stage, run: Run, generation: str, rows: "DataFrame", batch_id: int) -> None:
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    started, clock = time.time(), time.perf_counter()
    rows = rows.where(F.col("status") == "ok")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit(f"{batch_id:08d}"))
    if not stage.blob_source:
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    found = rows.groupBy("ingest_batch").count().collect()
    batch = Batch(rows, run.store, run.settings, tuple(sorted(row["ingest_batch"] for row in found)))
    try:
        if batch.ingest_batches:
            write(stage, run, stage.transform(batch), batch_id, 0, f"{stage.name}-{generation}", batch_id)
        spent = time.perf_counter() - clock
        facts = {
            "generation": generation,
            "rows_in": sum(row["count"] for row in found),
            "started_at": started,
            "write": spent,
        }
        _record(stage, run, batch, batch_id, facts)
    finally:
        for kept in (*batch.kept, rows):
            kept.unpersist()


def _record(stage: Stage, run: Run, batch: Batch, batch_id: int, facts: dict[str, Any]) -> None:
    """One row of ``runs``, counted from what was committed, also when this try wrote nothing because an earlier one had."""
    from pyspark.sql import functions as F

    committed = run.store.read(stage.target).where(
        F.col("ingest_batch").isin(list(batch.ingest_batches)) & (F.col("batch_id") == batch_id) & (F.col("attempt") == 0)
    )
    parts = ("load", "decode", "model", "encode")
    groups = (
        committed.groupBy("status")
        .agg(
            F.count("*").alias("count"),
            F.collect_set("model_version").alias("versions"),
            *(F.sum(f"seconds.{part}").alias(part) for part in parts),
        )
        .collect()
    )
    seconds = {part: sum((group[part] or 0.0 for group in groups), 0.0) for part in parts}
    row = {
        "stage": stage.name,
        "batch_id": batch_id,
        "run_id": run.run_id,
        "generation": facts["generation"],
        "rows_in": facts["rows_in"],
        "rows": {group["status"]: group["count"] for group in groups},
        "wall_seconds": time.time() - facts["started_at"],
        "seconds": seconds,
        "write_seconds": facts["write"],
        "models": sorted({version for group in groups for version in group["versions"]}),
        "settings_hash": settings_hash(run.settings, stage.sections),
        "settings": run.settings.shown(),
    }
    from jobs.tables import schema

    wanted = schema(run.store.spark, "runs")
    values = [tuple(row.get(name) for name in wanted.names)]
    made = run.store.spark.createDataFrame(values, wanted).coalesce(1)  # one row in one file, not one file a core
    made = made.withColumn("started_at", F.timestamp_seconds(F.lit(facts["started_at"])))
    run.store.append(made, "runs", f"runs-{stage.name}-{facts['generation']}", batch_id)
    run.report(stage.name, row)


def _refuse_lost_table(stage: Stage, run: Run) -> None:
    """A checkpoint without its table says that all was done, and nothing would be made again."""
    if not run.store.exists(stage.target) and _read_note(run, f"{run.store.checkpoint(stage.name)}/generation"):
        raise StageError(
            f"{stage.target} is gone but the checkpoint of {stage.name} says what was written to it; "
            f"start the stage anew with: {_fresh_command(stage, run)}"
        )


def _fresh_command(stage: Stage, run: Run) -> str:
    return f"dualset run --root {run.store.root} --fresh {stage.name}"


def generation_of(stage: Stage, run: Run) -> str:
    """The generation id of the stage's checkpoint, made with the checkpoint; refuses where the two do not fit the table."""
    store, path = run.store, f"{run.store.checkpoint(stage.name)}/generation"
    digest = settings_hash(run.settings, stage.sections)
    fresh = _fresh_command(stage, run)
    kept = _read_note(run, path)
    if kept is None:
        if not store.is_empty(stage.target):
            raise StageError(
                f"{stage.target} has rows but the checkpoint of {stage.name} is missing, so nobody knows which were done; "
                f"start the stage anew with: {fresh}"
            )
        # A query that was killed before its first batch may have left a stream folder without a generation.
        delete(f"{store.checkpoint(stage.name)}/stream")
        kept = {"generation": uuid.uuid4().hex[:12], "settings_hash": digest}
        note = store.spark.createDataFrame([(json.dumps(kept),)], "value STRING")
        note.coalesce(1).write.mode("overwrite").text(path)
    if kept["settings_hash"] != digest:
        raise StageError(
            f"{stage.name} has run with other settings ({', '.join(stage.sections)}: {kept['settings_hash']}, now {digest}); "
            f"use those again, or start the stage anew with: {fresh}"
        )
    return kept["generation"]


def _read_note(run: Run, path: str) -> dict[str, str] | None:
    from pyspark.errors import AnalysisException

    try:
        lines = run.store.spark.read.text(path).collect()
    except AnalysisException as problem:
        if problem.getCondition() != "PATH_NOT_FOUND":
            raise
        return None
    return json.loads(lines[0]["value"]) if lines else None
