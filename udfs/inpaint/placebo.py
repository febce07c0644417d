"""The role that makes placebos: originals with an inpainted region of a component's shape, at a place where nothing was detected.

The captions of the original stay true of its placebo. So placebos expose a model that recognises dual images by the traces of the
inpainter.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import TypedDict

import numpy as np

from udfs import clock, masks
from udfs.inpaint.inpainter import FamilyRow, InpaintedRow, Inpainter, MaskedComponent, union
from udfs.masks import Mask, Rle
from udfs.role import Failure
from udfs.settings import RoleSettings

TRIES = 200  # how many places are tried


class DetectedFamilyRow(FamilyRow):
    """What ``Placebos`` reads: a family of at least one component, and the masks of all detected instances, its own included."""

    taken: list[Rle]


class Placement(TypedDict):
    """Where the shape of a component was moved: its label, and the moved mask at the image's own size, not dilated."""

    label: str
    mask: Rle


class PlaceboRow(Placement):
    """What ``Placebos`` returns: the placement, and the inpainted image with the facts that a dual image has."""

    edited_fraction: float
    seam: float | None
    seed: int
    width: int
    height: int
    image: bytes | None


class Placebos:
    """Role: ``DetectedFamilyRow`` -> ``PlaceboRow``. Moves the shape of a component to a free place and inpaints it there.

    Failures: those of the inpainter, and ``no_free_place`` where at every place tried the dilated shape meets a detected instance
    or leaves the image. Component, places and seed are drawn from the record and the inpainter's seed.
    """

    def __init__(self, settings: RoleSettings, device: str, inpainter: Inpainter | None = None) -> None:
        """Load the configured inpainter on ``device``, or use ``inpainter``."""
        self._settings = settings
        self._inpainter = inpainter or Inpainter(settings, device)
        self.name, self.version = self._inpainter.name, self._inpainter.version

    def __call__(self, rows: Sequence[DetectedFamilyRow]) -> list[PlaceboRow | Failure]:
        """Place the shapes of all rows, then inpaint them together."""
        with clock.spend("decode"):
            placed = [self._place(row) for row in rows]
        placements = {i: placement for i, placement in enumerate(placed) if not isinstance(placement, Failure)}
        inpainted = self._inpainter([self._hole(rows[i], placement) for i, placement in placements.items()])
        placebos = dict(zip(placements, map(_placebo, placements.values(), inpainted), strict=True))
        return [failure if isinstance(failure, Failure) else placebos[i] for i, failure in enumerate(placed)]

    def _place(self, row: DetectedFamilyRow) -> Placement | Failure:
        random = Random(f"{self._settings.inpainter.seed} {row['record_id']} placebo")
        component = random.choice(row["components"])
        try:
            height_width = masks.from_rle(component["masks"][0]).shape
            shape, taken = union(component["masks"], height_width), union(row["taken"], height_width)
        except masks.MaskError as problem:
            return Failure("bad_mask", str(problem))
        if not shape.any():
            return Failure("empty_mask", f"{component['label']} has no pixels")
        moved = moved_away(shape, taken, self._reach(shape), random)
        if moved is None:
            return Failure("no_free_place", f"{component['label']} meets something at each of {TRIES} places, or is too large")
        return {"label": component["label"], "mask": masks.to_rle(moved)}

    def _reach(self, shape: Mask) -> float:
        """How far the dilation reaches, in pixels of the image's own size.

        Where the image is scaled down before it is inpainted, pixels there are larger, and the reach grows with their size.
        """
        side = max(shape.shape)
        return self._settings.inpainter.dilate * side + 2 * max(0.0, side / self._settings.codec.max_side - 1)

    @staticmethod
    def _hole(row: DetectedFamilyRow, placement: Placement) -> FamilyRow:
        # The key differs from the record's, so that the seed differs from that of the dual image.
        component: MaskedComponent = {"label": placement["label"], "masks": [placement["mask"]]}
        return {"record_id": f"{row['record_id']}/placebo", "image": row["image"], "components": [component]}


def moved_away(shape: Mask, taken: Mask, reach: float, random: Random) -> Mask | None:
    """The shape at a random other place, where it lies inside the image and on nothing that is taken, both with a margin.

    Args:
        shape: bool [H, W], not empty.
        taken: bool [H, W].
        reach: the margin around the shape, in pixels.
        random: source of the places that are tried.

    Returns:
        bool [H, W], or None where the shape with its margin does not fit into the image or no place of ``TRIES`` is free.
    """
    top, left, bottom, right = masks.bounds(shape)
    edge = math.ceil(reach)
    core = shape[top:bottom, left:right]
    grown = masks.dilate(np.pad(core, edge), reach)
    spare = shape.shape[0] - grown.shape[0], shape.shape[1] - grown.shape[1]
    if min(spare) < 0:
        return None
    for _ in range(TRIES):
        y, x = random.randint(0, spare[0]), random.randint(0, spare[1])
        if not (taken[y : y + grown.shape[0], x : x + grown.shape[1]] & grown).any():
            moved = np.zeros_like(shape)
            moved[y + edge : y + edge + core.shape[0], x + edge : x + edge + core.shape[1]] = core
            return moved
    return None


def _placebo(placement: Placement, result: InpaintedRow | Failure) -> PlaceboRow | Failure:
    if isinstance(result, Failure):
        return result
    dual = result["duals"][1]
    if dual["status"] != "ok":
        return Failure(dual["status"], dual["error"] or "")
    return {
        **placement,
        "edited_fraction": dual["edited_fraction"],
        "seam": dual["seam"],
        "seed": dual["seed"],
        "width": dual["width"],
        "height": dual["height"],
        "image": dual["image"],
    }
