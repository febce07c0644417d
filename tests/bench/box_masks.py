"""How well masks that are made of boxes fit, by each way of making them (``segmenter.box_masks``), against annotated polygons.

    python -m tests.bench.box_masks --images DIR --instances FILE [--images DIR --instances FILE ...]

The boxes are those of the polygons' own annotations, so that only the outline is judged. Beside IoU, what matters to inpainting:
how much of the object the mask covers, how much of the mask is no part of it, and how many objects are gone: at least 95% covered
by the mask as the inpainter dilates it. The rest of an object stays in the picture. The ellipse that fills the box is there for
comparison. Crowds are left out. Intervals: 95%, by bootstrap over photographs. Sizes as in COCO: an area under 32 x 32 pixels is
small, from 96 x 96 on large.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco

from training.statistics import interval
from udfs import images, masks
from udfs.images import Rgb
from udfs.inpaint.settings import InpainterSettings
from udfs.masks import Mask
from udfs.segment.boxes import OUTLINES, Corners, ellipse

SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, 1 << 40), ("all", 0, 1 << 40))


class Measured(NamedTuple):
    """A mask against its polygon: which photograph, the polygon's area in pixels, and three shares from 0 to 1."""

    photograph: int
    area: int
    iou: float
    covered: float  # of the object
    foreign: float  # of the mask
    gone: float  # 1 or 0


def main() -> None:
    """Print a table in Markdown: a row a way and a size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, action="append", required=True, help="folder of photographs; may be repeated")
    parser.add_argument("--instances", type=Path, action="append", required=True, help="COCO instances JSON, one a folder")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    ways = {"box": OUTLINES["box"], "ellipse": ellipse, "grabcut": OUTLINES["grabcut"]}
    measured: dict[str, list[Measured]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for photograph, (picture, box, truth) in objects(options.images, options.instances):
        for name, outline in ways.items():
            started = time.process_time()
            mask = outline(picture, box)
            seconds[name] += time.process_time() - started
            measured[name].append(compare(photograph, mask, truth))
    print(
        "| mask | size | objects | photographs | mean IoU | IoU under 0.5 | of the object covered | of the mask foreign | gone |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, rows in measured.items():
        for size, low, top in SIZES:
            chosen = [row for row in rows if low <= row.area < top]
            print(f"| {name} | {size} | {' | '.join(cells(chosen))} |")
    for name, rows in measured.items():
        print(f"{name}: {seconds[name] / max(1, len(rows)) * 1000:.1f} ms of CPU an object")
    for name in ("box", "ellipse"):
        pairs = zip(measured["grabcut"], measured[name], strict=True)
        less = interval([first.iou - second.iou for first, second in pairs], [row.photograph for row in measured[name]])
        print(f"IoU of grabcut less {name}: {less[0]:+.3f} [{less[1]:+.3f}, {less[2]:+.3f}]")


def cells(rows: list[Measured]) -> Iterator[str]:
    """The counts and shares of some objects, as the table prints them."""
    clusters = [row.photograph for row in rows]
    yield str(len(rows))
    yield str(len(set(clusters)))
    for values, digits in (
        ([row.iou for row in rows], 3),
        ([float(row.iou < 0.5) for row in rows], 2),
        ([row.covered for row in rows], 3),
        ([row.foreign for row in rows], 3),
        ([row.gone for row in rows], 2),
    ):
        value, low, high = interval(values, clusters)
        yield f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def compare(photograph: int, mask: Mask, truth: Mask) -> Measured:
    """Compare a mask with the polygon's, both bool [H, W] and not empty."""
    grown = masks.dilate(mask, InpainterSettings().dilate * max(mask.shape))
    both = int((mask & truth).sum())
    return Measured(
        photograph,
        int(truth.sum()),
        both / int((mask | truth).sum()),
        both / int(truth.sum()),
        1 - both / int(mask.sum()),
        float((grown & truth).sum() >= 0.95 * truth.sum()),
    )


def objects(folders: list[Path], files: list[Path]) -> Iterator[tuple[int, tuple[Rgb, Corners, Mask]]]:
    """Yield the photograph's number with its pixels, and the box and polygon of each object in it that is no crowd."""
    photograph = 0
    for folder, file in zip(folders, files, strict=True):
        tree = json.loads(file.read_text(encoding="utf-8"))
        by_image: dict[int, list[Any]] = {}
        for annotation in tree["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
        for image in sorted(tree["images"], key=lambda image: str(image["file_name"])):
            picture = images.decode((folder / image["file_name"]).read_bytes())
            photograph += 1
            for annotation in by_image.get(image["id"], []):
                left, top, width, height = annotation["bbox"]
                if annotation.get("iscrowd") or not isinstance(annotation["segmentation"], list):
                    continue
                rle = coco.merge(coco.frPyObjects(annotation["segmentation"], image["height"], image["width"]))
                truth = coco.decode(rle).astype(np.bool_)
                if truth.any() and width > 0 and height > 0:
                    yield photograph, (picture, (left, top, left + width, top + height), truth)


if __name__ == "__main__":
    main()
