"""The instances that came with the source, as an oracle: what a segmenter without errors would have found."""

from collections.abc import Sequence

import numpy as np

from udfs import clock, images, masks
from udfs.masks import Rle
from udfs.role import Failure
from udfs.segment.boxes import OUTLINES, BoxError, Corners
from udfs.segment.detection import AnnotationRow, Detection, DetectionRow
from udfs.settings import RoleSettings


class Annotations:
    """Copies ``row["annotations"]`` with score 1.0. Crowds stay crowds. ``udfs.segment.boxes`` outlines what is only a box.

    Failures: ``no_annotations`` where the source has none for this image; ``no_mask`` where an annotation is only a box and
    ``segmenter.box_masks`` is ``none``; ``annotation_mismatch`` where a mask has another size than the picture or a box lies
    outside of it, or where the EXIF orientation turned or mirrored the picture and nothing tells whether the annotations were
    drawn before or after that.
    """

    name = "annotations"
    version = "3"  # since 3: masks for boxes; since 2: no masks on pictures that were turned at the same size

    def __init__(self, settings: RoleSettings) -> None:
        self._outline = OUTLINES.get(settings.segmenter.box_masks)

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Copy the annotations of each row. Of the picture only the size is read, unless a box needs an outline."""
        return [self._copy(picture, row) for picture, row in zip(pictures, rows, strict=True)]

    def _copy(self, picture: np.ndarray, row: DetectionRow) -> list[Detection] | Failure:
        annotations = row.get("annotations")
        if annotations is None:
            return Failure("no_annotations", "the source brought no instances for this image")
        # First what costs nothing: no outline is made for a row that fails.
        if failure := self._failure(picture, row, annotations):
            return failure
        outlines: dict[Corners, Rle] = {}  # phrases of two labels may share a box
        detections = []
        for annotation in annotations:
            box, mask = annotation["box"], annotation["mask"]
            corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
            if mask is None:
                assert self._outline is not None, "a box without an outline has failed before"
                try:
                    with clock.spend("model"):
                        mask = outlines.get(corners) or masks.to_rle(self._outline(picture, corners))
                except BoxError as problem:
                    return Failure("annotation_mismatch", f"{annotation['label']}: {problem}")
                outlines[corners] = mask
            crowd, phrases = bool(annotation["crowd"]), annotation.get("phrases")
            detections.append(Detection(annotation["label"], 1.0, corners, mask.copy(), crowd, phrases))
        return detections

    def _failure(self, picture: np.ndarray, row: DetectionRow, annotations: Sequence[AnnotationRow]) -> Failure | None:
        boxes_only = False
        for annotation in annotations:
            mask = annotation["mask"]
            if mask is None:
                boxes_only = True
                if self._outline is None:
                    return Failure("no_mask", f"{annotation['label']}: the source gives a box and no outline")
            elif (mask["height"], mask["width"]) != picture.shape[:2]:
                sizes = f"mask {mask['width']}x{mask['height']}, image {picture.shape[1]}x{picture.shape[0]}"
                return Failure("annotation_mismatch", f"{annotation['label']}: {sizes}")
        # A box does not even tell the size of the picture that it was drawn on.
        turned = images.is_turned if boxes_only else images.is_turned_at_same_size
        if len(annotations) and turned(row["image"]):
            return Failure(
                "annotation_mismatch", "the picture was turned by its EXIF orientation, and perhaps not its annotations"
            )
        return None
