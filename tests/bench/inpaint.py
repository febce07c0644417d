"""The quality of inpainting by OpenCV's methods, on holes whose true content is known.

    python -m tests.bench.inpaint --images DIR [--instances FILE] --limit 20

Object-shaped holes are cut into background, filled by each method, and compared with the photograph inside the hole: pixels
(PSNR, SSIM), the distance in features of an ImageNet network, and whether a probe on these features sees the edit. With
``--instances`` (COCO JSON) the shapes are the photographs' annotated objects, moved to places without objects; without it they
are random blobs anywhere. All methods get the same holes, and the same ``--seed`` gives the same holes.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from tests.bench.imagenet import ImageNet, distance, probed, summary
from udfs import images, masks
from udfs.codec import CodecSettings
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.inpainter import Backend, seam
from udfs.inpaint.lattice import Hole, Patch
from udfs.inpaint.opencv import DEPTH, OpenCv, fill
from udfs.inpaint.patchmatch import PatchMatch
from udfs.inpaint.settings import InpainterSettings
from udfs.masks import Mask

DILATE, FEATHER, CONTEXT = 0.012, 0.006, 0.5
SIZES = ((0.0, 0.02), (0.02, 0.06), (0.06, 1.0))  # shares of the image


class Case(NamedTuple):
    """A photograph, by number, and a hole in it."""

    photograph: int
    rgb: Rgb
    mask: Mask


def methods(everything: bool) -> dict[str, Callable[[Hole], Rgb]]:
    """The compared methods, by name; ``everything``: all settings of OpenCV's, too."""
    table: dict[str, Callable[[Hole], Rgb]] = {
        "mean of the border": lambda hole: _flat(hole, masks.dilate(hole.mask, 8) & ~hole.mask),
        "telea 5": partial(fill, method="telea", radius=5.0, depth=0, soften=False),
        "ns 5": partial(fill, method="ns", radius=5.0, depth=0, soften=False),
    }
    for name in ("telea", "ns") if everything else ():
        for radius in (1.0, 3.0, 9.0):
            table[f"{name} {radius:g}"] = partial(fill, method=name, radius=radius, depth=0, soften=False)
        for depth in (8, 16, 32):
            table[f"{name} 5, depth {depth}"] = partial(fill, method=name, radius=5.0, depth=depth, soften=False)
    table[f"ns 5, depth {DEPTH:g}, soft"] = partial(fill, method="ns", radius=5.0)
    for share in (0.25, 0.5, 1.0):
        table[f"the same, detail {share:g}"] = _backend(OpenCv(InpainterSettings(detail=share)))
    table["patchmatch"] = _backend(PatchMatch())
    return table


def main() -> None:
    """Print a line a method: CPU time a hole, and by the hole's size PSNR, SSIM, distance in features, and what a probe sees."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--instances", type=Path, help="COCO instances JSON; without it the holes are random blobs")
    parser.add_argument("--limit", type=int, default=20, help="number of photographs, in the order of their names")
    parser.add_argument("--seed", type=int, default=0, help="seed of the holes' places")
    parser.add_argument("--all", action="store_true", help="all settings of OpenCV's methods")
    parser.add_argument("--sheet", type=Path, help="write a picture of some holes and their fills, largest first")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    cases = list(_cases(options.images, options.instances, options.limit, options.seed))
    assert cases, "no photograph has room for a hole"
    sizes = [next(i for i, (_, top) in enumerate(SIZES) if case.mask.mean() <= top) for case in cases]
    print(f"{len(cases)} holes in {len({case.photograph for case in cases})} photographs; by share of the image:", end=" ")
    print(", ".join(f"{low:.0%} to {top:.0%}: {sizes.count(i)}" for i, (low, top) in enumerate(SIZES)))
    network = ImageNet()
    truths = [network.view(case.rgb, case.mask, CONTEXT) for case in cases]
    known = np.stack([summary(view) for view in truths])
    print(f"{'method':24} ms/hole   PSNR                SSIM                distance            probe               seam")
    shown = {}
    for name, method in methods(options.all).items():
        start = time.process_time()
        filled = [_edit(case.rgb, case.mask, method) for case in cases]
        taken = (time.process_time() - start) / len(cases) * 1000
        shown[name] = filled
        views = [network.view(out, case.mask, CONTEXT) for case, out in zip(cases, filled, strict=True)]
        columns = [
            _by_size([psnr(case.rgb, out, case.mask) for case, out in zip(cases, filled, strict=True)], sizes),
            _by_size([ssim(case.rgb, out, case.mask) for case, out in zip(cases, filled, strict=True)], sizes),
            _by_size([distance(truth, view) for truth, view in zip(truths, views, strict=True)], sizes),
            probed(known, np.stack([summary(view) for view in views]), [case.photograph for case in cases], sizes),
        ]
        seams = [seam(out, case.mask, 3.0) or 0.0 for out, case in zip(filled, cases, strict=True)]
        digits = (1, 3, 3, 3)
        cells = "  ".join(
            "".join(f"{column.get(i, np.nan):6.{d}f}" for i in range(3)) for d, column in zip(digits, columns, strict=True)
        )
        print(f"{name:24} {taken:7.1f}  {cells}  {np.mean(seams):.3f}", flush=True)
    if options.sheet:
        options.sheet.write_bytes(images.encode(_sheet(cases, shown), CodecSettings(format="png")))


def _by_size(values: Sequence[float], sizes: Sequence[int]) -> dict[int, float]:
    """The mean of the values of each size."""
    return {i: float(np.mean([v for v, size in zip(values, sizes, strict=True) if size == i])) for i in set(sizes)}


def _sheet(cases: Sequence[Case], shown: dict[str, list[Rgb]], rows: int = 16) -> Rgb:
    """A row for each of some holes: the photograph, the hole, and the fill of each method, in the order of ``methods``."""
    order = sorted(range(len(cases)), key=lambda i: -cases[i].mask.mean())
    lines = []
    for i in order[:: max(1, len(order) // rows)][:rows]:
        case = cases[i]
        box = lattice.crop_box(case.mask, 1.0)
        marked = np.where(case.mask[..., None], np.array((255, 0, 255), dtype=np.uint8), case.rgb)
        pictures = [case.rgb, marked, *(fills[i] for fills in shown.values())]
        lines.append(np.hstack([cv2.resize(np.ascontiguousarray(lattice.cut(p, box)), (240, 210)) for p in pictures]))
    return np.asarray(np.vstack(lines), dtype=np.uint8)


def psnr(truth: Rgb, filled: Rgb, mask: Mask) -> float:
    """Peak signal to noise ratio over the mask, in dB, at most 60."""
    error = np.square(truth[mask].astype(np.float64) - filled[mask]).mean()
    return min(60.0, 10 * np.log10(255**2 / error)) if error > 0 else 60.0


def ssim(truth: Rgb, filled: Rgb, mask: Mask) -> float:
    """Structural similarity (7 x 7 windows), averaged over the pixels of the mask."""
    box = lattice.crop_box(mask, 0.0)  # its margin is wider than a window
    crops = lattice.cut(truth, box), lattice.cut(filled, box)
    _, full = structural_similarity(*crops, channel_axis=2, full=True)
    return float(full[lattice.cut(mask, box)].mean())


def _edit(rgb: Rgb, mask: Mask, method: Callable[[Hole], Rgb]) -> Rgb:
    box = lattice.crop_box(mask, CONTEXT)
    hole = Hole(lattice.cut(rgb, box), lattice.cut(mask, box), 0)
    soft = FEATHER * max(rgb.shape[:2]) - 1
    return lattice.paste(rgb, [Patch(box, method(hole), masks.feather(hole.mask, soft))])


def _backend(backend: Backend) -> Callable[[Hole], Rgb]:
    return lambda hole: backend([hole])[0]


def _flat(hole: Hole, known: Mask) -> Rgb:
    return np.where(hole.mask[..., None], hole.rgb[known].mean(axis=0).astype(np.uint8), hole.rgb)


def _cases(folder: Path, instances: Path | None, limit: int, seed: int) -> Iterator[Case]:
    """Photographs with a hole, one for each shape; on background if objects are known."""
    rng = np.random.default_rng(seed)
    outlines = _outlines(instances) if instances else None
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for number, path in enumerate(paths[:limit]):
        rgb = images.shrink(images.decode(path.read_bytes()), 640)
        height, width = rgb.shape[:2]
        if outlines is None:
            objects: list[Mask] = []
            shapes = [_blob(rng, height, width) for _ in range(3)]
        else:
            objects = [masks.resize(m, height, width) for m in outlines.get(path.name, [])]
            shapes = [m for m in objects if 0.002 <= m.mean() <= 0.3]
        taken = np.any(objects, axis=0) if objects else np.zeros((height, width), dtype=np.bool_)
        for shape in shapes:
            grown = masks.dilate(shape, DILATE * max(height, width))
            for _ in range(50):
                shift = rng.integers(-height, height), rng.integers(-width, width)
                moved = np.roll(grown, shift, axis=(0, 1))
                top, left, bottom, right = masks.bounds(moved)
                unbroken = (bottom - top, right - left) == _extent(grown)
                if unbroken and not (moved & taken).any():
                    yield Case(number, rgb, moved)
                    break


def _extent(mask: Mask) -> tuple[int, int]:
    top, left, bottom, right = masks.bounds(mask)
    return bottom - top, right - left


def _blob(rng: np.random.Generator, height: int, width: int) -> Mask:
    """A smooth star-shaped outline of 0.3 to 15 % of the image."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = 1 + sum(rng.normal(0, 0.25 / k) * np.cos(k * angles + rng.uniform(0, 7)) for k in range(1, 6))
    radius = np.clip(radius, 0.2, None) * np.sqrt(np.exp(rng.uniform(*np.log([0.003, 0.15]))) * height * width / np.pi)
    points = np.stack([width / 2 + radius * np.cos(angles), height / 2 + radius * np.sin(angles)], axis=-1)
    out = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(out, [np.rint(points).astype(np.int32)], [1.0])
    return out.astype(np.bool_)


def _outlines(instances: Path) -> dict[str, list[Mask]]:
    from pycocotools import mask as coco

    tree = json.loads(instances.read_text(encoding="utf-8"))
    files = {image["id"]: image for image in tree["images"]}
    by_file: dict[str, list[Mask]] = {}
    for annotation in tree["annotations"]:
        image = files[annotation["image_id"]]
        if annotation.get("iscrowd"):
            rle = coco.frPyObjects(annotation["segmentation"], image["height"], image["width"])
        else:
            rle = coco.merge(coco.frPyObjects(annotation["segmentation"], image["height"], image["width"]))
        by_file.setdefault(image["file_name"], []).append(coco.decode(rle).astype(np.bool_))
    return by_file


if __name__ == "__main__":
    main()
