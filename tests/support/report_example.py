"""A handmade report: two families, one column measured, texts that contain markup. No Spark."""

from datetime import datetime
from typing import Any

import numpy as np

from jobs.look.report.gallery import Cell, Family, Pair
from jobs.look.report.gather import BINS, Counts, Measure
from jobs.look.report.page import Report
from jobs.look.report.pictures import draw_small
from jobs.look.report.shift import Shift
from jobs.look.report.texts import LONGEST, Texts
from tests.support.tiny_models import picture
from udfs.masks import to_rle

MARKUP = "A <script>window.owned = 1</script> dog & a 'cat' {{ 7 * 7 }} {% raw %} \"</style><img src=https://example.org/x.png>"
LABELS = ["dog", "<b>cat</b>"]


def example_report(**changes: Any) -> Report:
    """The report; ``changes`` replace its fields."""
    families = [family(0, doubtful=True), family(1, doubtful=False)]
    values: dict[str, Any] = {
        "root": "/data/<root>",
        "counts": counts(),
        "texts": [Texts("dual texts", 10, 9, 4.5, 45, 0.5, [0, 4, 6, *[0] * (LONGEST - 2)])],
        "families": families,
        "model": "tiny 123",
        "shifts": [Shift(1, False, 20, 1.5, 1.0, 2.0, (-0.2, 0.0, 0.2))],
        "no_shift": "",
        "policy": "residual > 0.35 rejects",
        "settings": [("inpainter.radius", 7.0, 5.0)],
        "seed": 0,
    }
    return Report(**(values | changes))


def family(seed: int, *, doubtful: bool) -> Family:
    """A family of two components, all of its four images drawn."""
    outlined = [{"masks": [block(0, 20)]}, {"masks": [block(30, 60)]}]
    cells, outlines = [], []
    for subset in range(4):
        small = draw_small(picture(seed=10 * seed + subset), 256, outlined if subset == 0 else [])
        outlines = small["outlines"] or outlines
        removed = [label for bit, label in enumerate(LABELS) if subset >> bit & 1]
        reasons = ["residual"] if subset == 3 else []
        pairs = [Pair("7", f"{MARKUP} {subset}", reasons, {"residual": 0.1}), Pair("8", "A dog.", [], {})]
        cells.append(Cell(subset, removed, "ok", small["picture"], small["width"], small["height"], pairs))
    return Family(f"r{seed}", f"{seed}.jpg", LABELS, outlines, cells, doubtful, 0.1 if doubtful else None)


def block(left: int, right: int) -> dict[str, Any]:
    """A mask of 48 x 64 pixels, set in the columns from ``left`` up to ``right``."""
    mask = np.zeros((48, 64), dtype=bool)
    mask[10:40, left:right] = True
    return to_rle(mask)


def counts() -> Counts:
    """Aggregates of a report of that size."""
    totals = {"listed": 3, "images": 2, "captions": 4, "families": 2, "named": 2, "planned": 6, "duals": 6, "texts": 10}
    totals |= {"looked": 6, "gone": 5, "pairs": 12, "scored": 12, "kept": 10, "kept_originals": 4, "clip_drop": None}
    bins = [[1] * BINS, [0] * BINS]
    moment = datetime(2026, 1, 1)
    return Counts(
        tables=[{"table": "records", "rows": 3, "ok": 3}, {"table": "images", "rows": 3, "ok": 2}],
        quarantine=[{"table": "images", "status": "missing_file", "rows": 1, "example": "<i>no such file</i>"}],
        sources=[{"source": "coco", "split": "train", "license": "<u>CC</u>", "images": 2}],
        totals=totals | {"kept_duals": 5, "kept_families": 2},
        reasons=[{"reason": "residual", "pairs": 2}],
        steps=[("pairs", 12), ("scored", 12), ("after residual", 10)],
        measures=[Measure("residual", "score", 12, 0.0, 1.0, 0.1, 0.0, 0.5, 0.35, *bins)],
        sizes=[{"n": 0, "reason": "none_found", "families": 1}, {"n": 2, "reason": "", "families": 2}],
        coverage=[{"n": 2, "removed_count": k, "images": 2, "kept_images": 1, "pairs": 4, "kept": 3} for k in range(3)],
        stages=[
            {"stage": "ingest", "batches": 1, "rows_in": 3, "wall": 2.0, "load": 0.1, "decode": 0.2, "model": None, "encode": 0.0}
        ],
        models=[{"table": "instances", "model": "yolo", "model_version": None, "device": "cpu", "rows": 2}],
        settings=[{"stage": "ingest", "settings_hash": "abc", "settings": "{}", "latest": moment}],
    )
