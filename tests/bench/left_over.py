"""How many texts name a thing that went with what was removed: it was no component, or another one, and lay in the same pixels.

    python -m tests.bench.left_over --images DIR --captions FILE --instances FILE [--weights FILE]

Captions are read by rules. Objects are COCO's annotated polygons, or with ``--weights`` what YOLO sees in the photographs. For
each family, each non-empty subset of it and each caption, the text is what remains of the caption. It is false if it surely names
a label that is seen at ``plan.enter_score``, and of which each instance, down to ``plan.remove_score``, has more than half of its
pixels in the masks of what was removed. Intervals: 95%, by bootstrap over photographs.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from jobs.settings import Settings, load_settings
from training.statistics import interval
from udfs.extract.rules import read_caption
from udfs.masks import from_rle
from udfs.plan.planner import plan_family
from udfs.segment.detection import Detection
from udfs.segment.segmenter import Segmenter, instances


def main() -> None:
    """Print the sizes of the families and the share of false texts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--captions", type=Path, required=True, help="COCO captions JSON")
    parser.add_argument("--instances", type=Path, required=True, help="COCO instances JSON")
    parser.add_argument("--weights", help="of YOLO; without them the annotated polygons are the objects")
    options = parser.parse_args()
    segmenting = f"segmenter.weights={options.weights}" if options.weights else "segmenter.kind=annotations"
    settings = load_settings("photos", [segmenting])
    segmenter = Segmenter(settings, "cpu") if options.weights else None
    outlines, sizes = COCO(str(options.instances)), Counter[int]()
    false: list[float] = []
    clusters: list[int] = []
    for image_id, name, captions in photographs(options.captions):
        if segmenter:
            (answer,) = segmenter([{"image": (options.images / name).read_bytes()}])
            seen: Any = answer["instances"]  # type: ignore[index]
        else:
            seen = annotated(outlines, image_id)
        n, texts = judged(captions, seen, settings)
        sizes[n] += 1
        false += texts
        clusters += [image_id] * len(texts)
    families = ", ".join(f"{sizes[n]} of {n}" for n in sorted(sizes))
    share, low, high = interval(false, clusters)
    print(f"families: {families} components; components: {sum(n * count for n, count in sizes.items())}")
    print(f"false texts: {sum(false):.0f} of {len(false)} ({share:.1%}, {low:.1%} to {high:.1%})")


def photographs(captions: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Each photograph's id, file name and captions."""
    tree = COCO(str(captions))
    for image_id, image in tree.imgs.items():
        yield image_id, image["file_name"], [row["caption"] for row in tree.loadAnns(tree.getAnnIds(image_id))]


def annotated(outlines: COCO, image_id: int) -> Any:
    """The annotated objects as a segmenter without errors would give them."""
    found = []
    for row in outlines.loadAnns(outlines.getAnnIds(image_id)):
        rle = outlines.annToRLE(row)
        left, top, width, height = row["bbox"]
        mask: Any = {"height": rle["size"][0], "width": rle["size"][1], "counts": rle["counts"].decode("ascii")}
        label = outlines.cats[row["category_id"]]["name"]
        found.append(Detection(label, 1.0, (left, top, left + width, top + height), mask, bool(row["iscrowd"])))
    return instances(found)


def judged(captions: list[str], seen: list[Any], settings: Settings) -> tuple[int, list[float]]:
    """The size of the family, and for each text whether it is false (1) or not (0)."""
    written: Any = [{"caption_id": str(i), "caption": caption, "status": "ok"} for i, caption in enumerate(captions)]
    parsed: Any = [read_caption(row) for row in written]
    components = plan_family(parsed, written, seen, settings)["components"]
    usable = [row for row in parsed if row["status"] == "ok" and row["monotone"]]
    named = [{mention["label"] for mention in row["components"] or [] if mention["certain"]} for row in usable]
    shapes = [from_rle(row["mask"]) for row in seen]
    sure = {row["label"] for row in seen if row["score"] >= settings.plan.enter_score}
    false: list[float] = []
    for subset in range(1, 1 << len(components)):
        removed = [component for i, component in enumerate(components) if subset >> i & 1]
        pixels = np.logical_or.reduce([shapes[i] for c in removed for i in (*c["instances"], *c["attached"])])
        left: dict[str, bool] = {}
        for row, shape in zip(seen, shapes, strict=True):
            if row["score"] >= settings.plan.remove_score:
                left[row["label"]] = left.get(row["label"], False) or shape[pixels].sum() <= shape.sum() / 2
        gone = {label for label in sure if not left[label]}
        gone -= {label for component in removed for label in (component["label"], *component["carries"])}
        false += [float(bool(labels & gone)) for labels in named]
    return len(components), false


if __name__ == "__main__":
    main()
