"""Masks for boxes, without a model: GrabCut (Rother, Kolmogorov, Blake 2004) from OpenCV, or the box itself.

GrabCut models the colours inside and outside of the box as mixtures of Gaussians, and cuts where they differ. What lies outside
is background; what is similar to it inside the box becomes background, too. Measured by ``python -m tests.bench.box_masks``.
"""

import cv2
import numpy as np

from udfs import masks
from udfs.images import Rgb
from udfs.masks import Mask

Corners = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture
SIDE = 256  # pixels of the longer side that GrabCut sees: its time goes with the area, and masks are smooth
MARGIN = 0.5  # of the box's longer side: the surroundings that it learns the background from
STEPS = 5
LEAST = 0.1  # of the box: a mask that covers less is no object but a spot of its own colour
SMALLEST = 8  # pixels: boxes with a shorter side have too few pixels for a mixture


class BoxError(ValueError):
    """A box that cannot belong to its picture."""


def pixels_of(box: Corners, height: int, width: int) -> masks.Box:
    """The pixels that a box touches: (top, left, bottom, right), bottom and right just outside.

    Raises:
        BoxError: it has no inside, or leaves the picture by more than two pixels: it was drawn on a picture of another size.
    """
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise BoxError("a box without an inside")
    if min(left, top) < -2 or right > width + 2 or bottom > height + 2:
        raise BoxError(f"a box from {left:g}, {top:g} to {right:g}, {bottom:g}, image {width}x{height}")
    first = (min(max(0, int(np.floor(top))), height - 1), min(max(0, int(np.floor(left))), width - 1))
    return *first, max(first[0] + 1, min(height, int(np.ceil(bottom)))), max(first[1] + 1, min(width, int(np.ceil(right))))


def whole_box(picture: Rgb, box: Corners) -> Mask:
    """All pixels of the box as a mask [H, W].

    Raises:
        BoxError: as ``pixels_of``.
    """
    top, left, bottom, right = pixels_of(box, *picture.shape[:2])
    mask = np.zeros(picture.shape[:2], dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def ellipse(picture: Rgb, box: Corners) -> Mask:
    """The ellipse that touches the four sides of the box, as a mask [H, W].

    Raises:
        BoxError: as ``pixels_of``.
    """
    top, left, bottom, right = pixels_of(box, *picture.shape[:2])
    rows = (np.arange(picture.shape[0])[:, None] + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
    columns = (np.arange(picture.shape[1])[None] + 0.5 - (left + right) / 2) / ((right - left) / 2)
    return np.asarray(rows**2 + columns**2 <= 1)


def grab_cut(picture: Rgb, box: Corners) -> Mask:
    """What GrabCut finds in the box, and the ellipse that fills it, as a mask [H, W].

    The ellipse is for what inpainting would otherwise leave in the picture: GrabCut alone misses parts that have the colours of
    the background. Where it finds next to nothing, or cannot tell, the mask is the whole box. The same picture and box give the
    same mask, whatever was cut before.

    Raises:
        BoxError: as ``pixels_of``.
    """
    mask = whole_box(picture, box)
    top, left, bottom, right = pixels_of(box, *picture.shape[:2])
    if min(bottom - top, right - left) < SMALLEST:
        return mask
    margin = round(MARGIN * max(bottom - top, right - left))
    rows = slice(max(0, top - margin), bottom + margin)
    columns = slice(max(0, left - margin), right + margin)
    found = masks.resize(_cut(picture[rows, columns], mask[rows, columns]), *mask[rows, columns].shape)
    cut = np.zeros_like(mask)
    cut[rows, columns] = found & mask[rows, columns]
    return cut | ellipse(picture, box) if cut.sum() >= LEAST * mask.sum() else mask


def _cut(crop: Rgb, inside: Mask) -> Mask:
    """GrabCut on a crop, at most ``SIDE`` pixels long; all of ``inside``, if that leaves no background or no object."""
    scale = min(1.0, SIDE / max(inside.shape))
    size = tuple(max(1, round(side * scale)) for side in inside.shape)
    small = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA)
    prior = np.where(masks.resize(inside, *size), cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if not (prior == cv2.GC_BGD).any() or not (prior == cv2.GC_PR_FGD).any():
        return inside
    cv2.setRNGSeed(0)  # its k-means begins at random
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(bgr, prior, (0, 0, 1, 1), background, foreground, STEPS, cv2.GC_INIT_WITH_MASK)
    return np.asarray(prior == cv2.GC_PR_FGD)


OUTLINES = {"grabcut": grab_cut, "box": whole_box}
