"""Where a person sees that something was painted over, and how well the column ``smear`` says so.

    python -m tests.bench.visible --sample FILE --entities FILE     # the labelled photographs of Flickr8k, to ingest
    python -m tests.bench.visible --root R --labels tests/labels/photograph_reviews/flickr8k.json

The labels are what the review page saves of pairs drawn at random (profile ``photos``, YOLOv8n-seg, OpenCV with detail, seed 16):
220 of 330 photographs of Flickr8k's training part, and 160 of the 77 of train2017 in a small cut of COCO. One reader gave each,
before ``smear`` existed. ``--root`` and ``--labels`` may be repeated. Photographs are halved by a hash: the function is fitted on
the first half, the threshold chosen on it, and both are tried on the second. A dual image counts once, whatever texts it has.

With ``--as-is`` nothing is fitted, and the function as it stands is tried on all of the labelled images, which it has not seen:
``flickr8k_dev.json``, 150 pairs of the dev part (400 photographs, seed 17), which another reader judged after ``max_smear``.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from jobs.engine.session import open_session
from jobs.engine.tables import Store
from jobs.inpaint import MASKS
from jobs.look.review.verdicts import read_verdicts
from jobs.settings import Settings, load_settings
from training.statistics import wilson
from udfs import images
from udfs.inpaint.inpainter import OpenFamily, open_family
from udfs.inpaint.visible import chance_seen, difficulty

LABELS = Path(__file__).parents[1] / "labels" / "photograph_reviews"
LIMITS = (0.3, 0.5, 0.7, 0.8, 0.9)


class Judged(NamedTuple):
    """A dual image: of which half its photograph is, its hole, and whether the reader saw the edit."""

    half: int
    share: float
    slope: float
    seen: bool


def judged(spark: SparkSession, root: str, labels: str, settings: Settings) -> Iterator[Judged]:
    """The labelled dual images of a root. Those that the root does not have are counted and said."""
    seen: dict[tuple[str, int], bool] = {}
    for review in read_verdicts(labels).reviews:
        seen[review.record_id, review.subset] = seen.get((review.record_id, review.subset), False) or "smear" in review.reasons
    store, wanted = Store.of(spark, root, settings), F.col("record_id").isin([record for record, _ in seen])
    plans = store.read("families").where(wanted).join(store.read("instances").select("record_id", "instances"), "record_id")
    components = {
        row["record_id"]: row["components"] for row in plans.select("record_id", F.expr(MASKS).alias("components")).collect()
    }
    originals = store.read("images").where(wanted).select("record_id", "image").collect()
    families = {
        row["record_id"]: open_family(
            {
                "record_id": row["record_id"],
                "image": bytes(row["image"]),
                "components": [part.asDict(recursive=True) for part in components[row["record_id"]]],  # type: ignore[typeddict-item]
            },
            settings,
        )
        for row in originals
        if row["record_id"] in components
    }
    found = 0
    for row in (
        store.read("dual_images").where(wanted & (F.col("status") == "ok")).select("record_id", "subset", "image").collect()
    ):
        key, family = (row["record_id"], row["subset"]), families.get(row["record_id"])
        if key in seen and isinstance(family, OpenFamily):
            share, slope = difficulty(images.decode(bytes(row["image"])), family.removed(row["subset"]))
            assert slope is not None, f"{key} has no surroundings"
            found += 1
            yield Judged(int(hashlib.sha256(key[0].encode()).hexdigest(), 16) % 2, share, slope, seen[key])
    print(f"{root}: {found} of {len(seen)} labelled dual images")


def main() -> None:
    """Print the fit, how well it orders the other half, and what thresholds keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", action="append", default=[], help="a root with the labelled photographs")
    parser.add_argument("--labels", action="append", default=[], help="the reviews of its pairs")
    parser.add_argument("--as-is", action="store_true", help="try the committed function, on all images")
    parser.add_argument("--sample", type=Path, help="write the labelled photographs of --entities to this file")
    parser.add_argument("--entities", type=Path, help="JSON lines of the source flickr30k_entities")
    options = parser.parse_args()
    if options.sample:
        names = set((LABELS / "flickr8k_photographs.txt").read_text().split())
        lines = options.entities.read_text(encoding="utf-8").splitlines(keepends=True)
        options.sample.write_text("".join(line for line in lines if json.loads(line)["file"] in names), encoding="utf-8")
        return
    settings = load_settings("photos", ["spark.driver_memory=2g"])
    spark = open_session(settings)
    rows = [
        row for root, labels in zip(options.root, options.labels, strict=True) for row in judged(spark, root, labels, settings)
    ]
    spark.stop()
    half, share, slope, seen = (np.array(column) for column in zip(*rows, strict=True))
    if options.as_is:
        report("all", np.ones(len(seen), dtype=bool), seen, share, np.array([chance_seen(*row[1:3]) for row in rows]))
        return
    inputs = np.log(np.stack([share, slope], axis=1))
    fit = LogisticRegression(C=100).fit(inputs[half == 0], seen[half == 0])
    print(f"fit: intercept {fit.intercept_[0]:.2f}, share {fit.coef_[0][0]:.2f}, slope {fit.coef_[0][1]:.2f}")
    for number, name in ((0, "first half"), (1, "second half")):
        report(name, half == number, seen, share, fit.predict_proba(inputs)[:, 1])


def report(
    name: str, part: NDArray[np.bool_], seen: NDArray[np.bool_], share: NDArray[np.float64], chance: NDArray[np.float64]
) -> None:
    """Print how well the chance orders a part of the images, and what limits keep of it."""
    print(f"{name}: the edit is not seen in {counted(~seen[part])}")
    print(f"  area under the ROC curve: {area(seen, chance, part)}; the share of the image alone {area(seen, share, part)}")
    small = part & (share < 0.06)
    print(f"  hole under 6%: not seen in {counted(~seen[small])}")
    for limit in LIMITS:
        kept = part & (chance <= limit)
        print(f"  smear <= {limit}: keeps {kept.sum()} of {part.sum()}, not seen in {counted(~seen[kept])}")


def area(seen: NDArray[np.bool_], score: NDArray[np.float64], part: NDArray[np.bool_]) -> str:
    """Area under the ROC curve over a part of the images."""
    return f"{roc_auc_score(seen[part], score[part]):.3f}"


def counted(hits: NDArray[np.bool_]) -> str:
    """A share with its interval (95%, Wilson, images taken as independent)."""
    if not len(hits):
        return "none"
    low, high = wilson(int(hits.sum()), len(hits))
    return f"{hits.mean():.0%} ({low:.0%} to {high:.0%}) of {len(hits)}"


if __name__ == "__main__":
    main()
