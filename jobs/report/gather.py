"""What the report counts: every number is an aggregate computed by Spark SQL, a few hundred rows at most reach the driver."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.policy import PERSON, RULES
from jobs.views import judged, latest

if TYPE_CHECKING:
    from jobs.settings import Settings
    from jobs.tables import Store

Row = dict[str, Any]
BINS = 32
# Columns of `scores` with a distribution: what they measure, and on which side of it a limit of the policy lies.
QUALITY = {
    "residual": "highest detector score of a removed class in the dual image",
    "intruder": "highest detector score of a class that was not there before",
    "survivor": "lowest detector score of a component that should still be there",
    "seam": "gradient mismatch along the mask's border",
    "edited_fraction": "share of the pixels that were edited",
    "clip_true": "similarity of dual image and its text",
    "clip_original": "similarity of dual image and the original caption",
    "clip_drop": "fall of the similarity with the removed labels",
    "clip_image": "similarity of dual image and original image",
    "text_agreement": "share of rewriters and judges that agree on the text",
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
    """All aggregates. Pairs are rows of ``scores``; pairs of an original (subset 0) are counted apart, they are no duals."""

    tables: list[Row]  # table, rows, ok
    quarantine: list[Row]  # table, status, rows, example
    sources: list[Row]  # source, split, license, images
    totals: Row
    reasons: list[Row]  # reason, pairs
    steps: list[tuple[str, int]]  # the filter, rule after rule: what is left
    measures: list[Measure]
    sizes: list[Row]  # n, reason, families
    coverage: list[Row]  # n, removed_count, images, kept_images, pairs, kept
    stages: list[Row]  # stage, batches, rows_in, wall, load, decode, model, encode
    models: list[Row]  # table, model, model_version, device, rows
    settings: list[Row]  # stage, settings_hash, settings (JSON), latest


def gather(store: "Store", settings: "Settings") -> Counts:
    """Every aggregate of the report under the policy of ``settings``.

    Raises:
        pyspark.errors.AnalysisException: a table of the chain is not there yet.
    """
    name_tables(store, settings)
    steps, reasons = _filter(store)
    limit = settings.policy.max_residual
    return Counts(
        *_tables(store),
        sources=_rows(store, SOURCES),
        totals=_rows(store, TOTALS.format(residual=0.35 if limit is None else float(limit)))[0],
        reasons=reasons,
        steps=steps,
        measures=_measures(store, settings),
        sizes=_rows(store, SIZES),
        coverage=_rows(store, COVERAGE),
        stages=_rows(store, STAGES),
        models=_rows(store, MODELS),
        settings=_rows(store, SETTINGS),
    )


def name_tables(store: "Store", settings: "Settings") -> None:
    """Temporary views ``report_<table>``: the last attempts, less withdrawn records.

    ``report_pairs`` has the scores as the policy and people judge them now.
    """
    from jobs.status import current_runs

    withdrawn = store.exists("withdrawn")
    for name in STAGE_TABLES:
        rows = store.spark.sql(f"SELECT * FROM {latest(store, name, withdrawn=withdrawn)}")  # noqa: S608
        rows.createOrReplaceTempView(f"report_{name}")
    # An earlier generation was dropped with what it wrote.
    current_runs(store).createOrReplaceTempView("report_runs")
    present = ["withdrawn"] * withdrawn + ["reviews"] * store.exists("reviews")
    rows = store.spark.sql(f"SELECT * FROM {judged(store, settings.policy, present)}")  # noqa: S608
    rows = rows.drop("keep", "reject_reasons").selectExpr("*", "status = 'ok' AND size(reasons) = 0 AS keep")
    rows.createOrReplaceTempView("report_pairs")


SOURCES = """SELECT source, split, license, count(*) AS images FROM report_images
GROUP BY source, split, license ORDER BY images DESC, source, split, license LIMIT 20"""

TOTALS = """
WITH images AS (SELECT count(*) AS listed, count_if(status = 'ok') AS images,
                    sum(CASE WHEN status = 'ok' THEN size(captions) ELSE 0 END) AS captions FROM report_images),
     families AS (SELECT count_if(n > 0) AS families, count_if(n > 0 AND size(captions) > 0) AS named
                  FROM report_families WHERE status = 'ok'),
     duals AS (SELECT count(*) AS planned, count_if(status = 'ok') AS duals FROM report_dual_images WHERE subset <> 0),
     texts AS (SELECT sum(size(texts)) AS texts FROM report_dual_texts WHERE status = 'ok'),
     gone AS (SELECT count(residual) AS looked, count_if(residual <= {residual}D) AS gone FROM report_rechecks WHERE subset <> 0),
     pairs AS (SELECT count_if(subset <> 0) AS pairs, count_if(subset <> 0 AND status = 'ok') AS scored,
                   count_if(subset <> 0 AND keep) AS kept, count_if(subset = 0 AND keep) AS kept_originals,
                   avg(CASE WHEN subset <> 0 AND keep THEN clip_drop END) AS clip_drop FROM report_pairs),
     kept AS (SELECT count(*) AS kept_duals, count(DISTINCT record_id) AS kept_families
              FROM (SELECT DISTINCT record_id, subset FROM report_pairs WHERE subset <> 0 AND keep))
SELECT * FROM images CROSS JOIN families CROSS JOIN duals CROSS JOIN texts CROSS JOIN gone CROSS JOIN pairs CROSS JOIN kept
"""

SIZES = """SELECT n, coalesce(reason, '') AS reason, count(*) AS families FROM report_families WHERE status = 'ok'
GROUP BY n, coalesce(reason, '') ORDER BY n, families DESC"""

COVERAGE = """
WITH images AS (SELECT record_id, subset, count(*) AS pairs, count_if(keep) AS kept FROM report_pairs GROUP BY record_id, subset)
SELECT n, bit_count(d.subset) AS removed_count, count(*) AS images, count_if(kept > 0) AS kept_images,
    coalesce(sum(pairs), 0) AS pairs, coalesce(sum(kept), 0) AS kept
FROM (SELECT record_id, subset FROM report_dual_images) d JOIN (SELECT record_id, n FROM report_families) USING (record_id)
LEFT JOIN images ON images.record_id = d.record_id AND images.subset = d.subset
WHERE n > 0 GROUP BY n, bit_count(d.subset) ORDER BY n, removed_count
"""

STAGES = """
SELECT stage, count(*) AS batches, sum(rows_in) AS rows_in, sum(wall_seconds) AS wall, sum(seconds.load) AS load,
    sum(seconds.decode) AS decode, sum(seconds.model) AS model, sum(seconds.encode) AS encode
FROM report_runs GROUP BY stage ORDER BY min(started_at)
"""

MODELS = " UNION ALL ".join(
    f"SELECT {place} AS place, '{table}' AS table, model, model_version, device, count(*) AS rows FROM report_{table}"  # noqa: S608
    " WHERE model IS NOT NULL GROUP BY model, model_version, device"
    for place, table in enumerate(STAGE_TABLES)
    if table != "records"
)
MODELS = f"SELECT * FROM ({MODELS}) ORDER BY place, rows DESC, model LIMIT 60"  # noqa: S608

SETTINGS = """SELECT stage, max_by(settings_hash, started_at) AS settings_hash, max_by(settings, started_at) AS settings,
max(started_at) AS latest FROM report_runs GROUP BY stage ORDER BY min(started_at)"""


def _tables(store: "Store") -> tuple[list[Row], list[Row]]:
    parts = (
        f"SELECT {place} AS place, '{table}' AS table, status, count(*) AS rows, min(error) AS example"  # noqa: S608
        f" FROM report_{table} GROUP BY status"
        for place, table in enumerate(STAGE_TABLES)
    )
    found = _rows(store, f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY place, rows DESC, status")  # noqa: S608
    tables: dict[str, Row] = {name: {"table": name, "rows": 0, "ok": 0} for name in STAGE_TABLES}
    for row in found:
        tables[row["table"]]["rows"] += row["rows"]
        tables[row["table"]]["ok"] += row["rows"] if row["status"] == "ok" else 0
    return list(tables.values()), [row for row in found if row["status"] != "ok"]


def _filter(store: "Store") -> tuple[list[tuple[str, int]], list[Row]]:
    """(pairs of dual images left after each rule in turn, how often each reason rejects); a pair may have several reasons."""
    order = ["unknown_relation", *(reason for *_, reason in RULES), "text_checks", PERSON]
    passed = "status = 'ok' AND size(array_intersect(reasons, array({})))  = 0"
    columns = ["count(*) AS all", "count_if(status = 'ok') AS ok"]
    for place in range(1, len(order) + 1):
        names = ", ".join(f"'{reason}'" for reason in order[:place])
        columns.append(f"count_if({passed.format(names)}) AS after_{place}")
    left = list(_rows(store, f"SELECT {', '.join(columns)} FROM report_pairs WHERE subset <> 0")[0].values())  # noqa: S608
    reasons = _rows(
        store,
        """SELECT reason, count(*) AS pairs FROM report_pairs
        LATERAL VIEW explode(CASE WHEN status = 'ok' THEN reasons ELSE array(status) END) AS reason
        WHERE subset <> 0 GROUP BY reason ORDER BY pairs DESC, reason""",
    )
    steps = [("pairs", left[0]), ("scored", left[1])]
    for reason, count in zip(order, left[2:], strict=True):
        if count != steps[-1][1]:
            steps.append((f"after {reason}", count))
    return steps, reasons


def _measures(store: "Store", settings: "Settings") -> list[Measure]:
    """Two passes over narrow columns: the ranges, then the bins. A column that is null everywhere is left out."""
    columns = {name: f"cast({name} AS DOUBLE)" for name in QUALITY}
    facts = (
        f"count({sql}) AS {name}_count, min({sql}) AS {name}_low, max({sql}) AS {name}_high,"
        f" percentile_approx({sql}, array(0.05, 0.5, 0.95)) AS {name}_middle"
        for name, sql in columns.items()
    )
    where = "FROM report_pairs WHERE subset <> 0 AND status = 'ok'"
    found = _rows(store, f"SELECT {', '.join(facts)} {where}")[0]
    limits = {column: getattr(settings.policy, setting) for setting, column, *_ in RULES}
    measures = {}
    for name in QUALITY:
        count = found[f"{name}_count"]
        if count:
            p05, median, p95 = found[f"{name}_middle"]
            low, high = found[f"{name}_low"], found[f"{name}_high"]
            measures[name] = Measure(name, QUALITY[name], count, low, high, median, p05, p95, limits.get(name))
    if not measures:
        return []
    places = ", ".join(f"'{one.name}', {_bin(columns[one.name], one.low, one.high)}" for one in measures.values())
    bins = _rows(
        store,
        f"""SELECT name, bin, keep, count(*) AS pairs FROM (SELECT keep, stack({len(measures)}, {places}) AS (name, bin) {where})
        WHERE bin IS NOT NULL GROUP BY name, bin, keep""",  # noqa: S608
    )
    for row in bins:
        one = measures[row["name"]]
        (one.kept if row["keep"] else one.rejected)[row["bin"]] += row["pairs"]
    return list(measures.values())


def _bin(sql: str, low: float, high: float) -> str:
    width = (high - low) / BINS
    if width <= 0:
        return f"CASE WHEN {sql} IS NOT NULL THEN 0 END"
    return f"cast(greatest(0, least({BINS - 1}, floor(({sql} - {low!r}D) / {width!r}D))) AS INT)"


def _rows(store: "Store", query: str) -> list[Row]:
    return [row.asDict(recursive=True) for row in store.spark.sql(query).collect()]
