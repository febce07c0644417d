"""Binary masks, bool [H, W]: COCO run-length encoding, resizing, growing, soft borders.

COCO's RLE runs down the columns and starts with a run of zeros; ``counts`` packs the runs into printable
characters, five bits each (https://github.com/cocodataset/cocoapi, common/maskApi.c, rleToString).
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are not inside


class MaskError(ValueError):
    """An RLE that does not describe a mask of its size, or a mask of another size than its image."""


def to_rle(mask: Mask) -> dict[str, Any]:
    """Encode bool [H, W] as {"height": int, "width": int, "counts": str}."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "height": int(mask.shape[0]),
        "width": int(mask.shape[1]),
        "counts": rle["counts"].decode("ascii"),
    }


def from_rle(rle: Mapping[str, Any]) -> Mask:
    """Decode what ``to_rle`` (or COCO's own tools) made.

    Decoded here and not by pycocotools, which returns uninitialised memory when the runs do not fill the
    mask.

    Raises:
        MaskError: no size, characters that are not RLE, or runs that do not add up to height x width.
    """
    height, width = int(rle["height"]), int(rle["width"])
    if height <= 0 or width <= 0:
        raise MaskError(f"a mask of {height} x {width} pixels")
    runs = _unpack(str(rle["counts"]))
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise MaskError(f"the runs of the RLE do not fill {height} x {width} pixels")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape((width, height)).T)


def resize(mask: Mask, height: int, width: int) -> Mask:
    """Scale to [height, width]: a pixel is in if half of it is covered, or, if none is, where the cover is
    densest.

    So a mask that is not empty never becomes empty, however small it is drawn.
    """
    if mask.shape == (height, width):
        return mask
    cover = mask.astype(np.float32)
    smaller = min(height, mask.shape[0]), min(width, mask.shape[1])
    # Shrinking first: the one way that looks at every pixel is for shrinking only.
    for rows, columns, how in ((*smaller, cv2.INTER_AREA), (height, width, cv2.INTER_LINEAR)):
        if cover.shape != (rows, columns):
            cover = cv2.resize(cover, (columns, rows), interpolation=how).astype(np.float32)
    top = float(cover.max())
    return np.asarray(cover >= min(0.5, top)) if top > 0 else np.zeros((height, width), dtype=np.bool_)


def dilate(mask: Mask, radius: float) -> Mask:
    """Grow by ``radius`` pixels (Euclidean)."""
    if radius <= 0 or not mask.any():
        return mask.copy()
    return np.asarray(depth(~mask) <= radius)


def feather(mask: Mask, width: float) -> NDArray[np.float32]:
    """Opacity in [0, 1], float32 [H, W]: 0 outside the mask, rising to 1 over ``width`` pixels inside it.

    The image's own border is no border of the mask: a mask that runs off the image is opaque there.
    """
    if width <= 0 or mask.all():
        return mask.astype(np.float32)
    return np.asarray(np.minimum(depth(mask) / (width + 1.0), 1.0), dtype=np.float32)


def depth(mask: Mask) -> NDArray[np.float32]:
    """Pixels from each pixel of the mask to the nearest one outside it (Euclidean, float32 [H, W]); 0 outside.

    OpenCV's roots differ in their last bits with where the arrays lie in memory, and a threshold such as 6.0 then moves whole
    pixels: a batch that is tried again would write another image. The squares are whole numbers, and NumPy's roots are exact.
    """
    roots = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.sqrt(np.rint(roots * roots)), dtype=np.float32)


def bounds(mask: Mask) -> Box:
    """Smallest box around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _unpack(counts: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        six = ord(character) - 48
        if not 0 <= six < 64 or shift > 60:
            raise MaskError("the counts of the RLE are damaged")
        value |= (six & 31) << shift
        shift += 5
        if six & 32:
            continue
        if six & 16:
            value -= 1 << shift  # the sign bit of the last five
        # Runs from the fourth on are stored as the difference to the run two before.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise MaskError("the counts of the RLE end in the middle of a number")
    return runs
