"""measure: how good is each stage, against what the source's annotations say? ``dualset measure``.

For a root whose source was COCO with ``--instances`` and whose segmenter was a model: the annotations are then a truth that no
stage has seen. Every number is computed by Spark over the tables, masks are compared in the workers, and only the finished lines
are collected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.inpaint import MASKS
from jobs.views import create_views, latest, view_name

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from jobs.settings import Settings
    from jobs.tables import Store


@dataclass(frozen=True)
class Section:
    """One table of the report: what is counted, in words, then columns and rows as they are printed."""

    title: str
    counted: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def measure(store: "Store", settings: "Settings") -> list[Section]:
    """All sections for a root that the whole chain has run over. The policy is that of ``settings``.

    Raises:
        pyspark.errors.AnalysisException: a table of the chain is not there yet.
    """
    create_views(store, settings)
    for name in ("images", "components", "instances", "families", "dual_texts", "dual_images", "rechecks", "scores"):
        # A view of its own name: `create_views` gives the plain table's name to all attempts and withdrawn records.
        rows = store.spark.sql(f"SELECT * FROM {latest(store, name, withdrawn=store.exists('withdrawn'))}")  # noqa: S608
        rows.createOrReplaceTempView(f"measured_{name}")
    enter, remove = _plan_scores(store)
    return [
        _components(store, enter),
        _masks(store),
        _sizes(store),
        _gone(store, enter, remove),
        _calls(store),
        *_texts(store),
        *_kept(store),
        _seconds(store),
    ]


def markdown(root: str, sections: list[Section]) -> str:
    """The report as one Markdown text."""
    lines = [f"# Measured over {root}", ""]
    for section in sections:
        lines += [f"## {section.title}", "", section.counted, ""]
        lines += [_line(section.columns), _line(["---"] * len(section.columns)), *map(_line, section.rows), ""]
    return "\n".join(lines)


PAIRS = """
WITH annotated AS (SELECT DISTINCT record_id, a.label, true AS annotated FROM measured_images
                   LATERAL VIEW explode(annotations) AS a),
     named AS (SELECT DISTINCT c.record_id, m.label
               FROM (SELECT record_id, explode(captions) AS caption FROM measured_components
                     WHERE record_id IN (SELECT record_id FROM measured_families WHERE status = 'ok')
                       AND record_id IN (SELECT record_id FROM measured_images WHERE annotations IS NOT NULL)) c
               LATERAL VIEW explode(caption.components) AS m
               WHERE m.certain AND m.label NOT IN ('', '*')),
     seen AS (SELECT record_id, i.label, max(i.score) AS score FROM measured_instances LATERAL VIEW explode(instances) AS i
              GROUP BY record_id, i.label),
     planned AS (SELECT record_id, c.label, true AS planned FROM measured_families LATERAL VIEW explode(components) AS c)
SELECT record_id, label, coalesce(annotated, false) AS annotated, coalesce(score, 0) AS score, coalesce(planned, false) AS planned
FROM named LEFT JOIN annotated USING (record_id, label) LEFT JOIN seen USING (record_id, label)
LEFT JOIN planned USING (record_id, label)
"""


def _components(store: "Store", enter: float) -> Section:
    store.spark.sql(PAIRS).createOrReplaceTempView("measured_pairs")
    rows = []
    for name, test in (
        (f"detector, score >= {enter}", f"score >= {enter}"),
        ("family components", "planned"),
    ):
        counts = store.spark.sql(
            f"""SELECT count_if({test} AND annotated) AS hit, count_if({test} AND NOT annotated) AS wrong,
            count_if(NOT ({test}) AND annotated) AS missed FROM measured_pairs"""  # noqa: S608
        ).collect()[0]
        hit, wrong, missed = counts
        rows.append((name, *map(str, counts), _share(hit, hit + wrong), _share(hit, hit + missed)))
    return Section(
        "Components against annotations",
        "Counted are pairs of an image and a label that a caption of it surely names. Hit: found, and the source has an "
        "annotation of this label in this image; wrong: found, not annotated; missed: annotated, not found. A family also "
        "leaves out on purpose: beyond the n best, too small, too large, more stated than found, worn by a person.",
        ("found by", "hit", "wrong", "missed", "precision", "recall"),
        tuple(rows),
    )


def _masks(store: "Store") -> Section:
    # Written as strings the annotations could not be resolved: pandas is imported here only.
    import pandas as pd
    from pyspark.sql import functions as F
    from pyspark.sql.functions import pandas_udf

    def compare(batches: Iterator["pd.DataFrame"]) -> Iterator["pd.Series"]:
        for batch in batches:
            yield pd.Series([union_iou(row["found"], row["truth"]) for row in batch.to_dict("records")], dtype="float64")

    compare.__annotations__ = {"batches": Iterator[pd.DataFrame], "return": Iterator[pd.Series]}
    iou = pandas_udf(compare, returnType="double").asNondeterministic()  # type: ignore[call-overload]
    parts = store.spark.sql(
        f"""SELECT f.record_id, inline({MASKS}) FROM measured_families f
        JOIN measured_instances i ON i.record_id = f.record_id"""  # noqa: S608
    )
    truth = store.spark.sql(
        """SELECT record_id, a.label, collect_list(a.mask) AS truth FROM measured_images LATERAL VIEW explode(annotations) AS a
        WHERE a.mask IS NOT NULL GROUP BY record_id, a.label"""
    )
    both = parts.withColumnRenamed("masks", "found").join(truth, on=["record_id", "label"], how="inner")
    # A shuffle of masks only; it spreads the work over the workers, which a table of one file would not.
    measured = both.repartition("record_id").select("label", iou(F.struct("found", "truth")).alias("iou"))
    facts = (
        F.count("*").alias("components"),
        F.round(F.avg("iou"), 3).alias("mean"),
        F.round(F.expr("percentile(iou, 0.5)"), 3).alias("median"),
        F.round(F.expr("count_if(iou < 0.5) / count(*)"), 3).alias("below"),
    )
    grouped = measured.rollup("label").agg(*facts).orderBy(F.desc("components"), F.desc(F.isnull("label"))).limit(11)
    return Section(
        "Masks against annotations",
        "Intersection over union of two unions a family component: all masks that are removed with it (what is worn included, "
        "before dilation), and all annotated outlines of its label. Components whose label is not annotated in the image are not "
        "counted here (they are `wrong` above). All, then the ten most frequent labels.",
        ("label", "components", "mean IoU", "median IoU", "share below 0.5"),
        _rows(grouped, nothing="all"),
    )


def union_iou(found: Any, truth: Any) -> float | None:
    """IoU of the unions of two lists of COCO RLEs; None where the image sizes differ or both unions are empty."""
    import numpy as np

    from udfs.masks import from_rle

    masks = [[from_rle(rle) for rle in side] for side in (found, truth)]
    if len({mask.shape for side in masks for mask in side}) != 1:
        return None
    first, second = (np.logical_or.reduce(side) if side else np.zeros((1, 1), dtype=bool) for side in masks)
    together = int((first | second).sum())
    return float((first & second).sum() / together) if together else None


def _sizes(store: "Store") -> Section:
    rows = store.spark.sql(
        """SELECT n, coalesce(reason, '') AS reason, count(*) AS families, round(count(*) / sum(count(*)) OVER (), 3) AS share
        FROM measured_families WHERE status = 'ok' GROUP BY n, reason ORDER BY n, families DESC"""
    )
    return Section(
        "Family sizes",
        "Families of n components; where n is 0, the most frequent reason of its labels.",
        ("n", "reason", "families", "share"),
        _rows(rows),
    )


def _gone(store: "Store", enter: float, remove: float) -> Section:
    rows = store.spark.sql(
        f"""SELECT bit_count(subset) AS removed, count(*) AS duals, count(residual) AS looked,
        round(count_if(residual < {enter}) / count(residual), 3) AS below_enter,
        round(count_if(residual < {remove}) / count(residual), 3) AS below_remove,
        round(avg(residual), 3) AS mean_residual, round(count_if(intruder >= {enter}) / count(intruder), 3) AS intruders
        FROM measured_rechecks WHERE subset <> 0 AND status = 'ok'
        GROUP BY bit_count(subset) WITH ROLLUP ORDER BY removed NULLS FIRST"""  # noqa: S608
    )
    return Section(
        "Is what was removed gone?",
        "Dual images (originals not counted) that the detector looked at again. Gone: no removed class anywhere in the image "
        f"scores {enter} (enters a family) or {remove} (is removed) or more. Intruder: a class that was not in the original "
        f"scores {enter} or more. A detector that only copies annotations looks at nothing, and these are empty.",
        ("removed components", "dual images", "looked at", f"gone at {enter}", f"gone at {remove}", "mean residual", "intruders"),
        _rows(rows, nothing="all"),
    )


def _calls(store: "Store") -> Section:
    # A row that is not reused is one call of the inpainter; one subset's call is what groups of touching components share.
    rows = store.spark.sql(
        """WITH calls AS (SELECT record_id, (1 << (bit_count(max(subset)))) - 1 AS naive, bit_count(max(subset)) AS n,
               count_if(subset <> 0 AND NOT coalesce(reused, false)) AS made FROM measured_dual_images GROUP BY record_id)
        SELECT n, count(*) AS families, round(avg(naive), 2) AS naive, round(avg(made), 2) AS made,
               round(1 - sum(made) / sum(naive), 3) AS saved
        FROM calls WHERE n > 0 GROUP BY n WITH ROLLUP ORDER BY n NULLS FIRST"""
    )
    return Section(
        "Inpainting calls a family",
        "Families with n > 0. Without reuse every one of the 2^n - 1 subsets is a call; with reuse only the subsets within one "
        "group of touching components are (the rows of `dual_images` that are not `reused`).",
        ("n", "families", "calls without reuse", "calls with reuse", "saved"),
        _rows(rows, nothing="all"),
    )


def _texts(store: "Store") -> list[Section]:
    flat = store.spark.sql("SELECT t.* FROM measured_dual_texts LATERAL VIEW explode(texts) AS t")
    flat.createOrReplaceTempView("measured_texts")
    rewriters = store.spark.sql(_shares("coalesce(rewriter, 'none')", "measured_texts"))
    statuses = store.spark.sql(_shares("status", "measured_texts"))
    checks = store.spark.sql(
        """SELECT check, count(*) AS texts, round(count(*) / (SELECT count(*) FROM measured_texts), 4) AS share
        FROM measured_texts LATERAL VIEW explode(checks) AS check GROUP BY check ORDER BY texts DESC, check"""
    )
    return [
        Section("Texts by rewriter", "All dual texts, of any status.", ("rewriter", "texts", "share"), _rows(rewriters)),
        Section("Texts by status", "All dual texts.", ("status", "texts", "share"), _rows(statuses)),
        Section(
            "Failed checks",
            "Checks that the taken text fails, as a share of all dual texts; a text may fail several.",
            ("check", "texts", "share"),
            _rows(checks),
        ),
    ]


def _kept(store: "Store") -> list[Section]:
    survives = store.spark.sql(f"SELECT * FROM {view_name(store, 'yield_by_subset')} ORDER BY n, removed_count")  # noqa: S608
    pairs = view_name(store, "augmented")
    reasons = store.spark.sql(
        f"""SELECT reason, count(*) AS pairs, round(count(*) / (SELECT count(*) FROM {pairs}), 4) AS share
        FROM {pairs} LATERAL VIEW explode(CASE WHEN status = 'ok' THEN reject_reasons ELSE array(status) END) AS reason
        GROUP BY reason ORDER BY pairs DESC, reason"""  # noqa: S608
    )
    return [
        Section(
            "Yield of the policy",
            "Pairs of a dual image and the exact text of one caption, under the policy of the settings given to this command "
            "(view `yield_by_subset`).",
            ("n", "removed", "pairs", "kept", "share kept"),
            _rows(survives),
        ),
        Section(
            "Why pairs are not kept",
            "Share of all pairs; a pair may be rejected for several reasons, and one that could not be scored has its status.",
            ("reason", "pairs", "share"),
            _rows(reasons),
        ),
    ]


def _seconds(store: "Store") -> Section:
    from jobs.status import current_runs

    current_runs(store).createOrReplaceTempView("measured_runs")
    rows = store.spark.sql(
        """WITH sources AS (SELECT count(*) AS images FROM measured_images),
             stages AS (SELECT stage, min(started_at) AS started, count(*) AS batches, sum(rows_in) AS rows_in,
                  sum(wall_seconds) AS wall, sum(seconds.load) AS load, sum(seconds.decode) AS decode,
                  sum(seconds.model) AS model, sum(seconds.encode) AS encode
                  FROM measured_runs GROUP BY stage)
        SELECT stage, batches, rows_in, round(wall, 1), round(wall / images, 3), round(decode / images, 4),
               round(model / images, 4), round(encode / images, 4), round(load, 1)
        FROM stages CROSS JOIN sources ORDER BY started"""
    )
    return Section(
        "Seconds an image, by stage",
        "From `runs`, of each stage's present generation. An image is a source image: all that is made from it counts for it. "
        "Wall is the whole micro-batch with Spark's own cost and the write; decode, model and encode are sums over the workers; "
        "load is the total of loading models, once a worker.",
        ("stage", "micro-batches", "rows in", "wall s", "wall s/image", "decode", "model", "encode", "load s, total"),
        _rows(rows),
    )


def _plan_scores(store: "Store") -> tuple[float, float]:
    """The scores that the families were planned with, as ``runs`` has them."""
    store.read("runs").createOrReplaceTempView("measured_runs")
    row = store.spark.sql(
        """SELECT max_by(get_json_object(settings, '$.plan.enter_score'), started_at),
        max_by(get_json_object(settings, '$.plan.remove_score'), started_at) FROM measured_runs WHERE stage = 'plan'"""
    ).collect()[0]
    return float(row[0]), float(row[1])


def _shares(column: str, table: str) -> str:
    return (
        f"SELECT {column} AS value, count(*) AS texts, round(count(*) / sum(count(*)) OVER (), 4) AS share"  # noqa: S608
        f" FROM {table} GROUP BY {column} ORDER BY texts DESC, value"
    )


def _rows(rows: "DataFrame", nothing: str = "") -> tuple[tuple[str, ...], ...]:
    """Finished lines, a few dozen at most; a null key of a rollup is ``nothing``, any other null is empty."""
    return tuple(
        tuple(str(value) if value is not None else (nothing if place == 0 else "") for place, value in enumerate(row))
        for row in rows.collect()
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ""


def _line(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
