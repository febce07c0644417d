"""The instances that came with the source, as an oracle: what a segmenter without errors would have found."""

from collections.abc import Sequence

import numpy as np

from udfs import images
from udfs.role import Failure
from udfs.segment.detection import Detection, DetectionRow


class Annotations:
    """Copies ``row["annotations"]`` with score 1.0. Crowds stay crowds.

    Failures: ``no_annotations`` where the source has none for this image; ``no_mask`` where an annotation is only a box;
    ``annotation_mismatch`` where a mask has another size than the picture, or where the EXIF orientation turned or mirrored the
    picture and the size does not tell whether the masks were drawn before or after that.
    """

    name = "annotations"
    version = "2"  # since 2: no masks on pictures that were turned at the same size

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[DetectionRow]) -> list[list[Detection] | Failure]:
        """Copy the annotations of each row. Of the picture only the size is read, of its bytes only the orientation."""
        return [_copy(picture, row) for picture, row in zip(pictures, rows, strict=True)]


def _copy(picture: np.ndarray, row: DetectionRow) -> list[Detection] | Failure:
    annotations = row.get("annotations")
    if annotations is None:
        return Failure("no_annotations", "the source brought no instances for this image")
    detections = []
    for annotation in annotations:
        mask, box = annotation["mask"], annotation["box"]
        if mask is None:
            return Failure("no_mask", f"{annotation['label']}: the source gives a box and no outline")
        if (mask["height"], mask["width"]) != picture.shape[:2]:
            sizes = f"mask {mask['width']}x{mask['height']}, image {picture.shape[1]}x{picture.shape[0]}"
            return Failure("annotation_mismatch", f"{annotation['label']}: {sizes}")
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        detections.append(Detection(annotation["label"], 1.0, corners, mask.copy(), bool(annotation["crowd"])))
    if detections and images.is_turned_at_same_size(row["image"]):
        return Failure("annotation_mismatch", "the picture was turned by its EXIF orientation, and perhaps not its masks")
    return detections
