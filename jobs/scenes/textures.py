"""Materials: a pattern of a second colour over the body, and how much it shines."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scenes.domain import Texture

Array = npt.NDArray[np.float32]
GREY = np.array([0.45, 0.46, 0.5], np.float32)


@dataclass(frozen=True)
class Look:
    """How a texture is applied."""

    second: float  # the pattern's colour: 1 is white (grey on light things), less is this share of the first colour
    shine: float  # strength of highlights, 0 to 1


LOOKS: dict[Texture, Look] = {
    "plain": Look(1, 0.15),
    "stripes": Look(1, 0.1),
    "dots": Look(1, 0.1),
    "checks": Look(0.45, 0.05),
    "gloss": Look(1, 0.9),
    "grain": Look(0.55, 0.1),
    "metal": Look(1, 0.6),
    "knit": Look(0.72, 0.0),
}


def second_colour(texture: Texture, first: Array) -> Array:
    """The pattern's colour, float32 [3] in 0 to 1."""
    share = LOOKS[texture].second
    if share < 1:
        return np.asarray(first * np.float32(share), np.float32)
    return GREY if float(first.mean()) > 0.8 else np.full(3, 0.97, np.float32)


@lru_cache(maxsize=256)
def pattern(texture: Texture, width: int, height: int) -> Array | None:
    """Weight of the second colour, float32 [height, width, 1] in 0 to 1; None for plain textures. Cached and read-only."""
    side = float(np.sqrt(width * height))
    x, y = np.meshgrid((np.arange(width) + 0.5) / side, (np.arange(height) + 0.5) / side)
    sharp = side / 2  # makes the edge of a band about a pixel wide
    if texture == "stripes":
        weight = _wave(y, 4.5, sharp)
    elif texture == "dots":
        across, down = _triangle(x * 4), _triangle(y * 4)
        weight = np.clip((0.3 - np.hypot(across, down)) * sharp / 2 + 0.5, 0, 1)
    elif texture == "checks":
        weight = 0.5 * (_wave(x, 4, sharp) + _wave(y, 4, sharp))
    elif texture == "grain":
        rings = y * 7 + 0.35 * np.sin(x * 6) + 0.2 * np.sin(x * 15 + 1)
        weight = 0.75 * np.clip(1.4 * np.abs(_triangle(rings)) * 2 - 0.5, 0, 1)
    elif texture == "metal":
        weight = 0.75 * np.clip(1 - 9 * np.abs(x - 0.34 * width / side), 0, 1) + 0.4 * np.clip(
            1 - 14 * np.abs(x - 0.74 * width / side), 0, 1
        )
    elif texture == "knit":
        weight = _wave(x + 0.5 * np.abs(_triangle(y * 9)) / 6, 9, sharp / 2)
    else:
        return None
    channel: Array = weight.astype(np.float32)[..., None]
    channel.setflags(write=False)
    return channel


def _triangle(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A sawtooth from -0.5 to 0.5 in every unit."""
    return x - np.floor(x) - 0.5


def _wave(x: npt.NDArray[Any], count: float, sharp: float) -> npt.NDArray[Any]:
    """``count`` bands a unit, as wide as the gaps between them, with edges one pixel soft."""
    return np.clip((np.abs(_triangle(x * count)) - 0.25) / count * sharp * 2 + 0.5, 0, 1)
