"""The lattice of a family: which subsets of its components need a model call, and how the others are composed.

Components whose dilated masks do not touch can be filled separately and pasted together. Components that touch, directly or
through others, form a *group*: groups are the connected components of the touching graph. A subset within one group needs its own
call. Any other subset is pasted from the calls of its parts, one part for each group. Groups of sizes k1, k2, ... need
(2^k1 - 1) + (2^k2 - 1) + ... calls; the naive way, which is the lattice with a single group, needs 2^n - 1. Removal is nested by
construction: what is pasted for one group never depends on what is removed from another.

Subsets and groups are bit masks; bit i stands for component i.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from udfs.images import Rgb
from udfs.masks import Box, Mask, bounds

MIN_MARGIN = 16  # pixels of known surroundings around a hole, however small the configured context


@dataclass(frozen=True)
class Hole:
    """What a model is asked to fill: a crop, uint8 [h, w, 3], and the mask of its hole, bool [h, w]. Some pixels are known."""

    rgb: Rgb
    mask: Mask
    seed: int


@dataclass(frozen=True)
class Patch:
    """Pixels to paste at ``box``: ``rgb`` uint8 [h, w, 3] with ``alpha`` float32 [h, w]; a pixel of alpha 0 is not touched."""

    box: Box
    rgb: Rgb
    alpha: NDArray[np.float32]


def groups(masks: Sequence[Mask]) -> tuple[int, ...]:
    """Partition components into groups whose masks touch: overlap, or meet at a side or a corner. Lowest component first."""
    grown = [cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_) for mask in masks]
    partition: list[int] = []
    for i, mask in enumerate(masks):
        touched = [group for group in partition if any(group >> j & 1 and (grown[j] & mask).any() for j in range(i))]
        partition = [group for group in partition if group not in touched] + [sum(touched) | 1 << i]
    return tuple(sorted(partition, key=lambda group: group & -group))


def parts(subset: int, grouping: Iterable[int]) -> tuple[int, ...]:
    """Cut a subset into its non-empty parts, one for each group. A subset with a single part has a call of its own."""
    return tuple(subset & group for group in grouping if subset & group)


def own_calls(n: int, grouping: Sequence[int]) -> tuple[int, ...]:
    """The subsets of n components that need a model call, ascending."""
    return tuple(subset for subset in range(1, 1 << n) if len(parts(subset, grouping)) == 1)


def crop_box(mask: Mask, context: float) -> Box:
    """The box of a mask with a margin of ``context`` times its longer side, made square as far as the image allows.

    Square, because diffusion models take square crops and a stretched crop changes what they see.
    """
    top, left, bottom, right = bounds(mask)
    margin = max(MIN_MARGIN, round(context * max(bottom - top, right - left)))
    side = max(bottom - top, right - left) + 2 * margin
    rows = _span(top, bottom, side, mask.shape[0])
    columns = _span(left, right, side, mask.shape[1])
    return rows[0], columns[0], rows[1], columns[1]


def cut(array: NDArray, box: Box) -> NDArray:
    """View of the box in [H, W] or [H, W, 3]."""
    top, left, bottom, right = box
    return array[top:bottom, left:right]


def paste(base: Rgb, patches: Iterable[Patch]) -> Rgb:
    """Return a copy of ``base`` with the patches blended in; where alpha is 0 the pixels are exactly those of ``base``."""
    out = base.copy()
    for patch in patches:
        under = cut(out, patch.box)
        alpha = patch.alpha[..., None]
        mixed = np.rint(under * (1.0 - alpha) + patch.rgb * alpha).astype(np.uint8)
        np.copyto(under, mixed, where=alpha > 0)
    return out


def _span(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """An interval of ``length`` around [low, high), moved, then cut, to lie in [0, limit)."""
    start = (low + high - length) // 2
    start = max(0, min(start, limit - length))
    return start, min(limit, start + length)
