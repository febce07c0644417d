"""Trying again: rows that failed, and rows that rules made in place of a language model. It is ``dualset retry``."""

from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.chain import CHAIN, NAMES, SIDE_STAGES, stages_named
from jobs.engine.schemas import TABLES
from jobs.engine.stream import (
    ORIGINS,
    RETRIED,
    Batch,
    Run,
    Stage,
    StageError,
    any_made_anew,
    generation_of,
    last_attempts,
    made_anew_mark,
    write,
)
from jobs.engine.versions import make_anew, next_version, write_version
from jobs.engine.views import current_rows, last_rows
from jobs.engine.writers import writing
from jobs.look.status import stand_ins_in
from udfs.files import mark

LATER = tuple(stage.target for stage in (*CHAIN, *SIDE_STAGES) if stage.name != "ingest")  # tables with versions of records


def retry(run: Run, status: str, names: Sequence[str] = NAMES) -> dict[str, int]:
    """Try the rows that ended with ``status`` again: append attempt + 1 for their keys. Returns the number of keys by stage.

    The settings must be those that the stage's checkpoint belongs to. Rows that are ok now flow on with the next run.

    Raises:
        StageError: ``status`` is ok (such rows have flowed on, and would appear twice), or the settings are others.
    """
    if status == "ok":
        raise StageError(
            "rows that are ok have flowed on and are not tried again; to start a stage anew: dualset run --fresh STAGE"
        )
    keys_by_stage = {}
    for stage in stages_named(names):
        if not run.store.is_empty(stage.target):
            # Versions are counted over all tables, so that their writers have to wait once there are any.
            while stage.name not in keys_by_stage:
                made_anew = any_made_anew(run.store)
                with writing(run.store.root, [stage.target, *(LATER if made_anew else ())], run.say) as check:
                    if made_anew == any_made_anew(run.store):
                        _make_anew_up_to(stage, run, check)
                        keys_by_stage[stage.name] = _retry_stage(run, stage, status, check)
    return keys_by_stage


def retry_stand_ins(run: Run, names: Sequence[str] = ORIGINS) -> dict[str, tuple[int, int]]:
    """Ask the language models again where rules stood in for them, and make these records anew.

    A record is written only if rules stand in for fewer of its captions, or texts, than before. Its later rows are made anew with
    the next run.

    Returns:
        By stage the number of records that were asked again, and of those that were written.

    Raises:
        StageError: a stage is named that asks no language model, or the settings are not those of its rows.
    """
    if others := sorted(set(names) - set(ORIGINS)):
        raise StageError(f"rules stand in for a model in {' and '.join(ORIGINS)} only, not in {', '.join(others)}")
    counts = {}
    with writing(run.store.root, LATER, run.say) as check:
        for stage in stages_named(names):
            if run.store.exists(stage.target):
                _make_anew_up_to(stage, run, check)
                counts[stage.name] = _retry_stand_ins(run, stage, check)
    return counts


def _make_anew_up_to(last: Stage, run: Run, check: Callable[[], None]) -> None:
    """What an earlier stage has made anew comes first: versions then rise along the chain."""
    for stage in (*CHAIN, *SIDE_STAGES):
        if run.store.exists(stage.target):
            make_anew(stage, run, check)
        if stage == last:
            return


def _retry_stage(run: Run, stage: Stage, status: str, check: Callable[[], None]) -> int:
    generation = generation_of(stage, run)  # refuses where the table's rows were made with other settings
    key = list(TABLES[stage.target].key)
    failed = last_rows(run.store, stage.target).where(F.col("status") == status)
    failed = failed.select("ingest_batch", *key, "attempt", (F.col("batch_id") < RETRIED).alias("anew"))
    total = 0
    for ingest_batch in _ingest_batches(failed):
        failed_here = failed.where(F.col("ingest_batch") == ingest_batch).persist()
        for attempt, anew in failed_here.select("attempt", "anew").distinct().orderBy("attempt", "anew").collect():
            keys = failed_here.where((F.col("attempt") == attempt) & (F.col("anew") == anew)).select(*key)
            facts = keys.agg(F.count("*").alias("keys"), F.bit_xor(F.xxhash64(*key)).alias("digest")).collect()[0]
            total += facts["keys"]
            batch = _sources_of(run, stage, ingest_batch, keys, attempt + 1)
            rows = stage.transform(batch).join(F.broadcast(keys), on=key, how="left_semi")
            # Two retries of the same keys at the same time have the same application: Delta writes their rows once.
            application = f"{stage.name}-retry-{generation}-{ingest_batch}-{facts['digest'] & (2**64 - 1):016x}"
            batch_id = RETRIED - next_version(run.store, ingest_batch, LATER) if anew else RETRIED
            check()
            write(stage, run, rows, batch_id, attempt + 1, application, attempt + 1)
            batch.release()
        failed_here.unpersist()
    return total


def _retry_stand_ins(run: Run, stage: Stage, check: Callable[[], None]) -> tuple[int, int]:
    generation = generation_of(stage, run)
    count = stand_ins_in(stage.name)
    current = (
        current_rows(run.store, stage.target)
        .where("status = 'ok'")
        .select("ingest_batch", "record_id", "attempt", count.alias("before"))
        .where("before > 0")
    )
    asked = written = 0
    for ingest_batch in _ingest_batches(current):
        here = current.where(F.col("ingest_batch") == ingest_batch).localCheckpoint()
        version = next_version(run.store, ingest_batch, LATER)
        batch = _sources_of(run, stage, ingest_batch, here.select("record_id"), 1)
        made = batch.keep(stage.transform(batch).where("status = 'ok'"))
        better = made.join(F.broadcast(here.select("record_id", "attempt", "before")), on="record_id", how="inner")
        better = batch.keep(better.where(count < F.col("before")))
        asked += here.count()
        for (attempt,) in better.select("attempt").distinct().orderBy("attempt").collect():
            rows = better.where(F.col("attempt") == attempt).drop("attempt", "before")
            written += rows.count()
            mark(made_anew_mark(run.store, stage.name))
            check()
            write_version(stage, run, rows, rows.select("record_id"), generation, attempt + 1, version)
        batch.release()
    return asked, written


def _ingest_batches(rows: DataFrame) -> list[str]:
    return [row["ingest_batch"] for row in rows.select("ingest_batch").distinct().orderBy("ingest_batch").collect()]


def _sources_of(run: Run, stage: Stage, ingest_batch: str, keys: DataFrame, attempt: int) -> Batch:
    """The batch that a stage makes the rows of ``keys`` from."""
    records = F.broadcast(keys.select("record_id").distinct())
    rows = run.store.read(stage.source)
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit(ingest_batch))
    else:
        rows = rows.where(F.col("ingest_batch") == ingest_batch)
    rows = rows.join(records, on="record_id", how="left_semi")
    made_anew = any_made_anew(run.store)
    if made_anew and stage.source != "records":
        rows = last_attempts(rows, stage.source)
    rows = rows.where(F.col("status") == "ok")
    return Batch(rows, run.store, run.settings, (ingest_batch,), attempt, made_anew)
