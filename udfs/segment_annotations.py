"""The instances that came with the source, as an oracle: what an errorless segmenter would have found."""

from collections.abc import Sequence

import numpy as np

from udfs import images
from udfs.role import Failure, Row
from udfs.segmenter import Found


class Annotations:
    """Eyes that copy ``row["annotations"]`` with score 1.0. Crowds stay crowds.

    Failures: ``no_annotations`` where the source has none for this image, ``no_mask`` where one is a box only,
    ``annotation_mismatch`` where a mask has another size than the picture, or the picture was turned or mirrored
    by its EXIF orientation and no size tells whether the masks were drawn before or after that.
    """

    name = "annotations"
    version = "2"  # 2: no masks on pictures that are turned without a trace

    def find(self, pictures: Sequence[np.ndarray], rows: Sequence[Row]) -> list[list[Found] | Failure]:
        """Copy the annotations of each row; the picture is only asked for its size, its bytes for their orientation."""
        return [_copy(picture, row) for picture, row in zip(pictures, rows, strict=True)]


def _copy(picture: np.ndarray, row: Row) -> list[Found] | Failure:
    annotations: Sequence[Row] | None = row.get("annotations")
    if annotations is None:
        return Failure("no_annotations", "the source brought no instances for this image")
    found = []
    for annotation in annotations:
        mask, box = annotation["mask"], annotation["box"]
        if mask is None:
            return Failure("no_mask", f"{annotation['label']}: the source gives a box and no outline")
        if (mask["height"], mask["width"]) != picture.shape[:2]:
            sizes = f"mask {mask['width']}x{mask['height']}, image {picture.shape[1]}x{picture.shape[0]}"
            return Failure("annotation_mismatch", f"{annotation['label']}: {sizes}")
        corners = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
        found.append(Found(annotation["label"], 1.0, corners, dict(mask), bool(annotation["crowd"])))
    if found and images.is_secretly_turned(row["image"]):
        return Failure("annotation_mismatch", "the picture was turned by its EXIF orientation, and perhaps not its masks")
    return found
