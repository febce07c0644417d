"""The role that makes placebos: an original in which as much is inpainted as a component takes, where nothing was detected.

What is said of the original stays true of it, so a model that tells duals by the inpainter's traces is found out.
"""

import math
from collections.abc import Sequence
from random import Random

import numpy as np

from jobs.settings import Settings
from udfs import clock, masks
from udfs.inpaint import Inpainter, union
from udfs.masks import Mask
from udfs.role import Failure, Row

TRIES = 200  # places that are tried


class Placebos:
    """Moves one component's shape to a free place, and inpaints that.

    Row: ``record_id`` str; ``image`` bytes; ``components``, at least one, as ``Inpainter`` takes them; ``taken`` [RLE], all that
    was detected, those of the components among them. Result: ``label`` of the component, ``mask`` (RLE at the image's own size,
    not dilated), and ``edited_fraction``, ``seam``, ``seed``, ``width``, ``height``, ``image`` as of a dual image.

    Failures: ``no_free_place`` where the shape as it is dilated meets a detected instance or leaves the image at every place
    tried, and those of the inpainter. Component, places and seed are drawn from the record and the inpainter's seed.
    """

    def __init__(self, settings: Settings, device: str, inpainter: Inpainter | None = None) -> None:
        """Load the configured inpainter on ``device``, or take one."""
        self._settings = settings
        self._inpainter = inpainter or Inpainter(settings, device)
        self.name, self.version = self._inpainter.name, self._inpainter.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Place all shapes, then inpaint them together."""
        with clock.spend("decode"):
            placed = [self._placed(row) for row in rows]
        whole = {i: one for i, one in enumerate(placed) if isinstance(one, dict)}
        done = self._inpainter([self._hole(rows[i], one) for i, one in whole.items()])
        made = dict(zip(whole, map(_finished, whole.values(), done), strict=True))
        return [made.get(i, one) for i, one in enumerate(placed)]

    def _placed(self, row: Row) -> Row | Failure:
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
        """Dilation in pixels of the image's own size; where the image is scaled down first, pixels there are that much larger."""
        side = max(shape.shape)
        return self._settings.inpainter.dilate * side + 2 * max(0.0, side / self._settings.codec.max_side - 1)

    @staticmethod
    def _hole(row: Row, one: Row) -> Row:
        # Under a key of its own: the seed is not that of the dual image.
        component = {"label": one["label"], "masks": [one["mask"]]}
        return {"record_id": f"{row['record_id']}/placebo", "image": row["image"], "components": [component]}


def moved_away(shape: Mask, taken: Mask, reach: float, random: Random) -> Mask | None:
    """The shape somewhere else: with ``reach`` pixels around it, inside the image and on nothing that is taken; None if nowhere.

    Args:
        shape: bool [H, W], not empty; taken: bool [H, W].
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


def _finished(one: Row, result: Row | Failure) -> Row | Failure:
    if isinstance(result, Failure):
        return result
    dual = result["duals"][1]
    if dual["status"] != "ok":
        return Failure(dual["status"], dual["error"])
    return one | {name: dual[name] for name in ("edited_fraction", "seam", "seed", "width", "height", "image")}
