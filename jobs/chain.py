"""The chain of stages, and running it: once, again and again, from one stage on, or only what failed."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs import extract, ingest, inpaint, placebos, plan, recheck, rewrite, score, segment, variants
from jobs.stream import Batch, Run, Stage, StageError, finish, generation_of, reset, start, write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CHAIN: tuple[Stage, ...] = tuple(module.STAGE for module in (ingest, extract, segment, plan, rewrite, inpaint, recheck, score))
NAMES = tuple(stage.name for stage in CHAIN)
BESIDE: tuple[Stage, ...] = (variants.STAGE, placebos.STAGE)  # run where asked for by name; no stage waits for them


def named(names: Sequence[str]) -> list[Stage]:
    """Stages by name, in the order of the chain, those beside it last."""
    every = (*CHAIN, *BESIDE)
    unknown = sorted(set(names) - {stage.name for stage in every})
    if unknown:
        beside = ", ".join(stage.name for stage in BESIDE)
        raise StageError(f"no stage {', '.join(unknown)}; the chain is {', '.join(NAMES)}, and beside it {beside}")
    return [stage for stage in every if stage.name in names]


def run_chain(run: Run, names: Sequence[str] = NAMES) -> None:
    """Bring each stage up to what its source holds, one after the other."""
    for stage in named(names):
        finish(start(stage, run), stage)


def run_continuously(run: Run, names: Sequence[str] = NAMES) -> None:
    """Go round the chain, with a pause, until interrupted."""
    while True:
        run_chain(run, names)
        time.sleep(run.settings.spark.pause_s)


def fresh_from(run: Run, name: str) -> None:
    """Drop the tables and checkpoints of a stage and of all after it. ``records`` stays: it is what the sources said."""
    (stage,) = named([name])
    gone = CHAIN[CHAIN.index(stage) :] if stage in CHAIN else (stage,)
    dropped = {one.target for one in gone}
    reset((*gone, *(one for one in BESIDE if one.source in dropped)), run)


def retry(run: Run, status: str, names: Sequence[str] = NAMES) -> dict[str, int]:
    """Try again what ended with ``status``: appends attempt + 1 for just those keys; returns how many, by stage.

    A stage's rows are tried with the settings that its checkpoint belongs to. Rows that turn out well flow on with the next run.

    Raises:
        StageError: ``status`` is ok (such rows have gone on, and would be there twice), or the settings are others.
    """
    if status == "ok":
        raise StageError(
            "rows that are ok have gone on and are not tried again; to start a stage anew: dualset run --fresh STAGE"
        )
    tried = {}
    for stage in named(names):
        if run.store.is_empty(stage.target):
            continue
        tried[stage.name] = _retry_stage(run, stage, status)
    return tried


def _retry_stage(run: Run, stage: Stage, status: str) -> int:
    from pyspark.sql import functions as F

    from jobs.schemas import TABLES
    from jobs.views import latest

    generation = generation_of(stage, run)  # refuses where the settings are not those of the rows that are there
    key = list(TABLES[stage.target].key)
    current = run.store.spark.sql(f"SELECT * FROM {latest(run.store, stage.target, withdrawn=False)}")  # noqa: S608
    failed = current.where(F.col("status") == status).select("ingest_batch", *key, "attempt")
    waves = [row["ingest_batch"] for row in failed.select("ingest_batch").distinct().orderBy("ingest_batch").collect()]
    total = 0
    for wave in waves:
        mine = failed.where(F.col("ingest_batch") == wave).persist()
        attempts = sorted(row["attempt"] for row in mine.select("attempt").distinct().collect())
        for attempt in attempts:
            again = mine.where(F.col("attempt") == attempt).select(*key)
            facts = again.agg(F.count("*").alias("keys"), F.bit_xor(F.xxhash64(*key)).alias("digest")).collect()[0]
            total += facts["keys"]
            batch = _sources_of(run, stage, wave, again, attempt + 1)
            rows = stage.transform(batch).join(F.broadcast(again), on=key, how="left_semi")
            # The same keys are written once, also by two that try them again at the same time.
            application = f"{stage.name}-retry-{generation}-{wave}-{facts['digest'] & (2**64 - 1):016x}"
            write(stage, run, rows, -1, attempt + 1, application, attempt + 1)
            for kept in batch.kept:
                kept.unpersist()
        mine.unpersist()
    return total


def _sources_of(run: Run, stage: Stage, wave: str, again: "DataFrame", attempt: int) -> Batch:
    from pyspark.sql import functions as F

    wanted = F.broadcast(again.select("record_id").distinct())
    rows = run.store.read(stage.source).where(F.col("status") == "ok")
    if stage.source == "records":
        rows = rows.withColumn("ingest_batch", F.lit(wave))
    else:
        rows = rows.where(F.col("ingest_batch") == wave)
    return Batch(rows.join(wanted, on="record_id", how="left_semi"), run.store, run.settings, (wave,), attempt)
