"""The chain of stages, and the ways to run it: once, continuously, anew from a stage on, or only the rows that failed."""

import time
from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import extract, ingest, inpaint, placebos, plan, recheck, rewrite, score, segment, variants
from jobs.engine.schemas import TABLES
from jobs.engine.stream import Batch, Run, Stage, StageError, bring_up_to_date, generation_of, reset, write
from jobs.engine.views import latest
from jobs.engine.writers import writing

CHAIN: tuple[Stage, ...] = tuple(module.STAGE for module in (ingest, extract, segment, plan, rewrite, inpaint, recheck, score))
NAMES = tuple(stage.name for stage in CHAIN)
SIDE_STAGES: tuple[Stage, ...] = (variants.STAGE, placebos.STAGE)  # run only by name; no stage waits for them


def stages_named(names: Sequence[str]) -> list[Stage]:
    """The stages of these names, in the order of the chain, side stages last.

    Raises:
        StageError: there is no stage of such a name.
    """
    stages = (*CHAIN, *SIDE_STAGES)
    unknown = sorted(set(names) - {stage.name for stage in stages})
    if unknown:
        side = ", ".join(stage.name for stage in SIDE_STAGES)
        raise StageError(f"no stage {', '.join(unknown)}; the chain is {', '.join(NAMES)}; side stages: {side}")
    return [stage for stage in stages if stage.name in names]


def run_chain(run: Run, names: Sequence[str] = NAMES) -> None:
    """Bring each stage up to date with its source, one after the other."""
    for stage in stages_named(names):
        bring_up_to_date(stage, run)


def run_continuously(run: Run, names: Sequence[str] = NAMES) -> None:
    """Run the chain again and again, with a pause between the rounds, until interrupted."""
    while True:
        run_chain(run, names)
        time.sleep(run.settings.spark.pause_s)


def fresh_from(run: Run, name: str) -> None:
    """Drop the tables and checkpoints of a stage and of all later ones. ``records`` stays: it is what the sources hold."""
    (first,) = stages_named([name])
    chain = CHAIN[CHAIN.index(first) :] if first in CHAIN else (first,)
    dropped = {stage.target for stage in chain}
    stages = (*chain, *(stage for stage in SIDE_STAGES if stage.source in dropped))
    with writing(run.store.root, [stage.target for stage in stages], run.say):
        reset(stages, run)


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
            with writing(run.store.root, [stage.target], run.say) as check:
                keys_by_stage[stage.name] = _retry_stage(run, stage, status, check)
    return keys_by_stage


def _retry_stage(run: Run, stage: Stage, status: str, check: Callable[[], None]) -> int:
    generation = generation_of(stage, run)  # refuses where the table's rows were made with other settings
    key = list(TABLES[stage.target].key)
    current = run.store.spark.sql(f"SELECT * FROM {latest(run.store, stage.target, withdrawn=False)}")  # noqa: S608
    failed = current.where(F.col("status") == status).select("ingest_batch", *key, "attempt")
    batches = [row["ingest_batch"] for row in failed.select("ingest_batch").distinct().orderBy("ingest_batch").collect()]
    total = 0
    for ingest_batch in batches:
        failed_here = failed.where(F.col("ingest_batch") == ingest_batch).persist()
        attempts = sorted(row["attempt"] for row in failed_here.select("attempt").distinct().collect())
        for attempt in attempts:
            keys = failed_here.where(F.col("attempt") == attempt).select(*key)
            facts = keys.agg(F.count("*").alias("keys"), F.bit_xor(F.xxhash64(*key)).alias("digest")).collect()[0]
            total += facts["keys"]
            batch = _sources_of(run, stage, ingest_batch, keys, attempt + 1)
            rows = stage.transform(batch).join(F.broadcast(keys), on=key, how="left_semi")
            # Two retries of the same keys at the same time have the same application: Delta writes their rows once.
            application = f"{stage.name}-retry-{generation}-{ingest_batch}-{facts['digest'] & (2**64 - 1):016x}"
            check()
            write(stage, run, rows, -1, attempt + 1, application, attempt + 1)
            for kept in batch.kept:
                kept.unpersist()
        failed_here.unpersist()
    return total


def _sources_of(run: Run, stage: Stage, ingest_batch: str, keys: DataFrame, attempt: int) -> Batch:
    """The batch that a stage makes the rows of ``keys`` from."""
    records = F.broadcast(keys.select("record_id").distinct())
    rows = run.store.read(stage.source).where(F.col("status") == "ok")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit(ingest_batch))
    else:
        rows = rows.where(F.col("ingest_batch") == ingest_batch)
    return Batch(rows.join(records, on="record_id", how="left_semi"), run.store, run.settings, (ingest_batch,), attempt)
