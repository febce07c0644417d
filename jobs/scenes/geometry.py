"""Where a thing is, in pixels. Layout and painting both use this module, so a picture shows exactly what was laid out."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from jobs.scenes import shapes
from jobs.scenes.domain import Kind
from jobs.scenes.scene import Thing

Mask = npt.NDArray[np.bool_]
FARTHEST = 0.8  # size of a thing at the horizon relative to the front edge; sizes differ by more, so they stay distinct


@dataclass(frozen=True)
class Box:
    """A thing's box in whole pixels; ``top`` and ``left`` may be negative, ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


def box(thing: Thing, kind: Kind, size: int) -> Box:
    """A thing's box in a picture of ``size`` pixels."""
    height = max(4, round(thing.height * size))
    width = max(3, round(thing.height * kind.aspect * size))
    left, bottom = round(thing.x * size - width / 2), round(thing.y * size)
    return Box(left, bottom - height, left + width, bottom)


def inside(place: Box, size: int) -> tuple[slice, slice, slice, slice]:
    """Rows and columns of a picture that a box covers, and the same pixels as rows and columns of the box."""
    top, left = max(0, place.top), max(0, place.left)
    bottom, right = max(top, min(size, place.bottom)), max(left, min(size, place.right))
    own = slice(top - place.top, bottom - place.top), slice(left - place.left, right - place.left)
    return slice(top, bottom), slice(left, right), *own


@lru_cache(maxsize=2048)
def silhouette(domain: str, label: str, width: int, height: int, mirrored: bool) -> Mask:
    """Pixels of its box that a thing covers by half or more, bool [height, width]; cached and read-only."""
    covered: Mask = shapes.fitted(domain, label, width, height)[..., shapes.ALPHA] >= 0.5
    covered = covered[:, ::-1] if mirrored else covered
    covered.setflags(write=False)
    return covered


def outline(domain: str, thing: Thing, place: Box) -> Mask:
    """The silhouette of a thing in its box, bool [height, width]; cached and read-only."""
    return silhouette(domain, thing.label, place.width, place.height, thing.mirrored)
