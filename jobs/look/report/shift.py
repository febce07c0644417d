"""How far dual images drift from originals, in the feature space of CLIP.

The distance is CMMD: the squared maximum mean discrepancy with a Gaussian kernel of bandwidth 10 over CLIP image features of unit
length, times 1000 (Jayasumana et al. 2024, "Rethinking FID: Towards a Better Evaluation Metric for Image Generation"). Unlike a
Frechet distance it assumes no normal distribution and has an unbiased estimate at any sample size, which may fall below zero. Its
authors' code takes the biased estimate, for tens of thousands of images; over a few hundred it is all bias. At unit length
this kernel is nearly linear, so the distance is mostly that between the mean features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.engine.tables import Store
from jobs.engine.views import run_query
from jobs.look.report.gather import QUERIES
from jobs.settings import Settings
from udfs.factory import model_udf

Matrix = NDArray[np.float64]
BANDWIDTH, SCALE = 10.0, 1000.0
BATCHES = 16  # ingest batches that the sample is drawn from: no more of the image table is read
FEWEST = 8  # records below which no distance is given
ROUNDS = 400  # of the bootstrap and of the split halves


@dataclass(frozen=True)
class Shift:
    """Distance of one group of duals to the originals of the same records, 95% intervals by bootstrap over records.

    ``floor`` is (2.5%, median, 97.5%) of the distance between random halves of those originals: what chance alone gives.
    """

    removed: int
    kept: bool  # only duals with a kept pair
    records: int
    distance: float
    low: float
    high: float
    floor: tuple[float, float, float]


def gather_shift(store: Store, settings: Settings, most: int = 512, seed: int = 0) -> tuple[str, list[Shift]]:
    """(model, shifts by number of removed components): at most ``most`` records a number, one dual of each, drawn by a hash.

    Needs the views of ``jobs.look.report.gather.name_tables`` and an embedder in ``settings``. The workers embed the images.
    """
    values = {"batches": BATCHES, "most": most, "seed": seed}
    chosen = run_query(store, QUERIES / "shift_duals.sql", values).persist()
    try:
        batches = [row[0] for row in chosen.select("ingest_batch").distinct().collect()]
        originals = chosen.select("record_id", F.lit(0).alias("subset"))
        keys = chosen.select("record_id", "subset").union(originals).distinct()
        embed = model_udf("udfs.embed.clip:ImageEmbedder", settings, "embedding ARRAY<FLOAT>", settings.embedder.batch_size)
        embedded = (
            store.spark.table("report_dual_images")
            .where(F.col("ingest_batch").isin(batches))
            .select("record_id", "subset", "image")
            .join(F.broadcast(keys), on=["record_id", "subset"], how="inner")
            .select("record_id", "subset", embed(F.struct("image")).alias("made"))
        )
        lineage = ("made.status", "made.model", "made.model_version")
        rows = embedded.select("record_id", "subset", "made.embedding", *lineage).collect()
        pairs = chosen.select("record_id", "subset", "removed_count", "kept").collect()
    finally:
        chosen.unpersist()
    features = {(row[0], row[1]): np.asarray(row[2], dtype=np.float64) for row in rows if row["status"] == "ok"}
    shifts = []
    for removed in sorted({row["removed_count"] for row in pairs}):
        for only_kept in (False, True):
            group = [
                (features[row["record_id"], 0], features[row["record_id"], row["subset"]])
                for row in sorted(pairs)
                if row["removed_count"] == removed
                and (row["kept"] or not only_kept)
                and (row["record_id"], 0) in features
                and (row["record_id"], row["subset"]) in features
            ]
            if len(group) >= FEWEST:
                first, second = (np.stack(side) for side in zip(*group, strict=True))
                shifts.append(Shift(removed, only_kept, len(group), *compare(first, second, seed)))
    model = f"{rows[0]['model']} {rows[0]['model_version'] or ''}".strip() if rows else settings.embedder.model
    return model, shifts


def compare(originals: Matrix, duals: Matrix, seed: int = 0) -> tuple[float, float, float, tuple[float, float, float]]:
    """(distance, low, high, floor) of two float64 [records, features] arrays whose rows belong to the same records.

    As an original and its dual are not independent, a record is never compared with itself: the one-sample U-statistic (Gretton
    et al. 2012, "A Kernel Two-Sample Test", equation 4). In a bootstrap sample two copies of a record do not meet either.
    """
    draw, count = np.random.default_rng(seed), len(originals)
    within, across = kernel(originals, originals), kernel(originals, duals)
    h = within + kernel(duals, duals) - across - across.T
    np.fill_diagonal(h, 0.0)
    weights = [np.ones(count), *draw.multinomial(count, np.full(count, 1 / count), size=ROUNDS)]
    distance, *bootstrap = (SCALE * float(w @ h @ w) / float(w.sum() ** 2 - (w * w).sum()) for w in weights)
    np.fill_diagonal(within, 0.0)
    halves = []
    for _ in range(ROUNDS):
        order = draw.permutation(count)
        left, right = order[: count // 2], order[count // 2 :]
        halves.append(SCALE * _apart(within, left, right))
    low, high = np.quantile(bootstrap, [0.025, 0.975])
    floor = np.quantile(halves, [0.025, 0.5, 0.975])
    return distance, float(low), float(high), (float(floor[0]), float(floor[1]), float(floor[2]))


def kernel(left: Matrix, right: Matrix) -> Matrix:
    """exp(-|x - y|^2 / (2 bandwidth^2)) of all pairs of rows."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
    return np.exp(-np.maximum(squares, 0.0) / (2 * BANDWIDTH**2))


def _apart(within: Matrix, left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """Unbiased squared MMD of two disjoint groups of rows, from a kernel matrix whose diagonal is zero."""
    first, second = within[np.ix_(left, left)], within[np.ix_(right, right)]
    sums = first.sum() / (len(left) * (len(left) - 1)) + second.sum() / (len(right) * (len(right) - 1))
    return float(sums - 2 * within[np.ix_(left, right)].mean())
