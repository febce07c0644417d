"""How much of an instance lies in others: by boxes, and by masks, which are decoded as far as they are needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from udfs.masks import Mask, MaskError, from_rle

if TYPE_CHECKING:
    from udfs.segment.detection import BoxRow
    from udfs.segment.segmenter import InstanceRow

# An instance goes with others if more than this share of its pixels lies in theirs: what is left of it is no object any more.
GONE = 0.5


class Overlap:
    """The overlaps between the instances of an image."""

    def __init__(self, instances: "Sequence[InstanceRow]") -> None:
        self._instances = instances
        self._masks: dict[int, Mask | None] = {}

    def goes(self, index: int, others: Sequence[int]) -> bool:
        """Whether instance ``index`` goes with the instances ``others``."""
        return self.share(index, others) > GONE

    def share(self, index: int, others: Sequence[int]) -> float:
        """The share of an instance's pixels that lie in the masks of others, 0 to 1."""
        box = self._instances[index]["box"]
        near = [other for other in others if other != index and share_inside(box, self._instances[other]["box"]) > 0]
        mask = self._mask(index) if near else None
        if mask is None or not mask.any():
            return 0.0
        shapes = [shape for shape in map(self._mask, near) if shape is not None and shape.shape == mask.shape]
        return float(np.logical_or.reduce(shapes)[mask].mean()) if shapes else 0.0

    def _mask(self, index: int) -> Mask | None:
        """An instance's mask; None where it cannot be read, which the inpainter will say of the row."""
        if index not in self._masks:
            rle = self._instances[index]["mask"]
            try:
                self._masks[index] = from_rle(rle) if rle else None
            except MaskError:
                self._masks[index] = None
        return self._masks[index]


def share_inside(inner: "BoxRow", outer: "BoxRow") -> float:
    """The share of the inner box that lies inside the outer box; 0 for a box without area."""
    width = min(inner["x"] + inner["width"], outer["x"] + outer["width"]) - max(inner["x"], outer["x"])
    height = min(inner["y"] + inner["height"], outer["y"] + outer["height"]) - max(inner["y"], outer["y"])
    area = inner["width"] * inner["height"]
    return max(0.0, width) * max(0.0, height) / area if area > 0 else 0.0
