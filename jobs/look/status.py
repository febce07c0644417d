"""What each stage has done and what waits for it: ``dualset status``."""

from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.chain import CHAIN
from jobs.engine.stream import StageError, any_made_anew
from jobs.engine.tables import Store
from jobs.engine.versions import outdated
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
    spent = _spent(store) if store.exists("runs") else {}
    statuses = []
    for stage in CHAIN:
        if not store.exists(stage.source):
            statuses.append(StageStatus(stage.name, stage.target))
            continue
        ready = last_rows(store, stage.source).where(F.col("status") == "ok").select("record_id").distinct()
        if not store.exists(stage.target):
            statuses.append(StageStatus(stage.name, stage.target, waiting=ready.count()))
            continue
        target = last_rows(store, stage.target)
        row = target.agg(F.count("*").alias("rows"), F.count_if(F.col("status") == "ok").alias("ok")).first()
        waiting = ready.join(target.select("record_id").distinct(), on="record_id", how="left_anti").count()
        assert row is not None, "an aggregate without groups has one row"
        if stage.source != "records" and any_made_anew(store):
            waiting += outdated(stage, store).join(target.select("record_id").distinct(), "record_id", "left_semi").count()
        rows, ok = row["rows"], row["ok"]
        statuses.append(StageStatus(stage.name, stage.target, rows, ok, rows - ok, waiting, *spent.get(stage.name, (0.0, 0))))
    return statuses


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
