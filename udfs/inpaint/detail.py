"""Detail for a smooth fill: what is fine in the surroundings is laid over it, tile by tile.

OpenCV's methods continue colours and no texture, so that what they fill is a smear, in grass or gravel. Each tile of the fill
takes the detail (what a blur takes away) of a tile outside the hole that has about the same colours, as in texture transfer by
quilting (Efros and Freeman 2001). Only detail is taken, never colours: copies of whole patches would paint a second dog.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from udfs import masks
from udfs.images import Rgb
from udfs.inpaint.lattice import Hole

# Chosen on photographs of train2017 by tests/bench/inpaint.py.
TILE = (12, 32)  # sides of a tile in pixels, from small to large holes: a quarter of a hole's side
CANDIDATES = 1500  # places of tiles outside the hole that are looked at
BEST = 5  # one of so many tiles that fit best is taken, so that none repeats
GRID = 4  # colours are compared at so many places a side
FAR = 0.02  # how much a far tile must fit better: squared levels, for each squared pixel of distance and pixel of a tile's side
STRONGEST = 2.5  # detail stronger than this many usual deviations is an edge of something
FADE = 2.0  # pixels inside the border over which detail fades in


def add_detail(fill: Rgb, hole: Hole, share: float) -> Rgb:
    """Return the fill with this share (0 to 1) of the detail of its surroundings, uint8 [h, w, 3].

    The fill is returned as it is where the crop is too small for tiles, or has none outside the hole.
    """
    height, width = hole.mask.shape
    side = int(np.clip(np.sqrt(hole.mask.sum()) / 4, *TILE)) // 2 * 2
    if min(height, width) < 2 * side:
        return fill
    # The object is replaced first: nothing of it is left in the blur or in the detail.
    picture = np.where(hole.mask[..., None], fill, hole.rgb).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), side / 4), dtype=np.float32)
    chance = np.random.default_rng(hole.seed)
    sources = _sources(hole, side, chance)
    if len(sources) < BEST:
        return fill
    targets = _targets(hole, side)
    chosen = _matches(blurred, targets, sources, side, chance)
    detail = _laid(_without_edges(picture - blurred, hole, side), targets, chosen, side)
    out = fill + share * detail * masks.feather(hole.mask, FADE)[..., None]
    return np.asarray(np.rint(np.clip(out, 0, 255)), dtype=np.uint8)


def _without_edges(detail: NDArray[np.float32], hole: Hole, side: int) -> NDArray[np.float32]:
    """The detail, no stronger than is usual near the hole: all of gravel, and hardly anything of the frame on a plain wall."""
    near = masks.dilate(hole.mask, 2 * side) & ~masks.dilate(hole.mask, 1)
    usual = 1.4826 * np.median(np.abs(detail[near]), axis=0)  # the standard deviation, were it noise
    return np.clip(detail, -STRONGEST * usual, STRONGEST * usual)


def _sources(hole: Hole, side: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Corners [n, 2] of tiles outside the hole, drawn from all if they are more than ``CANDIDATES``."""
    height, width = hole.mask.shape
    covered = cv2.integral(masks.dilate(hole.mask, 1).astype(np.uint8))
    inside = covered[side:, side:] - covered[:-side, side:] - covered[side:, :-side] + covered[:-side, :-side]
    assert inside.shape == (height - side + 1, width - side + 1)
    corners = np.argwhere(inside == 0)
    return corners if len(corners) <= CANDIDATES else chance.choice(corners, CANDIDATES, replace=False)


def _targets(hole: Hole, side: int) -> NDArray[np.int64]:
    """Corners [n, 2] of tiles that overlap by half and cover the hole."""
    top, left, bottom, right = masks.bounds(hole.mask)
    height, width = hole.mask.shape
    ys, xs = (
        np.unique(np.clip(np.arange(start - side // 2, stop, side // 2), 0, limit - side))
        for start, stop, limit in ((top, bottom, height), (left, right, width))
    )
    return np.array([(y, x) for y in ys for x in xs if hole.mask[y : y + side, x : x + side].any()])


def _matches(
    blurred: NDArray[np.float32], targets: NDArray[np.int64], sources: NDArray[np.int64], side: int, chance: np.random.Generator
) -> NDArray[np.int64]:
    """The corner of a source for each target: of about the same colours, and not far."""
    colours = cv2.blur(blurred, (side // GRID, side // GRID))
    offsets = (np.arange(GRID) * side + side // 2) // GRID

    def at(corners: NDArray[np.int64]) -> NDArray[np.float64]:
        ys, xs = corners[:, 0, None, None] + offsets[:, None], corners[:, 1, None, None] + offsets[None, :]
        # The place beside the colours, in their unit, so that one distance has both.
        place = corners * np.sqrt(FAR / side)
        return np.concatenate([colours[ys, xs].reshape(len(corners), -1) / np.sqrt(GRID * GRID * 3), place], axis=1)

    wanted, offered = at(targets), at(sources)
    distance = (wanted**2).sum(1)[:, None] + (offered**2).sum(1)[None] - 2 * wanted @ offered.T
    best = np.argpartition(distance, BEST - 1, axis=1)[:, :BEST]
    ranked = np.take_along_axis(best, np.argsort(np.take_along_axis(distance, best, 1), axis=1, kind="stable"), 1)
    return sources[ranked[np.arange(len(targets)), chance.integers(BEST, size=len(targets))]]


def _laid(detail: NDArray[np.float32], targets: NDArray[np.int64], sources: NDArray[np.int64], side: int) -> NDArray[Any]:
    """The sources' detail at the targets [h, w, 3], blended where tiles overlap so that its contrast stays."""
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)[..., None].astype(np.float32)
    laid, weight = np.zeros_like(detail), np.zeros((*detail.shape[:2], 1), dtype=np.float32)
    for (y, x), (v, u) in zip(targets, sources, strict=True):
        laid[y : y + side, x : x + side] += window * detail[v : v + side, u : u + side]
        weight[y : y + side, x : x + side] += window**2
    return laid / np.sqrt(np.maximum(weight, 1e-3))
