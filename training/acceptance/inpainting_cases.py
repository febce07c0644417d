"""Removals by the engine's own inpainter role, with the truth, and measures of the difference.

The role gets the masks of a perfect segmenter, so that only the inpainter is measured.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from jobs.scenes import layout
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene
from jobs.settings import Settings
from training.embedded.inpainting_data import SPLITS, components
from udfs import images
from udfs.codec import CodecSettings
from udfs.errors import DualsetError
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.inpaint.lattice import Hole
from udfs.masks import Mask, dilate, to_rle
from udfs.role import Failure, Role, Row

TOP = 60.0  # dB; PSNR of a fill without error


class InpainterFailed(DualsetError):
    """The inpainter gave no picture for a removal."""


class MeanFill:
    """A backend that fills every hole with the mean colour of the known pixels around it: a baseline for all methods."""

    name, version, batch_size = "mean fill", "1", 1

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill each hole; the seed is not used."""
        return [np.full_like(hole.rgb, hole.rgb[~hole.mask].mean(axis=0).round()) for hole in holes]


@dataclass(frozen=True)
class Case:
    """A scene with something to remove: its picture and, for each subset of ``visible`` from 1 on, the true removal."""

    number: int
    scene: Scene
    picture: Rgb
    visible: dict[str, Mask]
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
    behind: bool  # a remaining thing reaches into the hole, visible or not

    @property
    def changed(self) -> Mask:
        """The pixels that the true removal changes: the thing, its shadow and reflection. The rest is equal, even the noise."""
        return np.asarray((self.truth != self.original).any(axis=2))


def cases(domain: str, seed: int, size: int, count: int, most_noise: float) -> list[Case]:
    """Scenes of both splits in turn, with camera noise (sigma) of at most ``most_noise``, until they have ``count`` removals."""
    collected: list[Case] = []
    for index in range(100 * count):
        scene = layout.sample(domain, SPLITS[index % 2], seed, index // 2, size)
        visible = components(scene)
        if scene.noise_sigma > most_noise or not visible:
            continue
        truths = [render(scene, frozenset(labels_of(visible, subset))) for subset in range(1, 1 << len(visible))]
        collected.append(Case(len(collected), scene, render(scene), visible, truths))
        if sum(len(case.truths) for case in collected) >= count:
            return collected
    raise ValueError(f"domain {domain}: too few removals at a noise of {most_noise}")


def removals(role: Role[Any, Any], settings: Settings, cases: Iterable[Case], batch: int = 8) -> list[Removal]:
    """All removals of some cases.

    Raises:
        InpainterFailed: the role failed on one of them.
    """
    results: list[Removal] = []
    queue = list(cases)
    for start in range(0, len(queue), batch):
        group = queue[start : start + batch]
        for case, answer in zip(group, role([_row(case) for case in group]), strict=True):
            if isinstance(answer, Failure):
                raise InpainterFailed(f"scene {case.scene.key}: {answer.status}: {answer.error}")
            results += _compare(case, answer["duals"], settings)
    return results


def _row(case: Case) -> Row:
    parts: list[dict[str, Any]] = [{"label": label, "masks": [to_rle(mask)], "boxes": []} for label, mask in case.visible.items()]
    return {"record_id": case.scene.key, "image": images.encode(case.picture, CodecSettings(format="png")), "components": parts}


def _compare(case: Case, duals: Sequence[Row], settings: Settings) -> Iterator[Removal]:
    radius = settings.inpainter.dilate * case.scene.size
    dilated = {label: dilate(mask, radius) for label, mask in case.visible.items()}
    shapes = masks(case.scene).whole
    for dual in duals[1:]:
        labels = labels_of(case.visible, dual["subset"])
        if dual["status"] == "mask_covers_image":
            continue  # nothing is left to fill from: the engine does not call the inpainter
        if dual["status"] != "ok":
            raise InpainterFailed(f"scene {case.scene.key} without {', '.join(labels)}: {dual['status']}: {dual['error']}")
        hole = np.any([dilated[label] for label in labels], axis=0)
        stays = [shape for thing, shape in zip(case.scene.things, shapes, strict=True) if thing.label not in labels]
        behind = any(bool((shape & hole).any()) for shape in stays)
        rgb = images.decode(dual["image"], settings.ingest.max_pixels)
        yield Removal(case.number, labels, case.picture, case.truths[dual["subset"] - 1], rgb, np.asarray(hole), behind)


def labels_of(labels: Iterable[str], subset: int) -> tuple[str, ...]:
    """The labels of a subset; bit i is the i-th label."""
    return tuple(label for i, label in enumerate(labels) if subset >> i & 1)


def squared_error(removal: Removal, where: Mask) -> float:
    """Mean squared error against the truth, in grey levels of 255 squared; nan where there are no pixels."""
    error = np.square(removal.truth[where].astype(np.float64) - removal.dual[where])
    return float(error.mean()) if error.size else float("nan")


def psnr(error: Any) -> Any:
    """Peak signal to noise ratio of a mean squared error, in dB, at most ``TOP``."""
    return 10 * np.log10(255**2 / np.maximum(error, 255**2 / 10 ** (TOP / 10)))


def ssim(removal: Removal) -> float:
    """Structural similarity with the truth (7 x 7 windows), averaged over the hole."""
    box = lattice.crop_box(removal.hole, 0.0)  # the margin is wider than a window
    crops = lattice.cut(removal.truth, box), lattice.cut(removal.dual, box)
    _, full = structural_similarity(*crops, channel_axis=2, full=True)
    return float(full[lattice.cut(removal.hole, box)].mean())


def left_over(removal: Removal) -> float:
    """Mean absolute difference from the truth, in grey levels, where a shadow or reflection reached outside the hole; nan if none
    did.
    """
    where = removal.changed & ~removal.hole
    difference = cv2.absdiff(removal.truth, removal.dual)[where]
    return float(difference.mean()) if difference.size else float("nan")
