"""What a detection model reads and finds, and what such a model is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

import numpy as np

from udfs.captions.rows import CaptionRow, ParsedCaptionRow
from udfs.masks import Rle
from udfs.role import Failure


class BoxRow(TypedDict):
    """A box in rows and tables: its left top corner and its size, in pixels of the whole image."""

    x: float
    y: float
    width: float
    height: float


class PhraseRow(TypedDict):
    """A phrase of a caption: the characters from ``start`` up to ``end``, which is just outside."""

    caption_id: str
    start: int
    end: int


class AnnotationRow(TypedDict):
    """An instance that came with the source.

    ``mask`` is None where the source gives only a box, ``phrases`` (those that refer to it) where it does not say.
    """

    label: str
    box: BoxRow
    mask: Rle | None
    crowd: bool
    phrases: NotRequired[list[PhraseRow] | None]


class DetectionRow(TypedDict):
    """What a detection model may read of a row: ``annotations`` is None where the source has none for this image.

    ``texts`` are the captions, ``captions`` what an extractor read in them, in the same order; only ``grounded`` is given them.
    """

    image: bytes
    annotations: NotRequired[list[AnnotationRow] | None]
    texts: NotRequired[list[CaptionRow] | None]
    captions: NotRequired[list[ParsedCaptionRow] | None]


@dataclass(frozen=True)
class Detection:
    """One object: ``box`` is (left, top, right, bottom) in pixels of the whole image.

    ``mask`` is None where the model was asked only for boxes, ``phrases`` where it does not know which phrases refer to it.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    mask: Rle | None = None
    crowd: bool = False
    phrases: Sequence[PhraseRow] | None = None


class DetectionModel(Protocol):
    """What each model family implements. It times its own parts, as ``model`` and ``encode``."""

    name: str
    version: str

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Detect objects in uint8 [H, W, 3] RGB pictures. ``rows`` are their rows, for a model that reads more than pixels."""
        ...
