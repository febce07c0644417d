"""What the report counts. Spark computes every number; a few hundred rows at most reach the driver."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.engine.policy import PERSON, RULES
from jobs.engine.tables import Store
from jobs.engine.views import current_rows, judged_rows, run_query
from jobs.look.report.rows import (
    CoverageRow,
    ModelRow,
    ReasonRow,
    SettingsRow,
    SizeRow,
    SourceRow,
    StageRow,
    StatusRow,
    TableRow,
    Totals,
)
from jobs.look.status import current_runs
from jobs.settings import Policy, Settings

QUERIES = Path(__file__).parent / "queries"
BINS = 32
# Columns of `scores` with a distribution, and what they measure.
QUALITY = {
    "residual": "highest detector score of a removed class in the dual image",
    "intruder": "highest detector score of a class that was not there before",
    "survivor": "lowest detector score of a component that should still be there",
    "seam": "gradient mismatch along the mask's border",
    "smear": "estimated chance that one sees the edit",
    "edited_fraction": "share of the pixels that were edited",
    "clip_true": "similarity of dual image and its text",
    "clip_original": "similarity of dual image and the original caption",
    "clip_drop": "fall of the similarity with the removed labels",
    "clip_image": "similarity of dual image and original image",
    "text_agreement": "how far the other rewriters and judges agree with the text, 0 to 1",
    "judge": "image-text matching probability of the pair",
    "text_ok": "the text passes the rule checks (1) or not (0)",
}
STAGE_TABLES = ("records", "images", "components", "instances", "families", "dual_texts", "dual_images", "rechecks", "scores")


@dataclass(frozen=True)
class Measure:
    """The distribution of one column of ``scores`` over the pairs of dual images.

    ``kept`` and ``rejected`` are counts in ``BINS`` equal bins from ``low`` to ``high``; ``limit`` is the policy's or None.
    """

    name: str
    meaning: str
    measured: int
    low: float
    high: float
    median: float
    p05: float
    p95: float
    limit: float | None
    kept: list[int] = field(default_factory=lambda: [0] * BINS)
    rejected: list[int] = field(default_factory=lambda: [0] * BINS)


@dataclass(frozen=True)
class Counts:
    """All aggregates. Pairs are rows of ``scores``; pairs of an original (subset 0) are no duals and are counted apart."""

    tables: list[TableRow]
    quarantine: list[StatusRow]  # of every status but ok
    sources: list[SourceRow]
    totals: Totals
    reasons: list[ReasonRow]
    steps: list[tuple[str, int]]  # the filter, rule after rule: the pairs that are left
    measures: list[Measure]
    sizes: list[SizeRow]
    coverage: list[CoverageRow]
    stages: list[StageRow]
    models: list[ModelRow]
    settings: list[SettingsRow]


def gather(store: Store, settings: Settings) -> Counts:
    """Every aggregate of the report under the policy of ``settings``.

    Raises:
        pyspark.errors.AnalysisException: a table of the chain does not exist yet.
    """
    name_tables(store, settings)
    statuses = _statuses(store)
    limit = settings.policy.max_residual
    residual = 0.35 if limit is None else float(limit)
    return Counts(
        tables=_tables(statuses),
        quarantine=[row for row in statuses if row["status"] != "ok"],
        sources=_run(store, "sources"),
        totals=_run(store, "totals", {"residual": residual})[0],
        reasons=_run(store, "reasons"),
        steps=_steps(store),
        measures=_measures(store, settings.policy),
        sizes=_run(store, "sizes"),
        coverage=_run(store, "coverage"),
        stages=_run(store, "stages"),
        models=_models(store),
        settings=_run(store, "settings"),
    )


def name_tables(store: Store, settings: Settings) -> None:
    """Create temporary views ``report_<table>``: the last attempts, without withdrawn records.

    ``report_pairs`` has the scores as the policy and the reviews judge them now, ``report_runs`` the runs whose rows still exist.
    """
    for name in STAGE_TABLES:
        current_rows(store, name).createOrReplaceTempView(f"report_{name}")
    # An earlier generation was dropped with what it wrote.
    current_runs(store).createOrReplaceTempView("report_runs")
    pairs = judged_rows(store, settings.policy).drop("keep", "reject_reasons")
    pairs = pairs.selectExpr("*", "status = 'ok' AND size(reasons) = 0 AS keep")
    pairs.createOrReplaceTempView("report_pairs")


def _statuses(store: Store) -> list[StatusRow]:
    """Rows of each table by status, in the order of the chain."""
    counts = [F.count("*").alias("rows"), F.min("error").alias("example")]
    parts = [
        store.spark.table(f"report_{table}")
        .groupBy("status")
        .agg(*counts)
        .select(F.lit(place).alias("place"), F.lit(table).alias("table"), "status", "rows", "example")
        for place, table in enumerate(STAGE_TABLES)
    ]
    return _collect(reduce(DataFrame.union, parts).orderBy("place", F.desc("rows"), "status"))


def _tables(statuses: Sequence[StatusRow]) -> list[TableRow]:
    tables: dict[str, TableRow] = {name: {"table": name, "rows": 0, "ok": 0} for name in STAGE_TABLES}
    for row in statuses:
        tables[row["table"]]["rows"] += row["rows"]
        tables[row["table"]]["ok"] += row["rows"] if row["status"] == "ok" else 0
    return list(tables.values())


def _models(store: Store) -> list[ModelRow]:
    """What made the rows of each table, in the order of the chain; ``records`` has no model."""
    names = ("model", "model_version", "device")
    parts = [
        store.spark.table(f"report_{table}")
        .where("model IS NOT NULL")
        .groupBy(*names)
        .agg(F.count("*").alias("rows"))
        .select(F.lit(place).alias("place"), F.lit(table).alias("table"), *names, "rows")
        for place, table in enumerate(STAGE_TABLES)
        if table != "records"
    ]
    return _collect(reduce(DataFrame.union, parts).orderBy("place", F.desc("rows"), "model").limit(60))


def _steps(store: Store) -> list[tuple[str, int]]:
    """Pairs of dual images that are left after each rule in turn; a rule that rejects nothing more is left out."""
    order = ["unknown_relation", *(reason for *_, reason in RULES), "text_checks", PERSON]
    scored = F.col("status") == "ok"
    columns = [F.count("*").alias("all"), F.count_if(scored).alias("ok")]
    for place in range(1, len(order) + 1):
        rejected = F.array_intersect("reasons", F.array(*map(F.lit, order[:place])))
        columns.append(F.count_if(scored & (F.size(rejected) == 0)).alias(f"after_{place}"))
    left = tuple(store.spark.table("report_pairs").where("subset <> 0").agg(*columns).collect()[0])
    steps = [("pairs", left[0]), ("scored", left[1])]
    for reason, count in zip(order, left[2:], strict=True):
        if count != steps[-1][1]:
            steps.append((f"after {reason}", count))
    return steps


def _measures(store: Store, policy: Policy) -> list[Measure]:
    """Two passes over narrow columns: the ranges, then the bins. A column that is null everywhere is left out."""
    columns = {name: f"cast({name} AS DOUBLE)" for name in QUALITY}
    pairs = store.spark.table("report_pairs").where("subset <> 0 AND status = 'ok'")
    ranges = [
        F.expr(f"{function} AS {name}_{fact}")
        for name, sql in columns.items()
        for fact, function in (
            ("count", f"count({sql})"),
            ("low", f"min({sql})"),
            ("high", f"max({sql})"),
            ("middle", f"percentile_approx({sql}, array(0.05, 0.5, 0.95))"),
        )
    ]
    row = pairs.agg(*ranges).collect()[0]
    limits = {column: getattr(policy, setting) for setting, column, *_ in RULES}
    measures = {}
    for name, meaning in QUALITY.items():
        count = row[f"{name}_count"]
        if count:
            p05, median, p95 = row[f"{name}_middle"]
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            measures[name] = Measure(name, meaning, count, low, high, median, p05, p95, limits.get(name))
    if not measures:
        return []
    places = ", ".join(f"'{name}', {_bin(columns[name], measure.low, measure.high)}" for name, measure in measures.items())
    binned = pairs.selectExpr("keep", f"stack({len(measures)}, {places}) AS (name, bin)").where("bin IS NOT NULL")
    for row in binned.groupBy("name", "bin", "keep").agg(F.count("*").alias("pairs")).collect():
        measure = measures[row["name"]]
        (measure.kept if row["keep"] else measure.rejected)[row["bin"]] += row["pairs"]
    return list(measures.values())


def _bin(sql: str, low: float, high: float) -> str:
    width = (high - low) / BINS
    if width <= 0:
        return f"CASE WHEN {sql} IS NOT NULL THEN 0 END"
    return f"cast(greatest(0, least({BINS - 1}, floor(({sql} - {low!r}D) / {width!r}D))) AS INT)"


def _run(store: Store, name: str, values: dict[str, Any] | None = None) -> list[Any]:
    return _collect(run_query(store, QUERIES / f"{name}.sql", values))


def _collect(rows: DataFrame) -> list[Any]:
    """The rows as dicts: one of the types of ``jobs.look.report.rows``."""
    return [row.asDict(recursive=True) for row in rows.collect()]
