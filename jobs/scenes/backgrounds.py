"""Floors and backdrops, painted by formulas over the floor's own coordinates; different in every scene.

A floor has coordinates u (right) and v (away from the viewer) in perspective; at the front edge the picture is about one unit
wide. Textures are waves in u and v, plus a fixed table of smooth noise at a random offset. Edges are one pixel soft, as a lens
would make them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from jobs.scenes.domain import Ground
from jobs.scenes.shapes import rgb

Array = npt.NDArray[np.float32]
TABLE = 256  # side of the noise table


@dataclass(frozen=True)
class Plane:
    """Pixels of a floor or a backdrop: float32 [h, w] each."""

    u: Array
    v: Array
    pixel: Array  # width of a pixel in units of u
    x: Array  # to the right, as a share of the picture's side
    y: Array  # downwards, as a share of the picture's side


def paint(ground: Ground, size: int, light: tuple[float, float], rng: np.random.Generator) -> Array:
    """An empty scene, float32 [size, size, 3] RGB in 0 to 1. Draws from ``rng`` in a fixed order."""
    canvas = np.empty((size, size, 3), np.float32)
    row = horizon(ground, size)
    floor = _plane(size, row, size, ground.horizon if ground.back else None)
    canvas[row:] = _mix(ground.colours, SURFACES[ground.texture](floor, rng))
    if ground.back is not None:
        back = _plane(size, 0, row, None)
        canvas[:row] = _mix(ground.back.colours, BACKDROPS[ground.back.texture](back, rng, ground.horizon))
        if ground.walls:  # a skirting board, and the shade in the corner
            board = max(1, round(0.018 * size))
            canvas[row - board : row] = rgb(ground.back.colours[1]) * 0.8
            canvas[row : row + 2 * board] *= np.linspace(0.8, 1, 2 * board, dtype=np.float32)[:, None, None]
    side = 1 if light[0] < 0 else -1  # the lit side is opposite to the shadows
    canvas *= _falloff(size, side)[..., None]
    return np.clip(canvas, 0, 1, out=canvas)


def horizon(ground: Ground, size: int) -> int:
    """First row of the floor."""
    return round(ground.horizon * size) if ground.back is not None else 0


@lru_cache(maxsize=32)
def _plane(size: int, begin: int, end: int, far: float | None) -> Plane:
    x, y = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(begin, end) + 0.5) / size)
    if far is None:
        u, v, pixel = x - 0.5, y, np.full_like(x, 1 / size)
    else:
        depth = 1.3 / ((y - far) / (1 - far) + 0.3)  # 1 right in front, over 4 at the horizon
        u, v, pixel = (x - 0.5) * depth, depth, depth / size
    return Plane(*(a.astype(np.float32) for a in (u, v, pixel, x, y)))


@lru_cache(maxsize=8)
def _falloff(size: int, side: int) -> Array:
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    return (1.0 + 0.09 * side * x - 0.07 * (x * x + y * y)).astype(np.float32)


@lru_cache(maxsize=1)
def _table() -> Array:
    """Smooth noise that tiles seamlessly, float32 [256, 256], about 0 to 1 with mean 0.5."""
    rng = np.random.Generator(np.random.Philox(20240229))
    total = np.zeros((TABLE, TABLE), np.float32)
    for cells, weight in ((8, 0.5), (16, 0.3), (32, 0.25), (64, 0.2)):
        coarse = rng.integers(0, 256, (cells, cells)).astype(np.uint8)
        coarse = np.pad(coarse, 2, mode="wrap")
        step = TABLE // cells
        fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * (fine[2 * step : -2 * step, 2 * step : -2 * step].astype(np.float32) / 255 - 0.5)
    return np.clip(total + 0.5, 0, 1)


def _noise(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Smooth noise at coordinates, about 0 to 1; its finest cells are 1/64 unit wide."""
    du, dv = (np.float32(n) for n in rng.integers(0, TABLE, 2))
    sampled = cv2.remap(_table(), u * TABLE + du, v * TABLE + dv, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(sampled, np.float32)


def _grit(plane: Plane, rng: np.random.Generator) -> Array:
    """Noise that is independent in each pixel, -0.5 to 0.5."""
    return rng.random(plane.u.shape, np.float32) - np.float32(0.5)


def _gaps(u: Array, count: float, width: float, pixel: Array) -> tuple[Array, Array]:
    """Gaps between ``count`` parts a unit along u: their weight (one pixel soft) and the number of each pixel's part."""
    scaled = u * count
    part = np.floor(scaled)
    near = np.minimum(scaled - part, part + 1 - scaled) / count  # distance to the nearest gap, in units of u
    return np.clip((width - near) / pixel + 0.5, 0, 1), part


def _mix(colours: tuple[str, str], parts: tuple[Array, Array]) -> Array:
    """Blend two colours, float32 [h, w, 3]. ``parts``: weight of the second colour, and brightness."""
    first, second = rgb(colours[0]), rgb(colours[1])
    weight, bright = parts
    return (first + (second - first) * weight[..., None]) * bright[..., None]


def _planks(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    gap, board = _gaps(p.u + np.float32(rng.random()), 5, 0.006, p.pixel)
    tone = rng.random(64, np.float32)[board.astype(np.int32) % 64]
    grain = _noise(p.u * 1.3, p.v * 0.12 + tone, rng)
    return np.maximum(gap, 0.7 * np.clip(grain - 0.35, 0, 1)), 0.88 + 0.22 * tone


def _tiles(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    du, dv = rng.random(2, np.float32)
    across, i = _gaps(p.u + du, 4, 0.006, p.pixel)
    away, j = _gaps(p.v + dv, 4, 0.006, p.pixel * p.v)
    tone = rng.random(64, np.float32)[(i.astype(np.int32) * 7 + j.astype(np.int32) * 13) % 64]
    odd = ((i + j) % 2).astype(np.float32)
    return np.maximum(np.maximum(across, away), 0.3 * odd), 0.95 + 0.1 * tone


def _grass(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    blades = _noise(p.u * 2.2, p.v * 0.6, rng)
    fields = _noise(p.u * 0.12, p.v * 0.12, rng)
    return np.clip(1.5 * blades - 0.35 + _grit(p, rng) * 0.5, 0, 1), 0.8 + 0.4 * fields


def _sand(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    dunes = _noise(p.u * 0.2, p.v * 0.6, rng)
    return np.clip(1.6 * dunes - 0.5, 0, 1), 1 + 0.14 * _grit(p, rng)


def _asphalt(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    worn = _noise(p.u * 0.15, p.v * 0.3, rng)
    return np.clip(worn + _grit(p, rng) * 0.6, 0, 1), 0.95 + 0.1 * worn


def _cloth(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    du, dv = rng.random(2, np.float32)
    a, _ = _gaps(p.u + du, 3, 0.04, p.pixel)
    b, _ = _gaps(p.v + dv, 3, 0.04, p.pixel * p.v)
    folds = _noise(p.u * 0.1, p.v * 0.1, rng)
    return 0.45 * (a + b), 0.85 + 0.3 * folds + 0.1 * _grit(p, rng)


def _water(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    streaks = _noise(p.u * 0.1, p.v * 1.0, rng)
    return np.clip(2.2 * streaks - 0.7, 0, 1), 0.94 + 0.12 * _noise(p.u * 0.3, p.v * 0.3, rng)


def _stone(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    cloud = _noise(p.u * 0.2, p.v * 0.2, rng)
    veins = np.clip(1 - 16 * np.abs(_noise(p.u * 0.12, p.v * 0.16, rng) - 0.5), 0, 1)
    return np.maximum(0.7 * veins, 0.6 * np.clip(cloud - 0.4, 0, 1)), 0.96 + 0.08 * cloud


def _stripes(p: Plane, rng: np.random.Generator) -> tuple[Array, Array]:
    band, _ = _gaps(p.u + np.float32(rng.random()), 4, 0.06, p.pixel)
    return band, 0.9 + 0.2 * _noise(p.u * 0.15, p.v * 0.15, rng)


def _wall(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    return p.y / far, 0.95 + 0.1 * _noise(p.x * 0.3, p.y * 0.3, rng)


def _bricks(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    rows, j = _gaps(p.y + np.float32(rng.random()), 14, 0.004, p.pixel)
    columns, i = _gaps(p.x + (j % 2) / 12, 6, 0.004, p.pixel)
    tone = rng.random(64, np.float32)[(i.astype(np.int32) * 5 + j.astype(np.int32) * 17) % 64]
    return 0.75 * np.maximum(rows, columns), 0.86 + 0.24 * tone


def _sky(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    clouds = np.clip(3 * _noise(p.x * 0.15, p.y * 0.35, rng) - 1.5, 0, 1)
    return np.maximum(0.8 * p.y / far, clouds), np.ones_like(p.x)


def _hills(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    ridge = far * (0.55 + 0.6 * (_noise(p.x * 0.12, np.zeros_like(p.x), rng) - 0.3))
    land = np.clip((p.y - ridge) / p.pixel + 0.5, 0, 1)
    return land, 1 + (0.16 * (_noise(p.x * 0.5, p.y, rng) - 0.5) - 0.04) * land


def _paper(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    band, _ = _gaps(p.x + np.float32(rng.random()), 9, 0.028, p.pixel)
    return 0.8 * band, 1.04 - 0.1 * p.y / far


def _sea(p: Plane, rng: np.random.Generator, far: float) -> tuple[Array, Array]:
    level = far * np.float32(0.55 + 0.2 * rng.random())
    water = np.clip((p.y - level) / p.pixel + 0.5, 0, 1)
    foam = np.clip((p.y - far * 0.95) / p.pixel, 0, 1) * 0.8
    return water * (0.8 + 0.5 * (_noise(p.x * 0.2, p.y * 2, rng) - 0.4)) * (1 - foam), np.ones_like(p.x)


SURFACES: dict[str, Callable[[Plane, np.random.Generator], tuple[Array, Array]]] = {
    "planks": _planks, "tiles": _tiles, "grass": _grass, "sand": _sand, "asphalt": _asphalt,
    "cloth": _cloth, "water": _water, "stone": _stone, "stripes": _stripes,
}  # fmt: skip
BACKDROPS: dict[str, Callable[[Plane, np.random.Generator, float], tuple[Array, Array]]] = {
    "wall": _wall, "bricks": _bricks, "sky": _sky, "hills": _hills, "paper": _paper, "sea": _sea,
}  # fmt: skip
