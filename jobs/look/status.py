"""What each stage has done and what waits for it: ``dualset status``."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.chain import CHAIN
from jobs.engine.stream import StageError, any_made_anew
from jobs.engine.tables import Store
from jobs.engine.versions import outdated, versions_by_record
from jobs.engine.views import current_rows, last_rows


class StageStatus(NamedTuple):
    """A stage's line. ``waiting``: records that are ok in the source and have no row in the target yet, or outdated ones."""

    stage: str
    table: str
    rows: int = 0
    ok: int = 0
    not_ok: int = 0
    waiting: int = 0
    wall_seconds: float = 0.0
    batches: int = 0


def current_runs(store: Store) -> DataFrame:
    """The rows of ``runs`` of each stage's current generation; ``--fresh`` leaves those of dropped generations."""
    runs = store.read("runs")
    newest = runs.groupBy("stage").agg(F.max_by("generation", "started_at").alias("generation"))
    return runs.join(F.broadcast(newest), on=["stage", "generation"], how="left_semi")


def require_tables(store: Store) -> None:
    """Check that the chain has run to its end over this root.

    Raises:
        StageError: a stage's table does not exist yet.
    """
    missing = [stage.target for stage in CHAIN if not store.exists(stage.target)]
    if missing:
        raise StageError(f"{store.root} has no {', '.join(missing)} yet: dualset run --root {store.root}")


def stage_status(store: Store) -> list[StageStatus]:
    """The status of each stage, in the order of the chain. Of rows that were tried again, the last attempt counts."""
    tables = [table for table in ("records", *(stage.target for stage in CHAIN)) if store.exists(table)]
    if not tables:
        return [StageStatus(stage.name, stage.target) for stage in CHAIN]
    spent = _spent(store) if store.exists("runs") else {}
    counts, remade = _counts(store, tables), _outdated(store, tables)
    statuses = []
    for stage in CHAIN:
        waiting = counts.get(f"{stage.target}_waiting", 0) + remade.get(stage.target, 0)
        if stage.target not in tables:
            statuses.append(StageStatus(stage.name, stage.target, waiting=waiting))
            continue
        rows, ok = counts[f"{stage.target}_rows"], counts[f"{stage.target}_ok"]
        statuses.append(StageStatus(stage.name, stage.target, rows, ok, rows - ok, waiting, *spent.get(stage.name, (0.0, 0))))
    return statuses


def _counts(store: Store, tables: Sequence[str]) -> dict[str, int]:
    """For each table TABLE its ``TABLE_rows`` and ``TABLE_ok``; for each stage that fills one its ``TABLE_waiting``.

    One query over the narrow columns of all tables: a query each costs seconds before it reads a row.
    """
    narrow = [last_rows(store, table).select("record_id", "status", F.lit(table).alias("name")) for table in tables]
    rows = reduce(DataFrame.unionByName, narrow)
    by_record = rows.groupBy("record_id").agg(
        *[F.expr(f"count_if(name = '{table}') AS {table}_rows") for table in tables],
        *[F.expr(f"count_if(name = '{table}' AND status = 'ok') AS {table}_ok") for table in tables],
    )
    waiting = [
        F.expr(f"count_if({stage.source}_ok > 0 AND {f'{stage.target}_rows' if stage.target in tables else 0} = 0)").alias(
            f"{stage.target}_waiting"
        )
        for stage in CHAIN
        if stage.source in tables
    ]
    sums = [F.expr(f"coalesce(sum({name}), 0) AS {name}") for name in by_record.columns if name != "record_id"]
    row = by_record.agg(*sums, *waiting).first()
    assert row is not None, "an aggregate without groups has one row"
    return row.asDict()


def _outdated(store: Store, tables: Sequence[str]) -> dict[str, int]:
    """By table the records whose rows were made from rows that have been made anew since."""
    if not any_made_anew(store):
        return {}
    versions = versions_by_record(store, [table for table in tables if table != "records"]).localCheckpoint()
    counts = {}
    for stage in CHAIN:
        if stage.source != "records" and stage.target in tables:
            records = outdated(stage, store, versions)
            if not records.isEmpty():
                shown = last_rows(store, stage.target).select("record_id").distinct()  # those that are not wait as new ones do
                counts[stage.target] = records.join(shown, "record_id", "left_semi").count()
    return counts


class StandIn(NamedTuple):
    """Captions or dual texts that rules made, as the answer of the configured language model could not be used."""

    stage: str  # the one that ``dualset run --fresh`` makes anew
    what: str  # captions or texts
    reason: str  # such as model_error
    rows: int


def stand_ins(store: Store) -> list[StandIn]:
    """How many captions the rules read, and how many texts they wrote, in place of a language model, by reason."""
    counts = []
    for stage, (table, column, maker) in MADE_BY.items():
        if store.exists(table):
            makers = current_rows(store, table).select(F.explode(f"{column}.{maker}").alias("maker"))
            groups = makers.groupBy(F.expr(REASON).alias("reason")).count().where("reason <> ''").orderBy("reason").collect()
            counts += [StandIn(stage, column, group["reason"], group["count"]) for group in groups]
    return counts


def stand_ins_in(stage: str) -> Column:
    """How many captions, or texts, of a row of the stage's table rules made in place of a language model."""
    _, column, maker = MADE_BY[stage]
    return F.expr(f"size(filter(coalesce({column}.{maker}, array()), maker -> {REASON} <> ''))")


# By stage its table, and which column says who made what. Captions that are not monotone are not for a model.
MADE_BY = {"extract": ("components", "captions", "extractor"), "rewrite": ("dual_texts", "texts", "rewriter")}
REASON = r"IF(maker = 'rules (not_monotone)', '', regexp_extract(coalesce(maker, ''), r'^rules \((.+)\)$', 1))"


def _spent(store: Store) -> dict[str, tuple[float, int]]:
    """Wall seconds and micro-batches of each stage's current generation."""
    sums = current_runs(store).groupBy("stage").agg(F.round(F.sum("wall_seconds"), 1).alias("s"), F.count("*").alias("n"))
    return {row["stage"]: (row["s"], row["n"]) for row in sums.collect()}
