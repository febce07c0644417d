"""How a stage runs: one Structured Streaming query from one Delta table to the next, exactly once.

The rows of a micro-batch are written under ``txnAppId = stage + generation`` and ``txnVersion = batch id``, so that a batch that
was committed and is tried again writes nothing. The generation is kept in the checkpoint. If the checkpoint is gone but the table
has rows, nobody can tell which batches were done, and the stage refuses to start.
"""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyspark import StorageLevel
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery

from jobs.engine.schemas import TABLES
from jobs.engine.session import partitions
from jobs.engine.tables import Store, delete
from jobs.engine.writers import BRIEFLY_S, Say, writing
from jobs.settings import Settings, settings_hash
from udfs.errors import DualsetError
from udfs.files import listed, make_folder, present, put_whole, read_text

# A row with a lower batch_id than this belongs to a record that was made anew: see jobs.engine.versions.
RETRIED = -1
ORIGINS = ("extract", "rewrite")  # the stages from which on a record may be made anew

Report = Callable[[str, dict[str, Any]], None]


class StageError(DualsetError):
    """A stage cannot start or go on; the message says what to do."""


@dataclass(frozen=True)
class Batch:
    """What a transform may read: the ok rows of its source, and the ok rows of earlier tables of the same ingest batches."""

    rows: DataFrame
    store: Store
    settings: Settings
    ingest_batches: tuple[str, ...] = ()
    attempt: int = 0
    made_anew: bool = False  # whether any record of the root was: its rows have later attempts
    kept: list[DataFrame] = field(default_factory=list)

    def keep(self, rows: DataFrame) -> DataFrame:
        """Persist rows that are read more than once, until the micro-batch is done. On disk, as image bytes would fill memory."""
        self.kept.append(rows.persist(StorageLevel.DISK_ONLY))
        return self.kept[-1]

    def release(self) -> None:
        """The micro-batch is done: give back what was kept."""
        for rows in self.kept:
            rows.unpersist()

    def lookup(self, table: str) -> DataFrame:
        """The ok rows of an earlier table for the ingest batches of this micro-batch; files of other batches are not read."""
        rows = self.store.read(table).where(F.col("ingest_batch").isin(list(self.ingest_batches)))
        if self.made_anew:
            rows = last_attempts(rows, table)
        return rows.where(F.col("status") == "ok")

    @property
    def partitions(self) -> int:
        """The number of tasks that narrow rows are cut into before they reach a model."""
        return partitions(self.store.spark, self.settings)


@dataclass(frozen=True)
class Stage:
    """A link of the chain. ``transform`` is pure: rows of ``source`` in, rows of ``target`` out, without the run's lineage."""

    name: str
    source: str
    target: str
    sections: tuple[str, ...]
    transform: Callable[[Batch], DataFrame]
    blob_source: bool = False
    blob_target: bool = False


@dataclass
class Run:
    """An invocation: its store, settings and id, and the function that it reports finished micro-batches to."""

    store: Store
    settings: Settings
    report: Report = lambda stage, row: None
    say: Say = lambda line: None  # gets a line when a stage waits for another writer
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


def start(stage: Stage, run: Run, check: Callable[[], None] = lambda: None) -> StreamingQuery:
    """Start the query of a stage over all rows that its source holds now. ``check`` is called before each write.

    Raises:
        StageError: the source is missing, or the checkpoint is missing or belongs to other settings, or its table is gone.
        jobs.engine.tables.TableError: a table has other columns.
    """
    store = run.store
    if not store.exists(stage.source):
        raise StageError(f"{stage.name} reads the table {stage.source}, which does not exist yet: run the earlier stages first")
    refuse_lost_table(stage, run)
    new = store.create(stage.target)
    store.create("runs")
    generation = generation_of(stage, run, new=new)
    # A narrow table has a file for each micro-batch, a blob table about one for each task.
    files = partitions(store.spark, run.settings) if stage.blob_source else 1
    return (
        store.stream(stage.source, files)
        .writeStream.queryName(f"dualset_{stage.name}")
        .foreachBatch(partial(_process, stage, run, generation, check, new=new, made_anew=any_made_anew(store)))
        .option("checkpointLocation", f"{store.checkpoint(stage.name)}/stream")
        .trigger(availableNow=True)
        .start()
    )


def finish(query: StreamingQuery, stage: Stage) -> None:
    """Wait for a query.

    Raises:
        StageError: the query failed; the message is a single line.
    """
    try:
        query.awaitTermination()
    except StreamingQueryException as problem:
        raise StageError(f"{stage.name} failed: {first_cause(str(problem))}") from problem


def any_made_anew(store: Store) -> bool:
    """Whether any record was made anew: nothing is asked of the tables where none was."""
    return any(present(made_anew_mark(store, stage)) for stage in ORIGINS)


def made_anew_mark(store: Store, origin: str) -> str:
    """The file that says that a stage has made records anew."""
    return f"{store.checkpoint(origin)}/made_anew"


def last_attempts(rows: DataFrame, table: str) -> DataFrame:
    """Of some rows of a table the last attempt at each key. Narrow, as only keys that were tried again are broadcast."""
    key = TABLES[table].key
    later = rows.where("attempt > 0").select(*key, "attempt")
    same = " AND ".join(f"later.{name} = t.{name}" for name in key)
    condition = F.expr(f"{same} AND later.attempt > t.attempt")
    return rows.alias("t").join(F.broadcast(later).alias("later"), on=condition, how="left_anti")


def write(stage: Stage, run: Run, rows: DataFrame, batch_id: int, attempt: int, application: str, version: int) -> None:
    """Add the run's lineage to a transform's rows and append them to the stage's table."""
    lineage = {
        "attempt": F.lit(attempt),
        "settings_hash": F.lit(settings_hash(run.settings, stage.sections)),
        "run_id": F.lit(run.run_id),
        "batch_id": F.lit(batch_id).cast("long"),
    }
    rows = rows.withColumns(lineage)
    # One file for each micro-batch, so that the next stage's micro-batches are as large. Blobs are never shuffled.
    run.store.append(rows if stage.blob_target else rows.repartition(1), stage.target, application, version)


def first_cause(text: str) -> str:
    """The line of a long Spark error that says what happened, without stack frames."""
    lines = [line.strip() for line in text.splitlines() if "Error: " in line or "Exception: " in line]
    own = [line for line in lines if line.startswith(("udfs.", "jobs."))]
    if own:
        return own[0].partition(": ")[2][:500]
    # The innermost cause comes last; py4j's lines only report the call.
    causes = [line for line in lines if not line.startswith(("File ", "at ", "py4j.", "raise "))]
    return (causes or [text.splitlines()[0]])[-1].removeprefix("Caused by: ")[:500]


def reset(stages: Sequence[Stage], run: Run) -> None:
    """``--fresh``: drop the tables and checkpoints of these stages (a stage and all after it)."""
    for stage in reversed(stages):
        # The note first: what a kill leaves of a checkpoint must not pass for a whole one.
        delete(f"{run.store.checkpoint(stage.name)}/generation")
        delete(run.store.checkpoint(stage.name))
        run.store.drop(stage.target)


def _process(
    stage: Stage,
    run: Run,
    generation: str,
    check: Callable[[], None],
    rows: DataFrame,
    batch_id: int,
    *,
    new: bool,
    made_anew: bool,
) -> None:
    started, clock = time.time(), time.perf_counter()
    rows = rows.where(F.col("status") == "ok")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit(f"{batch_id:08d}"))
    elif made_anew:
        rows = rows.where(F.col("batch_id") >= RETRIED)  # jobs.engine.versions makes the others
    if not stage.blob_source:
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    key = TABLES[stage.source].key
    counts = rows.groupBy("ingest_batch").agg(F.count("*").alias("count"), F.count_distinct(*key).alias("keys")).collect()
    batch = Batch(rows, run.store, run.settings, tuple(sorted(row["ingest_batch"] for row in counts)), made_anew=made_anew)
    if made_anew and stage.source != "records":
        current = F.broadcast(batch.lookup(stage.source).select(*key, "attempt"))
        batch = replace(batch, rows=rows.join(current, on=[*key, "attempt"], how="left_semi"))
    try:
        if stage.source != "records":  # of records, ingest itself leaves out what it knows
            _refuse_twice(stage, counts)
            if not (new and batch_id == 0):  # nothing can be known to a table that this run has created
                _refuse_known(stage, run, batch, batch_id)
        if batch.ingest_batches:
            check()
            write(stage, run, stage.transform(batch), batch_id, 0, f"{stage.name}-{generation}", batch_id)
        spent = time.perf_counter() - clock
        facts = {
            "generation": generation,
            "rows_in": sum(row["count"] for row in counts),
            "started_at": started,
            "write": spent,
        }
        _record(stage, run, batch, batch_id, facts)
    finally:
        batch.release()
        rows.unpersist()


def _record(stage: Stage, run: Run, batch: Batch, batch_id: int, facts: dict[str, Any]) -> None:
    """Append a row to ``runs``. It counts the committed rows, even if this try wrote none because an earlier one had."""
    committed = run.store.read(stage.target).where(
        F.col("ingest_batch").isin(list(batch.ingest_batches)) & (F.col("batch_id") == batch_id) & (F.col("attempt") == 0)
    )
    parts = ("load", "decode", "model", "encode")
    groups = (
        committed.groupBy("status")
        .agg(
            F.count("*").alias("count"),
            F.count_distinct("ingest_batch", *TABLES[stage.target].key).alias("keys"),
            F.collect_set("model_version").alias("versions"),
            *(F.sum(f"seconds.{part}").alias(part) for part in parts),
        )
        .collect()
    )
    if twice := [group for group in groups if group["count"] != group["keys"]]:
        raise StageError(_written_twice(stage.target, twice[0], batch.ingest_batches))
    seconds = {part: sum((group[part] or 0.0 for group in groups), 0.0) for part in parts}
    row = {
        "stage": stage.name,
        "batch_id": batch_id,
        "run_id": run.run_id,
        "generation": facts["generation"],
        "rows_in": facts["rows_in"],
        "rows": {group["status"]: group["count"] for group in groups},
        "started_at": datetime.fromtimestamp(facts["started_at"], UTC),
        "wall_seconds": time.time() - facts["started_at"],
        "seconds": seconds,
        "write_seconds": facts["write"],
        "models": sorted({version for group in groups for version in group["versions"]}),
        "settings_hash": settings_hash(run.settings, stage.sections),
        "settings": run.settings.shown(),
    }

    record = run.store.local_rows([row], "runs")
    # All stages write to it. On S3 Delta itself does not keep the writers of two sessions apart.
    with writing(run.store.root, ["runs"], patience_s=BRIEFLY_S):
        run.store.append(record, "runs", f"runs-{stage.name}-{facts['generation']}", batch_id)
    run.report(stage.name, row)


def _refuse_twice(stage: Stage, counts: Sequence[Row]) -> None:
    """Refuse rows that are twice in the source: their results would be duplicated."""
    for counted in counts:
        if counted["count"] != counted["keys"]:
            raise StageError(_written_twice(stage.source, counted, [counted["ingest_batch"]]))


def _refuse_known(stage: Stage, run: Run, batch: Batch, batch_id: int) -> None:
    """Refuse rows that were processed by another micro-batch: their results would be duplicated."""
    key = list(TABLES[stage.source].key)
    done = run.store.read(stage.target).where(F.col("ingest_batch").isin(list(batch.ingest_batches)) & (F.col("attempt") == 0))
    done = done.where(F.col("batch_id") != batch_id).join(F.broadcast(batch.rows.select(*key)), on=key, how="left_semi")
    if (first := done.select("ingest_batch", *key).first()) is not None:
        known = ", ".join(f"{name} {first[name]}" for name in key)
        raise StageError(
            f"{stage.target} has rows of {known} already, so {stage.source} has that key twice; start the stage that writes"
            f" {stage.source} anew: dualset run --fresh STAGE"
        )


def _written_twice(table: str, counted: Row, ingest_batches: Sequence[str]) -> str:
    return (
        f"{table} has {counted['count']} rows of {counted['keys']} keys in ingest batch {', '.join(ingest_batches[:3])}: some"
        " were written twice; start the stage that writes it anew: dualset run --fresh STAGE"
    )


def refuse_lost_table(stage: Stage, run: Run) -> None:
    """Refuse a checkpoint without its table: it would claim that all is done, and the rows would never be made again."""
    if not run.store.exists(stage.target) and written_note(run, stage):
        raise StageError(
            f"{stage.target} is gone but the checkpoint of {stage.name} says that it was written; "
            f"start the stage anew with: {_fresh_command(stage, run)}"
        )


def refuse_half_checkpoint(stage: Stage, run: Run, generation: str) -> None:
    """Refuse a checkpoint that has lost micro-batches which ``runs`` knows.

    New rows would get their batch ids, and Delta would skip them as already written.
    """
    store = run.store
    if not store.exists("runs"):
        return
    done = store.read("runs").where((F.col("stage") == stage.name) & (F.col("generation") == generation))
    last = done.agg(F.max("batch_id")).first()
    assert last is not None, "an aggregate without groups has one row"
    offsets = f"{store.checkpoint(stage.name)}/stream/offsets"
    planned = max((int(name) for name in listed(offsets) if name.isdigit()), default=-1)
    if planned >= 0 and not _is_whole_offset(read_text(f"{offsets}/{planned}")):
        raise StageError(
            f"the checkpoint of {stage.name} is not whole: its file offsets/{planned} is cut short;"
            f" start the stage anew with: {_fresh_command(stage, run)}"
        )
    if last[0] is not None and planned < last[0]:
        raise StageError(
            f"the checkpoint of {stage.name} is not whole: {stage.target} has micro-batch {last[0]}, and the checkpoint knows of"
            f" {planned + 1} micro-batches; start the stage anew with: {_fresh_command(stage, run)}"
        )


def _is_whole_offset(text: str) -> bool:
    """Whether this is what Spark notes before a micro-batch: a version, its metadata, and an offset of each source."""
    version, *notes = text.splitlines() or [""]
    try:
        return version == "v1" and len(notes) == 2 and all(isinstance(json.loads(note), dict) for note in notes)
    except ValueError:
        return False


def _fresh_command(stage: Stage, run: Run) -> str:
    return f"dualset run --root {run.store.root} --fresh {stage.name}"


def generation_of(stage: Stage, run: Run, *, new: bool = False) -> str:
    """The generation of a stage's checkpoint; a stage without rows and without a checkpoint gets a new one.

    ``new``: the table was created just now, so it is not asked whether it has rows.

    Raises:
        StageError: the table has rows but no checkpoint, or the checkpoint belongs to other settings.
    """
    store, path = run.store, _note_of(stage, run)
    digest = settings_hash(run.settings, stage.sections)
    fresh = _fresh_command(stage, run)
    kept = written_note(run, stage)
    if kept is None:
        if not new and not store.is_empty(stage.target):
            raise StageError(
                f"{stage.target} has rows but the checkpoint of {stage.name} is missing, so nobody knows what is still to do; "
                f"start the stage anew with: {fresh}"
            )
        # A query that was killed before its first batch may have left a stream folder without a generation.
        delete(f"{store.checkpoint(stage.name)}/stream")
        kept = {"generation": uuid.uuid4().hex[:12], "settings_hash": digest}
        make_folder(path)
        put_whole(f"{path}/part-0.json", json.dumps(kept).encode())
    else:
        refuse_half_checkpoint(stage, run, kept["generation"])
    if kept["settings_hash"] != digest:
        raise StageError(
            f"{stage.name} has run with other settings ({', '.join(stage.sections)}: {kept['settings_hash']}, now {digest}); "
            f"use those again, or start the stage anew with: {fresh}"
        )
    return kept["generation"]


def _note_of(stage: Stage, run: Run) -> str:
    return f"{run.store.checkpoint(stage.name)}/generation"


def _is_whole_part(name: str) -> bool:
    """Whether a file of a note is whole; Spark wrote the notes of older roots."""
    return name.startswith("part-") and not name.endswith(".part")


def written_note(run: Run, stage: Stage) -> dict[str, str] | None:
    """What a stage's checkpoint says, ``generation`` and ``settings_hash``; None without a checkpoint.

    Raises:
        StageError: the note is damaged.
    """
    note = _note_of(stage, run)  # not read by Spark, which takes [ and * in a root's name for a pattern
    text = "".join(read_text(f"{note}/{name}") for name in listed(note) if _is_whole_part(name))
    try:
        return json.loads(text) if text else None
    except ValueError as problem:
        raise StageError(
            f"the checkpoint of {stage.name} is not whole: its note is cut short; start the stage anew with:"
            f" {_fresh_command(stage, run)}"
        ) from problem
