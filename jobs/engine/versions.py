"""How a stage is brought up to date: first its stream, then the records that an earlier stage has made anew.

Rows that are ok have flowed on, so that a later attempt at one changes all later tables. A stage from which records are made anew
(``ORIGINS``) gives each a new version, one more than any that its ingest batch has seen. Its rows have batch id ``-1 - version``
and a later attempt, and no stream reads them. A later stage makes its rows of a record again, of the same version, when a table
that they are made from has a higher version of that record than its own, and all those tables are up to date. Keys that the
record has no more, as its family became smaller, get a row with status ``superseded``. Nothing else notes what is left to do: a
kill, or a run of some stages only, loses nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.schemas import TABLES
from jobs.engine.stream import RETRIED, Batch, Run, Stage, any_made_anew, finish, generation_of, last_attempts, start, write
from jobs.engine.tables import Store
from jobs.engine.writers import writing

VERSION = f"cast({RETRIED} - batch_id AS INT)"  # of a row of a record that was made anew
# What a table's rows are made from. Images come after texts in the chain, and are not made from them. Instances of a grounded
# segmenter have phrases of the captions as they were read then: where others are read later, nothing is said of these.
MADE_FROM = {
    "components": ("images",),
    "instances": ("images",),
    "families": ("components", "instances"),
    "dual_texts": ("components", "families"),
    "dual_images": ("families", "instances"),
    "rechecks": ("dual_images", "instances"),
    "scores": ("families", "dual_texts", "dual_images", "rechecks"),
    "text_variants": ("families", "instances", "dual_texts"),
    "placebos": ("families", "instances"),
}
IS_ANEW = f"batch_id < {RETRIED}"
KEY = ["ingest_batch", "record_id"]


def bring_up_to_date(stage: Stage, run: Run) -> None:
    """Process all rows that the stage's source holds now, as the only writer of the stage's table.

    Raises:
        jobs.engine.stream.StageError: the query cannot start (``start``), or failed.
        jobs.engine.tables.TableError: a table has other columns.
        jobs.engine.writers.WriterError: another machine writes the table.
    """
    with writing(run.store.root, [stage.target], run.say) as check:
        finish(start(stage, run, check), stage)
        make_anew(stage, run, check)


def make_anew(stage: Stage, run: Run, check: Callable[[], None]) -> None:
    """Make the stage's rows of all outdated records again. The caller holds the lock of the stage's table."""
    if stage.source == "records" or not any_made_anew(run.store):
        return
    generation = generation_of(stage, run)
    for ingest_batch, attempt, version, records in _groups(stage, run.store):
        rows = last_attempts(_of(run.store, stage.source, ingest_batch, records), stage.source).where("status = 'ok'")
        batch = Batch(rows, run.store, run.settings, (ingest_batch,), attempt, made_anew=True)
        made = batch.keep(stage.transform(batch))
        key = list(TABLES[stage.target].key)
        gone = last_attempts(_of(run.store, stage.target, ingest_batch, records), stage.target)
        gone = gone.select(*key, "status").where("status <> 'superseded'").join(F.broadcast(made.select(*key)), key, "left_anti")
        gone = gone.select(F.lit(ingest_batch).alias("ingest_batch"), *key, F.lit("superseded").alias("status"))
        rows = made.unionByName(gone, allowMissingColumns=True)
        if not rows.isEmpty():  # such as the placebos of a family without a component
            check()
            write_version(stage, run, rows, records, generation, attempt, version)
        batch.release()


def write_version(
    stage: Stage, run: Run, rows: DataFrame, records: DataFrame, generation: str, attempt: int, version: int
) -> None:
    """Append rows of a version of these records; a second append of the same is ignored."""
    digest = records.agg(F.bit_xor(F.xxhash64("record_id")).alias("digest")).collect()[0]["digest"] or 0
    application = f"{stage.name}-anew-{generation}-{digest & (2**64 - 1):016x}-{version}"
    write(stage, run, rows, RETRIED - version, attempt, application, attempt)


def next_version(store: Store, ingest_batch: str, tables: Sequence[str]) -> int:
    """A higher version than any row of an ingest batch has in these tables."""
    versions = [_versions(store, table).where(F.col("ingest_batch") == ingest_batch) for table in tables if store.exists(table)]
    highest = reduce(DataFrame.unionByName, versions).agg(F.max("version")).collect()[0][0]
    return 1 + (highest or 0)


def outdated(stage: Stage, store: Store, versions: DataFrame | None = None) -> DataFrame:
    """The records whose rows in the stage's table were made from rows that have been made anew since.

    Args:
        stage: the stage.
        store: the tables.
        versions: of ``versions_by_record``, where several stages are asked about the same state of the tables.

    Returns:
        ``ingest_batch``, ``record_id``, ``version`` (which their rows are to have) and ``attempt`` (likewise).
    """
    # Not only cached: computed again in the midst of the work, they would lack what is done.
    candidates = _candidates(stage, store, versions).localCheckpoint()
    if candidates.isEmpty():
        return candidates.selectExpr(*KEY, "version", "1 AS attempt")
    known = F.broadcast(candidates.select(*KEY))
    source = last_attempts(store.read(stage.source).join(known, on=KEY, how="left_semi"), stage.source)
    ready = source.where("status = 'ok'").select(*KEY, F.expr("true AS ready")).distinct()
    joined = candidates.join(ready, on=KEY, how="left").join(_state(store, stage.target, candidates), on=KEY, how="left")
    # A record whose rows were superseded, as the stage before had failed on it, waits for that stage whatever it is made from.
    rule = "version > has AND (ready IS NOT NULL OR shown) OR gate > has AND ready IS NOT NULL AND NOT coalesce(shown, false)"
    rows = joined.where(rule).selectExpr(*KEY, "greatest(version, gate) AS version", "coalesce(tried, 0) + 1 AS attempt")
    return rows.localCheckpoint()


def versions_by_record(store: Store, tables: Iterable[str]) -> DataFrame:
    """The records with a version above 0, one row each: under each table's name its highest, 0 where it has none.

    Under the name with ``_ok`` stands the highest of the rows that are ok.
    """
    rows = reduce(DataFrame.unionByName, [_versions(store, table).withColumn("name", F.lit(table)) for table in tables])
    highest = [
        F.expr(f"coalesce(max(version) FILTER (WHERE name = '{table}'{ok}), 0) AS {table}{suffix}")
        for table in tables
        for suffix, ok in (("", ""), ("_ok", " AND status = 'ok'"))
    ]
    return rows.groupBy(*KEY).agg(*highest)


def _candidates(stage: Stage, store: Store, versions: DataFrame | None) -> DataFrame:
    """The records with a higher version before the stage than after it, and nothing outdated before it: narrow, and mostly none.

    Returns:
        Their versions: ``version`` in what the rows are made from, ``gate`` in the ok rows of the source, ``has`` in the target.
    """
    before = [table for table in MADE_FROM[stage.target] if store.exists(table)]
    further = [table for near in before for table in MADE_FROM.get(near, ()) if store.exists(table)]
    tables = sorted({*before, *further, stage.source, stage.target})
    by_record = versions_by_record(store, tables) if versions is None else versions
    up_to_date = [f"{table} >= {name}" for table in before for name in MADE_FROM.get(table, ()) if name in tables]
    by_record = by_record.where(" AND ".join(up_to_date) or "true")
    highest = f"greatest(0, {', '.join(before)}) AS version"
    narrow = by_record.selectExpr(*KEY, highest, f"{stage.source}_ok AS gate", f"{stage.target} AS has")
    return narrow.where("version > has OR gate > has")


def mixed(store: Store, table: str, reads: Sequence[str]) -> DataFrame:
    """The records whose rows of a table were made from rows of the tables ``reads`` that have been made anew since."""
    rows = reduce(DataFrame.unionByName, [_versions(store, name) for name in reads])
    wanted = rows.groupBy(*KEY).agg(F.max("version").alias("wanted"))
    joined = wanted.join(_state(store, table, wanted), on=KEY, how="inner")
    return joined.where("shown AND wanted > coalesce(state, 0)").select(*KEY)


def _state(store: Store, table: str, records: DataFrame) -> DataFrame:
    """By record its version in a table (``state``, null for 0), its last attempt, and whether it has rows not superseded."""
    rows = store.read(table).join(F.broadcast(records.select(*KEY)), on=KEY, how="left_semi")
    return rows.groupBy(*KEY).agg(
        F.expr(f"max(IF({IS_ANEW}, {VERSION}, null)) AS state"),
        F.max("attempt").alias("tried"),
        F.max(F.struct("attempt", (F.col("status") != "superseded").alias("shown")))["shown"].alias("shown"),
    )


def _groups(stage: Stage, store: Store) -> Iterator[tuple[str, int, int, DataFrame]]:
    """Outdated records that are made in one go: their ingest batch, attempt and version."""
    rows = outdated(stage, store)
    names = ["ingest_batch", "attempt", "version"]
    for ingest_batch, attempt, version in rows.select(*names).distinct().orderBy(*names).collect():
        here = (F.col("ingest_batch") == ingest_batch) & (F.col("attempt") == attempt) & (F.col("version") == version)
        yield ingest_batch, attempt, version, rows.where(here).select("record_id")


def _versions(store: Store, table: str) -> DataFrame:
    return store.read(table).where(IS_ANEW).selectExpr(*KEY, f"{VERSION} AS version", "status")


def _of(store: Store, table: str, ingest_batch: str, records: DataFrame) -> DataFrame:
    rows = store.read(table).where(F.col("ingest_batch") == ingest_batch)
    return rows.join(F.broadcast(records), on="record_id", how="left_semi")
