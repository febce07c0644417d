"""Removals through the engine's own inpainter role, beside the truth, and how far they are from it.

The role is given the masks of a perfect segmenter, so that what is measured is the inpainter alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from jobs.settings import Codec, Settings
from scenes import layout
from scenes.inpainting_data import SPLITS, components
from scenes.render import masks, render
from scenes.scene import Scene
from udfs import images, lattice
from udfs.images import Rgb
from udfs.lattice import Hole
from udfs.masks import Mask, dilate, to_rle
from udfs.role import Failure, Row

TOP = 60.0  # dB, of a fill without any error


class InpainterFailed(RuntimeError):
    """It gave no picture for a removal."""


class Role(Protocol):
    """What is scored: ``udfs.inpaint.Inpainter``."""

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Fill the holes of some families."""
        ...


class MeanFill:
    """A backend that paints every hole in the mean colour of what is known around it: the least that can be asked of a method."""

    name, version, batch_size = "mean fill", "1", 1

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill each hole; the seed is not used."""
        return [np.full_like(hole.rgb, hole.rgb[~hole.mask].mean(axis=0).round()) for hole in holes]


@dataclass(frozen=True)
class Case:
    """A scene with something to remove: its picture and, for each subset of ``found`` from 1 on, the true removal."""

    number: int
    scene: Scene
    picture: Rgb
    found: dict[str, Mask]
    truths: list[Rgb]


@dataclass(frozen=True)
class Removal:
    """A dual image, uint8 [S, S, 3], with its truth and its original. ``hole``: what was edited, bool [S, S]."""

    scene: int
    removed: tuple[str, ...]
    original: Rgb
    truth: Rgb
    dual: Rgb
    hole: Mask
    behind: bool  # a thing that stays reaches into the hole, seen or not

    @property
    def changed(self) -> Mask:
        """What the true removal changes: the thing, its shadow and its reflection. All else is the same, noise and all."""
        return np.asarray((self.truth != self.original).any(axis=2))


def cases(domain: str, seed: int, size: int, count: int, most_noise: float) -> list[Case]:
    """Scenes of both splits in turn, of a camera noise of at most ``most_noise`` (sigma), with ``count`` removals or more."""
    made: list[Case] = []
    for index in range(100 * count):
        scene = layout.sample(domain, SPLITS[index % 2], seed, index // 2, size)
        found = components(scene)
        if scene.noise_sigma > most_noise or not found:
            continue
        truths = [render(scene, frozenset(chosen(found, subset))) for subset in range(1, 1 << len(found))]
        made.append(Case(len(made), scene, render(scene), found, truths))
        if sum(len(case.truths) for case in made) >= count:
            return made
    raise ValueError(f"domain {domain}: too few removals at a noise of {most_noise}")


def removals(role: Role, settings: Settings, some: Iterable[Case], batch: int = 8) -> list[Removal]:
    """All removals of some cases.

    Raises:
        InpainterFailed: at one of them.
    """
    done: list[Removal] = []
    queue = list(some)
    for start in range(0, len(queue), batch):
        now = queue[start : start + batch]
        for case, answer in zip(now, role([_row(case) for case in now]), strict=True):
            if isinstance(answer, Failure):
                raise InpainterFailed(f"scene {case.scene.key}: {answer.status}: {answer.error}")
            done += _compare(case, answer["duals"], settings)
    return done


def _row(case: Case) -> Row:
    parts: list[dict[str, Any]] = [{"label": label, "masks": [to_rle(mask)], "boxes": []} for label, mask in case.found.items()]
    return {"record_id": case.scene.key, "image": images.encode(case.picture, Codec(format="png")), "components": parts}


def _compare(case: Case, duals: Sequence[Row], settings: Settings) -> Iterator[Removal]:
    radius = settings.inpainter.dilate * case.scene.size
    dilated = {label: dilate(mask, radius) for label, mask in case.found.items()}
    whole = masks(case.scene).whole
    for dual in duals[1:]:
        labels = chosen(case.found, dual["subset"])
        if dual["status"] == "mask_covers_image":
            continue  # nothing is left to fill from: no inpainter is asked
        if dual["status"] != "ok":
            raise InpainterFailed(f"scene {case.scene.key} without {', '.join(labels)}: {dual['status']}: {dual['error']}")
        hole = np.any([dilated[label] for label in labels], axis=0)
        stays = [shape for thing, shape in zip(case.scene.things, whole, strict=True) if thing.label not in labels]
        behind = any(bool((shape & hole).any()) for shape in stays)
        rgb = images.decode(dual["image"], settings.ingest.max_pixels)
        yield Removal(case.number, labels, case.picture, case.truths[dual["subset"] - 1], rgb, np.asarray(hole), behind)


def chosen(found: Iterable[str], subset: int) -> tuple[str, ...]:
    """The labels of a subset: bit i stands for the i-th."""
    return tuple(label for i, label in enumerate(found) if subset >> i & 1)


def squared_error(removal: Removal, where: Mask) -> float:
    """Mean squared error against the truth, in grey levels of 255 squared; nan where there are no pixels."""
    error = np.square(removal.truth[where].astype(np.float64) - removal.dual[where])
    return float(error.mean()) if error.size else float("nan")


def psnr(error: Any) -> Any:
    """Peak signal to noise ratio of a mean squared error, in dB, at most ``TOP``."""
    return 10 * np.log10(255**2 / np.maximum(error, 255**2 / 10 ** (TOP / 10)))


def ssim(removal: Removal) -> float:
    """Structural similarity with the truth (7 x 7 windows), averaged over the hole."""
    box = lattice.crop_box(removal.hole, 0.0)  # its margin is wider than a window
    crops = lattice.cut(removal.truth, box), lattice.cut(removal.dual, box)
    _, full = structural_similarity(*crops, channel_axis=2, full=True)
    return float(full[lattice.cut(removal.hole, box)].mean())


def left_over(removal: Removal) -> float:
    """Mean absolute difference from the truth, in grey levels, where a shadow or a reflection reached outside the hole; nan where
    none did.
    """
    where = removal.changed & ~removal.hole
    difference = cv2.absdiff(removal.truth, removal.dual)[where]
    return float(difference.mean()) if difference.size else float("nan")
