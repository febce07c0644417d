"""What is compared with the annotations: which labels were found, and how well masks fit."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import functions as F
from pyspark.sql.functions import pandas_udf

from jobs.engine.tables import Store
from jobs.engine.views import run_query
from jobs.inpaint import MASKS
from jobs.look.measure.section import QUERIES, Section
from jobs.look.shares import means, shares
from udfs.masks import from_rle


def components(store: Store, enter: float) -> Section:
    """Precision and recall of the detector at the score ``enter``, and of the families' components."""
    pairs = run_query(store, QUERIES / "named_labels.sql")
    detected = {f"detector, score >= {enter}": F.col("score") >= enter, "family components": F.col("planned")}
    right = {name: F.when(seen, F.col("annotated")) for name, seen in detected.items()}
    met = {name: F.when(F.col("annotated"), seen) for name, seen in detected.items()}
    ((_, precision),), ((_, recall),) = shares(pairs, right), shares(pairs, met)
    rows = []
    for name in detected:
        hit, wrong = int(precision[name].hits), precision[name].total - int(precision[name].hits)
        counts = (hit, wrong, recall[name].total - int(recall[name].hits))
        rows.append((name, *map(str, counts), str(precision[name]), str(recall[name])))
    return Section(
        "Components against annotations",
        "Counted are pairs of an image and a label that a caption of it surely names. Hit: found, and the source has an "
        "annotation of this label in this image; wrong: found, not annotated; missed: annotated, not found. A family also "
        "leaves out on purpose: beyond the n best, too small, too large, more stated than found, worn by a person. Intervals of "
        "95%, by photograph.",
        ("found by", "hit", "wrong", "missed", "precision", "recall"),
        tuple(rows),
    )


def masks(store: Store) -> Section:
    """Intersection over union of removed masks and annotated outlines, over all labels and for the ten most frequent."""

    def compare(batches: Iterator[pd.DataFrame]) -> Iterator[pd.Series]:
        for batch in batches:
            yield pd.Series([union_iou(row["found"], row["truth"]) for row in batch.to_dict("records")], dtype="float64")

    iou = pandas_udf(compare, returnType="double").asNondeterministic()  # type: ignore[call-overload]
    removed = run_query(store, QUERIES / "removed_masks.sql", masks=MASKS).withColumnRenamed("masks", "found")
    pairs = removed.join(run_query(store, QUERIES / "annotated_masks.sql"), on=["record_id", "label"], how="inner")
    # A shuffle of masks only; it spreads the work over the workers, which a table of one file would not.
    compared = pairs.repartition("record_id").select("record_id", "label", iou(F.struct("found", "truth")).alias("iou")).cache()
    measured = compared.where("iou IS NOT NULL")
    middle = {row["label"]: row["middle"] for row in measured.rollup("label").agg(F.median("iou").alias("middle")).collect()}
    frequent = measured.groupBy("label").count().orderBy(F.desc("count"), "label").limit(10)
    labels = [row["label"] for row in frequent.collect()]
    mean = dict(means(measured, {"iou": F.col("iou")}, ["label"], total=True))
    low = dict(shares(measured, {"low": F.col("iou") < 0.5}, ["label"], total=True))
    compared.unpersist()
    rows = []
    for label in (None, *labels) if labels else ():
        average, below = mean[(label,)]["iou"], low[(label,)]["low"]
        rows.append((label or "all", str(average.total), str(average), f"{middle[label]:.3f}", str(below)))
    return Section(
        "Masks against annotations",
        "Intersection over union of two unions for each family component: all masks that are removed with it (what is worn "
        "included, before dilation), and all annotated outlines of its label. Components whose label is not annotated in the "
        "image are not counted here (they are `wrong` above), nor those that are a part of their class. All, then the ten most "
        "frequent labels. Intervals of 95%, by photograph.",
        ("label", "components", "mean IoU", "median IoU", "share below 0.5"),
        tuple(rows),
    )


def union_iou(detected: Sequence[Any], truth: Sequence[Any]) -> float | None:
    """IoU of the unions of two lists of COCO RLEs; None where the image sizes differ or both unions are empty."""
    sides = [[from_rle(rle) for rle in side] for side in (detected, truth)]
    if len({mask.shape for side in sides for mask in side}) != 1:
        return None
    first, second = (np.logical_or.reduce(side) if side else np.zeros((1, 1), dtype=bool) for side in sides)
    union = int((first | second).sum())
    return float((first & second).sum() / union) if union else None
