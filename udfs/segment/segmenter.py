"""The two roles that detect objects: ``Segmenter`` outlines them, ``Detector`` looks again at dual images in recheck.

Both choose their model by ``settings.segmenter.kind``. A model gets decoded images and returns ``Detection`` objects. Everything
else (failures, order, the shape of rows) is handled here, in the same way for all models.
"""

from collections.abc import Callable, Sequence
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
from pycocotools import mask as coco_mask

from udfs import clock, images
from udfs.masks import Rle
from udfs.role import Failure
from udfs.segment.detection import BoxRow, Detection, DetectionModel, DetectionRow, PhraseRow
from udfs.settings import RoleSettings


class InstanceRow(TypedDict):
    """An outlined object. Box and mask are in pixels of the image's own size, ``area_fraction`` is the mask's share of it.

    ``phrases`` are those of the captions that refer to it; None where neither the source nor the model says so.
    """

    label: str
    score: float
    box: BoxRow
    mask: Rle
    area_fraction: float
    crowd: bool
    phrases: NotRequired[list[PhraseRow] | None]


class SegmentedRow(TypedDict):
    """What ``Segmenter`` returns of an image: its instances, best first."""

    instances: list[InstanceRow]


class PlaceRow(TypedDict):
    """Where an instance was in the original, and whether it is removed."""

    label: str
    box: BoxRow
    removed: bool


class EditedImageRow(DetectionRow):
    """What ``Detector`` reads: a dual image, the labels removed from it, and all labels detected in the original before.

    ``places`` has the instances of labels of which only some are removed; those labels are not in ``removed``.
    """

    removed: list[str]
    before: list[str]
    places: NotRequired[list[PlaceRow]]


class SeenRow(TypedDict):
    """An object that ``Detector`` sees in a dual image."""

    label: str
    score: float
    box: BoxRow


class RecheckRow(TypedDict):
    """What ``Detector`` returns of a dual image.

    ``residual`` is the highest score of a removed label that is still seen, or of another label where an instance of it was
    removed, nearer to that than to one that was not. ``intruder`` is that of a label neither removed nor seen before. They are
    0.0 where there is no such label, and None where there is no detector (``annotations``).
    """

    residual: float | None
    intruder: float | None
    detections: list[SeenRow]


_Input = TypeVar("_Input", bound=DetectionRow)
_Output = TypeVar("_Output")


class Segmenter:
    """Role: ``DetectionRow`` -> ``SegmentedRow``."""

    def __init__(self, settings: RoleSettings, device: str) -> None:
        self._model = load_model(settings, device, masks=True)
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = self._model.name, self._model.version

    def __call__(self, rows: Sequence[DetectionRow]) -> list[SegmentedRow | Failure]:
        """Segment a batch; a picture that cannot be decoded is a failure with the decoder's status."""
        return _detect(self._model, rows, self._max_pixels, lambda _, detections: SegmentedRow(instances=instances(detections)))


class Detector:
    """Role: ``EditedImageRow`` -> ``RecheckRow``."""

    def __init__(self, settings: RoleSettings, device: str) -> None:
        self._blind = settings.segmenter.kind == "annotations"
        self._max_pixels = settings.ingest.max_pixels
        self.name, self.version = "annotations", "blind"
        if not self._blind:
            self._model = load_model(settings, device, masks=False)
            self.name, self.version = self._model.name, self._model.version

    def __call__(self, rows: Sequence[EditedImageRow]) -> list[RecheckRow | Failure]:
        """Look again at a batch of dual images; one that cannot be decoded is a failure with the decoder's status."""
        if self._blind:
            return [{"residual": None, "intruder": None, "detections": []} for _ in rows]
        return _detect(self._model, rows, self._max_pixels, second_look)


def load_model(settings: RoleSettings, device: str, masks: bool) -> DetectionModel:
    """Load the configured model; without ``masks`` only its box detector."""
    kind = settings.segmenter.kind
    if kind == "yolo":
        from udfs.segment.yolo import Yolo

        return Yolo(settings, device, settings.segmenter.weights, masks)
    if kind == "maskrcnn":
        from udfs.segment.maskrcnn import MaskRcnn

        return MaskRcnn(settings, device, masks)
    if kind == "sam":
        from udfs.segment.sam import BoxedSam

        return BoxedSam(settings, device, masks)
    if kind == "open_vocabulary":
        from udfs.segment.open_vocabulary import OpenVocabulary

        return OpenVocabulary(settings, device, masks)
    if kind == "grounded":
        # A dual image has no captions of its own yet: it is asked for the labels, as the original was.
        from udfs.segment.grounded import Grounded
        from udfs.segment.open_vocabulary import OpenVocabulary

        return Grounded(settings, device, masks) if masks else OpenVocabulary(settings, device, masks)
    from udfs.segment.annotations import Annotations

    return Annotations(settings)


def instances(detections: Sequence[Detection]) -> list[InstanceRow]:
    """Turn detections into instance rows, best first; detections with an empty mask are left out."""
    rows: list[InstanceRow] = []
    for detection in sorted(detections, key=_rank):
        assert detection.mask is not None, "instances need masks"
        height, width = detection.mask["height"], detection.mask["width"]
        area = int(coco_mask.area({"size": [height, width], "counts": detection.mask["counts"].encode("ascii")}))
        if area:
            rows.append(
                {
                    "label": detection.label,
                    "score": detection.score,
                    "box": _box(detection),
                    "mask": detection.mask,
                    "area_fraction": area / (height * width),
                    "crowd": detection.crowd,
                    "phrases": None if detection.phrases is None else list(detection.phrases),
                }
            )
    return rows


def second_look(row: EditedImageRow, detections: Sequence[Detection]) -> RecheckRow:
    """Compare the detections in a dual image with the labels that were removed and those that were seen before."""
    removed, known = set(row["removed"]), {*row["removed"], *row["before"]}
    left = [
        d
        for d in detections
        if d.label in removed or _at_removed(_box(d), [p for p in row.get("places") or () if p["label"] == d.label])
    ]
    return {
        "residual": max((detection.score for detection in left), default=0.0),
        "intruder": max((detection.score for detection in detections if detection.label not in known), default=0.0),
        "detections": [
            {"label": detection.label, "score": detection.score, "box": _box(detection)}
            for detection in sorted(detections, key=_rank)
        ],
    }


def _at_removed(box: BoxRow, places: Sequence[PlaceRow]) -> bool:
    """Whether of all places the one that a box overlaps most, by intersection over union, is that of a removed instance."""
    if not places:
        return False
    corners = np.array([[row["x"], row["y"], row["width"], row["height"]] for row in (box, *(p["box"] for p in places))])
    overlaps = coco_mask.iou(corners[:1], corners[1:], [0] * len(places))[0]
    best = int(np.argmax(overlaps))
    return bool(overlaps[best] > 0 and places[best]["removed"])


def _detect(
    model: DetectionModel, rows: Sequence[_Input], max_pixels: int, make_row: Callable[[_Input, list[Detection]], _Output]
) -> list[_Output | Failure]:
    """Decode the pictures, detect in those that can be decoded, and make a row of each picture's detections."""
    results: list[_Output | Failure] = [Failure("model_error", "the model gave no answer")] * len(rows)
    pictures, decoded = [], []
    with clock.spend("decode"):
        for number, row in enumerate(rows):
            try:
                pictures.append(images.decode(row["image"], max_pixels))
                decoded.append(number)
            except images.ImageError as problem:
                results[number] = Failure(problem.status, problem.error)
    detected = model.find(pictures, [rows[number] for number in decoded]) if pictures else []
    for number, detections in zip(decoded, detected, strict=True):
        results[number] = detections if isinstance(detections, Failure) else make_row(rows[number], detections)
    return results


def _rank(detection: Detection) -> tuple[float, str, tuple[float, float, float, float]]:
    # Label and box break ties, so that the order does not depend on a model's internals.
    return -detection.score, detection.label, detection.box


def _box(detection: Detection) -> BoxRow:
    left, top, right, bottom = detection.box
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}
