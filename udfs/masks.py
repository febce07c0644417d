"""Binary masks, bool [H, W]: COCO run-length encoding, resizing, growing, soft borders.

COCO's RLE runs down the columns and starts with a run of zeros; ``counts`` packs the runs into printable characters of five bits
each (https://github.com/cocodataset/cocoapi, common/maskApi.c, rleToString).
"""

from collections.abc import Mapping
from typing import Any, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from udfs.errors import DualsetError

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right are just outside


class Rle(TypedDict):
    """A mask in rows and tables: its size in pixels, and its runs as COCO packs them."""

    height: int
    width: int
    counts: str


class MaskError(DualsetError, ValueError):
    """An RLE that does not describe a mask of its size, or a mask of another size than its image."""


def to_rle(mask: Mask) -> Rle:
    """Encode bool [H, W]."""
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "height": int(mask.shape[0]),
        "width": int(mask.shape[1]),
        "counts": rle["counts"].decode("ascii"),
    }


def from_rle(rle: Mapping[str, Any]) -> Mask:
    """Decode an ``Rle``, made by ``to_rle`` or by COCO's own tools, to bool [H, W].

    Not by pycocotools: it returns uninitialised memory when the runs do not fill the mask.

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
    """Scale to [height, width]. A pixel belongs to the result if half of it is covered.

    Where no pixel is covered so far, the pixels of the densest cover belong to it: a mask that is not empty never becomes empty.
    """
    if mask.shape == (height, width):
        return mask
    cover = mask.astype(np.float32)
    smaller = min(height, mask.shape[0]), min(width, mask.shape[1])
    # Shrinking comes first: INTER_AREA is the only interpolation that reads every pixel, and it can only shrink.
    for rows, columns, interpolation in ((*smaller, cv2.INTER_AREA), (height, width, cv2.INTER_LINEAR)):
        if cover.shape != (rows, columns):
            cover = cv2.resize(cover, (columns, rows), interpolation=interpolation).astype(np.float32)
    top = float(cover.max())
    return np.asarray(cover >= min(0.5, top)) if top > 0 else np.zeros((height, width), dtype=np.bool_)


def dilate(mask: Mask, radius: float) -> Mask:
    """Grow by ``radius`` pixels (Euclidean)."""
    if radius <= 0 or not mask.any():
        return mask.copy()
    return np.asarray(depth(~mask) <= radius)


def feather(mask: Mask, width: float) -> NDArray[np.float32]:
    """Opacity in [0, 1], float32 [H, W]: 0 outside the mask, rising to 1 over ``width`` pixels inside it.

    The edge of the image is no border of the mask: a mask that runs off the image is opaque there.
    """
    if width <= 0 or mask.all():
        return mask.astype(np.float32)
    return np.asarray(np.minimum(depth(mask) / (width + 1.0), 1.0), dtype=np.float32)


def depth(mask: Mask) -> NDArray[np.float32]:
    """Distance in pixels from each pixel of the mask to the nearest pixel outside (Euclidean, float32 [H, W]); 0 outside.

    The last bits of OpenCV's roots depend on where the arrays lie in memory. At a threshold such as 6.0 that moves whole pixels,
    and a batch that is tried again would write another image. So the squares, which are whole numbers, are rounded, and their
    roots taken by NumPy, whose roots are exact.
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
            value -= 1 << shift  # bit 4 of the last character is the sign
        # From the fourth run on, the difference to the run two places before is stored.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise MaskError("the counts of the RLE end in the middle of a number")
    return runs
