"""How a class looks: its primitives painted once at high resolution, and scaled to the size in the picture.

A painted class is linear in its colour, so colour, texture and light are applied after scaling. It is a *stack* of float32
channels [h, w, 8], in 0 to 1:

    BODY        share of the pixel's light that takes the thing's colour (less in dark parts; less, plus white, in light parts)
    FIXED       three channels: the light of parts with a fixed colour, and the white of light parts
    SHADE       1 where light is even, less near edges and on surfaces that face down
    SIDE        -1 to 1: from facing left to facing right
    GLOSS       where smooth things have a highlight
    ALPHA       covered share of the pixel

BODY, FIXED and ALPHA are premultiplied with coverage. OpenCV's distance transform is not used: its last bits depend on memory
alignment, and scenes must be reproducible byte for byte.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from jobs.scenes.domain import Kind, Primitive, load

BODY, FIXED, SHADE, SIDE, GLOSS, ALPHA = 0, slice(1, 4), 4, 5, 6, 7
CHANNELS = 8
SIDE_PX = 160  # longer side of a class at high resolution
FINER = 2  # supersampling factor
SUBPIXEL = 4  # fractional bits of OpenCV's coordinates
DARK, LIGHT = 0.6, 0.5  # share of the body's colour in dark and light parts
Array = npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def fitted(domain: str, label: str, width: int, height: int) -> Array:
    """The stack of a class at a size in pixels, float32 [height, width, 8]; cached and read-only."""
    halves = [cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA) for half in _painted(domain, label)]
    scaled: Array = np.concatenate(halves, axis=2)
    scaled.setflags(write=False)
    return scaled


@lru_cache(maxsize=256)
def _painted(domain: str, label: str) -> tuple[Array, Array]:
    """The stack in two halves: OpenCV's area resampling takes at most four channels."""
    stack = paint(load(domain).kinds[label])
    return np.ascontiguousarray(stack[..., :4]), np.ascontiguousarray(stack[..., 4:])


def paint(kind: Kind) -> Array:
    """The stack of a class at high resolution: ``SIDE_PX`` pixels on the longer side."""
    wide = kind.aspect >= 1
    width = SIDE_PX if wide else max(8, round(SIDE_PX * kind.aspect))
    height = max(8, round(SIDE_PX / kind.aspect)) if wide else SIDE_PX
    stack = np.zeros((height, width, CHANNELS), np.float32)
    stack[..., SHADE] = 1
    for primitive in kind.shapes:
        cover = coverage(primitive, width, height)
        layer = _lit(cover)
        if primitive.role == "hole":
            layer[...] = 0
            layer[..., SHADE] = stack[..., SHADE]
        elif primitive.colour is not None:
            layer[..., FIXED] = rgb(primitive.colour)
            layer[..., ALPHA] = 1
        else:
            layer[..., BODY] = {"body": 1, "dark": DARK, "light": LIGHT}[primitive.role]
            layer[..., FIXED] = 1 - LIGHT if primitive.role == "light" else 0
            layer[..., ALPHA] = 1
        stack += (layer - stack) * cover[..., None]
    down = np.linspace(1.06, 0.92, height, dtype=np.float32)
    stack[..., SHADE] *= down[:, None]
    return stack


def coverage(primitive: Primitive, width: int, height: int) -> Array:
    """The share of each pixel of a box that a primitive covers, float32 [height, width] in 0 to 1."""
    wide, high = width * FINER, height * FINER
    mask = np.zeros((high, wide), np.uint8)
    points, closed = _points(primitive, wide / high)
    fixed = np.round(points * (wide, high) * (1 << SUBPIXEL)).astype(np.int32)
    if closed:
        cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, SUBPIXEL)
    else:
        thick = max(1, round(primitive.width * float(np.sqrt(wide * high))))
        cv2.polylines(mask, [fixed], False, (255,), thick, cv2.LINE_AA, SUBPIXEL)
    small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def rgb(colour: str) -> Array:
    """``#rrggbb`` as float32 [3] in 0 to 1."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def _lit(cover: Array) -> Array:
    """A layer whose shade, side and gloss make a part look slightly round."""
    layer = np.zeros((*cover.shape, CHANNELS), np.float32)
    eight = np.round(cover * 255).astype(np.uint8)  # eight bits: OpenCV's blur is exact on any machine
    soft = cv2.GaussianBlur(eight, (0, 0), 5, borderType=cv2.BORDER_CONSTANT).astype(np.float32) / 255
    broad = cv2.GaussianBlur(eight, (0, 0), 14, borderType=cv2.BORDER_CONSTANT).astype(np.float32) / 255
    down, right = np.gradient(broad)
    up, side = down * 30, -right * 30
    edge = np.clip(1.9 - 2 * soft, 0, 1)
    layer[..., SHADE] = 1 - 0.28 * edge * edge + 0.3 * np.clip(up, -1, 0.6)
    layer[..., SIDE] = np.clip(side, -1, 1)
    layer[..., GLOSS] = np.clip(1 - np.abs(up - 0.42) * 4, 0, 1) * np.clip(soft * 3 - 2, 0, 1)
    return layer


def _points(primitive: Primitive, aspect: float) -> tuple[npt.NDArray[np.float64], bool]:
    """Points of a primitive in the unit box, float64 [n, 2], and whether they outline it (else they are a stroke's path)."""
    if primitive.polygon is not None:
        return np.array(primitive.polygon), True
    if primitive.curve is not None:
        return _smooth(np.array(primitive.curve)), True
    if primitive.line is not None:
        return np.array(primitive.line), False
    if primitive.arc is not None:
        x, y, rx, ry, begin, end = primitive.arc
        return _ellipse(x, y, rx, ry, begin, end), False
    if primitive.ring is not None:
        return _ellipse(*primitive.ring, 0, 360), False
    if primitive.ellipse is not None:
        x, y, rx, ry = primitive.ellipse
        return _turned(_ellipse(x, y, rx, ry, 0, 360), (x, y), primitive.turn, aspect), True
    assert primitive.box is not None, "a primitive has exactly one shape"
    left, top, right, bottom = primitive.box
    # The radius is a share of the mean side, so that corners are circular.
    ry = min(primitive.round * float(np.sqrt(aspect)), (bottom - top) / 2)
    rx = min(primitive.round / float(np.sqrt(aspect)), (right - left) / 2)
    corners = (
        (right - rx, bottom - ry, 0),
        (left + rx, bottom - ry, 90),
        (left + rx, top + ry, 180),
        (right - rx, top + ry, 270),
    )
    points = np.concatenate([_ellipse(x, y, rx, ry, begin, begin + 90) for x, y, begin in corners])
    return _turned(points, ((left + right) / 2, (top + bottom) / 2), primitive.turn, aspect), True


def _ellipse(x: float, y: float, rx: float, ry: float, begin: float, end: float) -> npt.NDArray[np.float64]:
    angle = np.radians(np.linspace(begin, end, 49))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def _smooth(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A closed Catmull-Rom spline through the points."""
    p0, p1, p2, p3 = (np.roll(corners, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    path = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return path.reshape(-1, 2)


def _turned(
    points: npt.NDArray[np.float64], middle: tuple[float, float], degrees: float, aspect: float
) -> npt.NDArray[np.float64]:
    """Points rotated clockwise as displayed, in a box that is ``aspect`` times as wide as high."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = (points - middle).T
    return np.stack([x * cos - y * sin / aspect, x * sin * aspect + y * cos], 1) + middle
