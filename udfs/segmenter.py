"""The two roles that look at pictures: ``Segmenter`` outlines objects, ``Detector`` looks again in recheck.

Both pick their model, the *eyes*, by ``settings.segmenter.kind``. Eyes are given decoded images and answer by
``Found`` objects; all else (failures, order, the shape of rows) is done here, once for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from jobs.settings import Settings
from udfs import clock, images
from udfs.role import Failure, Row


@dataclass(frozen=True)
class Found:
    """One object: ``box`` is (left, top, right, bottom) in pixels of the whole image; ``mask`` is a COCO RLE.

    Eyes that were asked for boxes only give no mask.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    mask: dict[str, Any] | None = None
    crowd: bool = False


class Eyes(Protocol):
    """What a model family implements. It marks its own time as ``model`` and ``encode``."""

    name: str
    version: str

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[Row]) -> list[list[Found] | Failure]:
        """Look at uint8 [H, W, 3] RGB; the rows they came from are for eyes that read more than pixels."""
        ...


class Segmenter:
    """Role: row {"image", "annotations"} -> {"instances": [...]}, best first.

    An instance is {"label", "score", "box", "mask", "area_fraction", "crowd"}: the box {"x", "y", "width",
    "height"} in pixels, the mask COCO RLE {"height", "width", "counts"}, both at the image's own size.
    """

    def __init__(self, settings: Settings, device: str) -> None:
        self._eyes = load_eyes(settings, device, masks=True)
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = self._eyes.name, self._eyes.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Segment a batch; a picture that cannot be decoded is a failure with the decoder's status."""
        return _look(self._eyes, rows, self._max_pixels, lambda _, found: {"instances": instances(found)})


class Detector:
    """Role: row {"image", "removed", "before"} -> {"residual", "intruder", "detections"}.

    ``residual`` is the highest score of a removed label still seen, ``intruder`` that of a label neither
    removed nor seen before; 0.0 where there is none, and both None where the eyes cannot see
    (``annotations``).
    """

    def __init__(self, settings: Settings, device: str) -> None:
        self._blind = settings.segmenter.kind == "annotations"
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = "annotations", "blind"
        if not self._blind:
            self._eyes = load_eyes(settings, device, masks=False)
            self.name, self.version = self._eyes.name, self._eyes.version

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Look again at a batch of dual images."""
        if self._blind:
            return [{"residual": None, "intruder": None, "detections": []} for _ in rows]
        return _look(self._eyes, rows, self._max_pixels, second_look)


def load_eyes(settings: Settings, device: str, masks: bool) -> Eyes:
    """Build the configured eyes; without ``masks`` only what finds boxes is loaded."""
    kind = settings.segmenter.kind
    if kind == "yolo":
        from udfs.segment_yolo import Yolo

        return Yolo(settings, device, settings.segmenter.weights, masks)
    if kind == "maskrcnn":
        from udfs.segment_maskrcnn import MaskRcnn

        return MaskRcnn(settings, device, masks)
    if kind == "sam":
        from udfs.segment_sam import BoxedSam

        return BoxedSam(settings, device, masks)
    if kind == "open_vocabulary":
        from udfs.segment_open_vocabulary import OpenVocabulary

        return OpenVocabulary(settings, device, masks)
    from udfs.segment_annotations import Annotations

    return Annotations()


def instances(found: Sequence[Found]) -> list[Row]:
    """Turn found objects into rows of the instances array, best first; empty masks are left out."""
    rows = []
    for thing in sorted(found, key=_rank):
        assert thing.mask is not None, "instances need masks"
        height, width = thing.mask["height"], thing.mask["width"]
        area = int(coco_mask.area({"size": [height, width], "counts": thing.mask["counts"].encode("ascii")}))
        if area:
            rows.append(
                {
                    "label": thing.label,
                    "score": thing.score,
                    "box": _box(thing),
                    "mask": thing.mask,
                    "area_fraction": area / (height * width),
                    "crowd": thing.crowd,
                }
            )
    return rows


def second_look(row: Row, found: Sequence[Found]) -> Row:
    """Compare what is seen in a dual image with what was removed and what was there before."""
    removed, known = set(row["removed"]), {*row["removed"], *row["before"]}
    return {
        "residual": max((thing.score for thing in found if thing.label in removed), default=0.0),
        "intruder": max((thing.score for thing in found if thing.label not in known), default=0.0),
        "detections": [{"label": thing.label, "score": thing.score, "box": _box(thing)} for thing in sorted(found, key=_rank)],
    }


def _look(eyes: Eyes, rows: Sequence[Row], max_pixels: int, make_row: Callable[[Row, list[Found]], Row]) -> list[Row | Failure]:
    results: list[Row | Failure] = [Failure("model_error", "the model gave no answer")] * len(rows)
    pictures, places = [], []
    with clock.spend("decode"):
        for place, row in enumerate(rows):
            try:
                pictures.append(images.decode(row["image"], max_pixels))
                places.append(place)
            except images.ImageError as problem:
                results[place] = Failure(problem.status, problem.error)
    answers = eyes.find(pictures, [rows[place] for place in places]) if pictures else []
    for place, answer in zip(places, answers, strict=True):
        results[place] = answer if isinstance(answer, Failure) else make_row(rows[place], answer)
    return results


def _rank(thing: Found) -> tuple[float, str, tuple[float, float, float, float]]:
    # Ties are broken by what is seen, so that the order does not hang on a model's internals.
    return -thing.score, thing.label, thing.box


def _box(thing: Found) -> dict[str, float]:
    left, top, right, bottom = thing.box
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}
