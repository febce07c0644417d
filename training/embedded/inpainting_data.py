"""Removals in scenes, with the truth: what the engine would cut out, and what is really behind it.

The masks are those of a perfect segmenter (the visible part of each label that a detector knows), dilated, grouped and cropped by
the engine's own rules (``udfs.inpaint.inpainter``, ``udfs.inpaint.lattice``). So an inpainter is trained and scored on the inputs
that it gets in the engine.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene, Split
from udfs import images
from udfs.codec import CodecSettings
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.diffusers import square, square_mask
from udfs.inpaint.settings import InpainterSettings
from udfs.masks import Mask, dilate

SPLITS: tuple[Split, ...] = ("train", "test")
BLOCK = 100  # scenes a task


class Crops(NamedTuple):
    """Square crops: the pictures, what is really behind the holes, both uint8 [n, side, side, 3], and the holes, uint8
    [n, side, side], 0 or 255.
    """

    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]
    hole: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """Scenes ``start`` to ``stop`` (exclusive) of one split, to be cropped to squares of ``side`` pixels."""

    domain: str
    split: Split
    seed: int
    size: int
    start: int
    stop: int
    side: int
    options: InpainterSettings


def components(scene: Scene) -> dict[str, Mask]:
    """The visible mask of each label that a detector knows, bool [S, S]; labels that are not visible are left out."""
    known = domains.load(scene.domain).known
    visible = masks(scene).visible
    merged = {
        label: np.any([mask for thing, mask in zip(scene.things, visible, strict=True) if thing.label == label], axis=0)
        for label in scene.labels
        if label in known
    }
    return {label: np.asarray(mask) for label, mask in merged.items() if mask.any()}


def crops(scene: Scene, side: int, options: InpainterSettings, through_jpeg: bool) -> Iterator[tuple[Rgb, Rgb, Rgb]]:
    """The engine's model calls for a scene: image and truth, uint8 [side, side, 3], and the hole, uint8 [side, side]."""
    by_label = components(scene)
    if not by_label:
        return
    picture = render(scene)
    original = images.decode(images.encode(picture, CodecSettings())) if through_jpeg else picture
    dilated = [dilate(mask, options.dilate * scene.size) for mask in by_label.values()]
    for subset in lattice.own_calls(len(by_label), lattice.groups(dilated)):
        removed = frozenset(label for i, label in enumerate(by_label) if subset >> i & 1)
        hole = np.any([mask for i, mask in enumerate(dilated) if subset >> i & 1], axis=0)
        if hole.all():
            continue  # the engine rejects it too
        box = lattice.crop_box(hole, options.context)
        picture_crop, truth = (square(lattice.cut(rgb, box), side) for rgb in (original, render(scene, removed)))
        yield picture_crop, truth, square_mask(lattice.cut(hole, box), side)


def part_crops(part: Part) -> Crops:
    """The crops of a part; every second scene is encoded and decoded by the engine's JPEG codec."""
    cv2.setNumThreads(1)
    rows: list[tuple[Rgb, Rgb, Rgb]] = []
    for index in range(part.start, part.stop):
        scene = layout.sample(part.domain, part.split, part.seed, index, part.size)
        rows += crops(scene, part.side, part.options, bool(index % 2))
    return Crops(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))


def all_crops(domain: str, seed: int, size: int, count: int, side: int, options: InpainterSettings, processes: int) -> Crops:
    """The crops of ``count`` scenes, half from each split, in an order that does not depend on the number of processes."""
    per_split = count // len(SPLITS)
    parts = [
        Part(domain, split, seed, size, start, min(start + BLOCK, per_split), side, options)
        for split in SPLITS
        for start in range(0, per_split, BLOCK)
    ]
    if processes == 1:
        rendered = [part_crops(part) for part in parts]
    else:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            rendered = list(pool.map(part_crops, parts))
    return Crops(*(np.concatenate(arrays) for arrays in zip(*rendered, strict=True)))


def cached_crops(
    folder: Path | None, domain: str, seed: int, size: int, count: int, side: int, options: InpainterSettings, processes: int
) -> Crops:
    """``all_crops``, cached in ``folder`` (None: not cached) under a name that contains everything they depend on."""
    if folder is None:
        return all_crops(domain, seed, size, count, side, options, processes)
    name = f"{Path(domain).stem}_s{seed}_p{size}_{count}_x{side}_d{options.dilate:g}_c{options.context:g}.npz"
    file = folder / name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rendered = all_crops(domain, seed, size, count, side, options, processes)
        np.savez(file.with_suffix(".part.npz"), **rendered._asdict())
        file.with_suffix(".part.npz").rename(file)
    with np.load(file, allow_pickle=False) as stored:
        return Crops(*(stored[name] for name in Crops._fields))


def strokes(side: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A free-form hole, uint8 [side, side], 0 or 255: up to four turning brush strokes (Yu et al., 2019, algorithm 1)."""
    mask = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        point, angle = rng.integers(0, side, 2).astype(float), rng.uniform(0, 2 * np.pi)
        width = int(rng.integers(2, max(3, side // 5)))
        for _ in range(int(rng.integers(1, 6))):
            angle += rng.normal(0, 0.8)
            end = point + rng.uniform(0.05, 0.25) * side * np.array([np.cos(angle), np.sin(angle)])
            (x, y), (to_x, to_y) = point.astype(int), end.astype(int)
            cv2.line(mask, (int(x), int(y)), (int(to_x), int(to_y)), [255.0], width)
            point = end
    return mask


def batch(data: Crops, chosen: npt.NDArray[np.int64], free: float, rng: np.random.Generator) -> Crops:
    """The ``chosen`` crops, each mirrored with probability 1/2. A share ``free`` of them gets a free-form hole instead of its
    own, in the truth instead of the image.
    """
    image, truth, hole = (array[chosen].copy() for array in data)
    for i in np.flatnonzero(rng.random(len(chosen)) < free):
        hole[i], image[i] = strokes(hole.shape[1], rng), truth[i]
    for i in np.flatnonzero(rng.random(len(chosen)) < 0.5):
        for array in (image, truth, hole):
            array[i] = array[i, :, ::-1]
    return Crops(image, truth, hole)
