"""How likely one sees that something was painted over, from the hole and what is around it."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from udfs import masks
from udfs.images import Rgb
from udfs.inpaint import lattice
from udfs.masks import Mask

RING = (0.25, 6.0)  # width of the surroundings: share of the hole's side, and at least so many pixels
MARGIN = 6  # pixels beyond the ring that the blur reads
BUSY = 95  # percentile of the slopes there: a few edges that end at the hole are enough
# Fitted by `python -m tests.bench.visible` on one half of tests/labels/photograph_reviews, and tried on the other.
INTERCEPT, PER_SHARE, PER_SLOPE = -1.96, 3.23, 3.82


def smear(rgb: Rgb, mask: Mask) -> float | None:
    """The estimated chance, 0 to 1, that a person sees a smear; None if nothing or all is in the hole.

    A large hole, or one where the edges of other things end, is closed badly by a fill that only continues colours. It was fitted
    on fills of OpenCV in photographs. It looks at the hole's surroundings and not at the fill: for a better fill it says how
    difficult the hole was, and is no chance.

    Args:
        rgb: the dual image before encoding, uint8 [h, w, 3].
        mask: what was painted over, bool [h, w].
    """
    share, slope = difficulty(rgb, mask)
    return None if slope is None else chance_seen(share, slope)


def chance_seen(share: float, slope: float) -> float:
    """The logistic that was fitted (tests/bench/visible.py), on what ``difficulty`` returns."""
    return float(1 / (1 + np.exp(-(INTERCEPT + PER_SHARE * np.log(share) + PER_SLOPE * np.log(slope)))))


def difficulty(rgb: Rgb, mask: Mask) -> tuple[float, float | None]:
    """The hole's share of the image, and how steep it is around it: levels of CIELAB a pixel, and 0.1 more; None without both."""
    share = float(mask.mean())
    if not share:
        return share, None
    width = max(RING[0] * float(np.sqrt(mask.sum())), RING[1])
    top, left, bottom, right = masks.bounds(mask)
    edge = int(np.ceil(width)) + MARGIN
    box = max(0, top - edge), max(0, left - edge), bottom + edge, right + edge  # a slice ends at the image's border
    near = lattice.cut(mask, box)
    ring = masks.dilate(near, width) & ~masks.dilate(near, 1.0)
    if not ring.any():
        return share, None
    colours = cv2.cvtColor(np.ascontiguousarray(lattice.cut(rgb, box)), cv2.COLOR_RGB2LAB)
    blurred = cv2.GaussianBlur(colours.astype(np.float32), (0, 0), 1.0)
    across, down = slopes(blurred)
    steepness = np.sqrt(np.square(across).sum(axis=2) + np.square(down).sum(axis=2))
    return share, float(np.percentile(steepness[ring], BUSY)) + 0.1


def slopes(levels: NDArray[Any]) -> list[NDArray[np.float32]]:
    """How much levels [h, w] or [h, w, channels] change a pixel, to the right and downwards (Sobel), of the same shape."""
    return [np.asarray(cv2.Sobel(levels, cv2.CV_32F, *axis, scale=1 / 8), dtype=np.float32) for axis in ((1, 0), (0, 1))]
