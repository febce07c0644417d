"""Filling holes with OpenCV's classical inpainting, and detail of the surroundings: no weights, milliseconds."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from udfs.images import Rgb
from udfs.inpaint.detail import add_detail
from udfs.inpaint.lattice import Hole
from udfs.inpaint.settings import InpainterSettings

# Both were measured on photographs by tests/bench/inpaint.py: the smaller copy halves the time and costs no quality; softening
# gains half a dB or more, and takes as much time again as the smaller copy saved.
DEPTH = 16.0  # holes deeper than this, in pixels, are filled on a smaller copy
SOFTENING = (4, 8, 16, 32)  # half widths of the blurs, in pixels
METHODS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}


class OpenCv:
    """``cv2.inpaint`` by fast marching (``telea``) or fluid dynamics (``ns``)."""

    batch_size = 1

    def __init__(self, settings: InpainterSettings) -> None:
        """Nothing is loaded."""
        self.name = "opencv"
        self.version = f"{cv2.__version__} {settings.method} {settings.radius:g} {DEPTH:g} soft"
        if settings.detail:
            self.version += f" detail {settings.detail:g}"
        self._method = settings.method
        self._radius = settings.radius
        self._detail = settings.detail

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill each hole; its seed chooses among tiles of ``detail`` that fit."""
        fills = [fill(hole, self._method, self._radius) for hole in holes]
        if not self._detail:
            return fills
        return [add_detail(filled, hole, self._detail) for filled, hole in zip(fills, holes, strict=True)]


def fill(hole: Hole, method: str, radius: float, depth: float = DEPTH, soften: bool = True) -> Rgb:
    """Return the crop with its hole filled, uint8 [h, w, 3].

    A hole that is deeper than ``depth`` pixels is filled on a copy so small that it is not, and the fill is scaled up (0: never).
    ``soften`` blurs the fill, more strongly deeper inside: both methods leave creases along the middle line of a hole, which look
    like the outline of another object.
    """
    mask = hole.mask.astype(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    scale = min(1.0, depth / float(inside.max())) if depth > 0 else 1.0
    filled = _at_scale(np.ascontiguousarray(hole.rgb), mask, scale, METHODS[method], radius)
    return _soften(filled, inside) if soften else filled


def _at_scale(rgb: Rgb, mask: NDArray[np.uint8], scale: float, flag: int, radius: float) -> Rgb:
    if scale >= 1.0:
        return np.asarray(cv2.inpaint(rgb, mask, radius, flag), dtype=np.uint8)
    height, width = mask.shape
    size = max(2, round(width * scale)), max(2, round(height * scale))
    # Averages over known pixels only, so that the removed object does not bleed into its surroundings.
    known = (1 - mask).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(rgb * known[..., None], size, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)
    unknown = (weight[..., 0] < 0.25).astype(np.uint8)
    filled = cv2.inpaint(np.rint(small).astype(np.uint8), unknown, radius * max(scale, 0.2) + 1, flag)
    return np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _soften(rgb: Rgb, inside: NDArray[Any]) -> Rgb:
    """Blend in wider blurs as the distance from the hole's border grows."""
    out = rgb.astype(np.float32)
    for half in SOFTENING:
        if inside.max() < half / 2:
            break
        side = (half | 1, half | 1)
        blurred = cv2.blur(cv2.blur(rgb, side), side)  # two boxes make a triangle of half width `half`
        weight = np.clip(inside / (half / 2) - 1, 0, 1)[..., None]
        out += (blurred - out) * weight
    return np.asarray(np.rint(out), dtype=np.uint8)
