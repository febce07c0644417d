"""Annotations as an oracle."""

import io

import numpy as np
import pytest
from PIL import Image

from jobs.settings import validate_settings
from tests.support.tiny_models import picture
from udfs import masks
from udfs.role import Failure
from udfs.segment.segmenter import Detector, Segmenter

SETTINGS = validate_settings({"segmenter": {"kind": "annotations"}})
MASK = masks.to_rle(np.pad(np.ones((2, 3), bool), ((4, 42), (5, 56))))
DOG = {"label": "dog", "box": {"x": 5.0, "y": 4.0, "width": 3.0, "height": 2.0}, "mask": MASK, "crowd": False}
SQUARE_DOG = DOG | {"mask": masks.to_rle(np.pad(np.ones((2, 3), bool), ((4, 42), (5, 40))))}


def square(orientation: int) -> bytes:
    """A JPEG of 48 x 48 pixels, which no turn changes in size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.open(io.BytesIO(picture(48, 48))).save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_annotations_pass_through_with_score_one() -> None:
    crowd = {**DOG, "label": "person", "crowd": True}
    [row] = Segmenter(SETTINGS, "cpu")([{"image": picture(48, 64), "annotations": [DOG, crowd]}])
    dog, people = row["instances"]
    assert dog == {**DOG, "score": 1.0, "area_fraction": 6 / (48 * 64), "phrases": None}
    assert people["crowd"]


def test_no_instances_is_fine_but_no_annotations_is_a_failure() -> None:
    role, image = Segmenter(SETTINGS, "cpu"), picture(48, 64)
    empty, missing = role([{"image": image, "annotations": []}, {"image": image, "annotations": None}])
    assert empty == {"instances": []}
    assert isinstance(missing, Failure) and missing.status == "no_annotations"


def test_a_mask_of_another_size_is_a_failure_of_its_row() -> None:
    [result] = Segmenter(SETTINGS, "cpu")([{"image": picture(64, 48), "annotations": [DOG]}])
    assert isinstance(result, Failure) and result.status == "annotation_mismatch"
    assert result.error == "dog: mask 64x48, image 48x64"


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_masks_on_a_picture_that_its_exif_turns_are_a_failure_of_its_row(orientation: int) -> None:
    [failed, empty, upright] = Segmenter(SETTINGS, "cpu")(
        [
            {"image": square(orientation), "annotations": [SQUARE_DOG]},
            {"image": square(orientation), "annotations": []},
            {"image": square(1), "annotations": [SQUARE_DOG]},
        ]
    )
    assert isinstance(failed, Failure) and failed.status == "annotation_mismatch"
    assert "EXIF orientation" in failed.error
    assert empty == {"instances": []}
    assert isinstance(upright, dict) and len(upright["instances"]) == 1


BOX = DOG | {"mask": None, "box": {"x": 20.0, "y": 10.0, "width": 24.0, "height": 20.0}}


@pytest.mark.parametrize("way", ["grabcut", "box"])
def test_a_box_without_an_outline_gets_a_mask_inside_it(way: str) -> None:
    settings = validate_settings({"segmenter": {"kind": "annotations", "box_masks": way}})
    [row] = Segmenter(settings, "cpu")([{"image": picture(48, 64), "annotations": [DOG, BOX, BOX | {"label": "cat"}]}])
    cat, *dogs = row["instances"]
    assert {instance["label"] for instance in dogs} == {"dog"} and MASK in [instance["mask"] for instance in dogs]
    assert cat["score"] == 1.0 and cat["box"] == BOX["box"]
    mask = masks.from_rle(cat["mask"])
    assert mask.any() and not np.delete(mask, np.s_[10:30], axis=0).any() and not np.delete(mask, np.s_[20:44], axis=1).any()
    if way == "box":
        assert mask.sum() == 24 * 20


def test_grab_cut_is_the_default() -> None:
    assert SETTINGS.segmenter.box_masks == "grabcut"


def test_without_masks_for_boxes_such_a_row_fails() -> None:
    settings = validate_settings({"segmenter": {"kind": "annotations", "box_masks": "none"}})
    [result] = Segmenter(settings, "cpu")([{"image": picture(48, 64), "annotations": [BOX]}])
    assert isinstance(result, Failure) and result.status == "no_mask"


def test_a_box_of_a_larger_picture_is_a_failure_of_its_row() -> None:
    [result] = Segmenter(SETTINGS, "cpu")([{"image": picture(24, 32), "annotations": [BOX]}])
    assert isinstance(result, Failure) and result.status == "annotation_mismatch"
    assert result.error == "dog: a box from 20, 10 to 44, 30, image 32x24"


def test_a_box_on_a_turned_picture_is_a_failure_of_its_row() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.open(io.BytesIO(picture(48, 64))).save(out, "JPEG", exif=exif)
    [result] = Segmenter(SETTINGS, "cpu")([{"image": out.getvalue(), "annotations": [BOX]}])
    assert isinstance(result, Failure) and result.status == "annotation_mismatch"
    assert "EXIF orientation" in result.error


def test_as_a_detector_it_is_blind() -> None:
    rows = [{"image": b"never decoded", "removed": ["dog"], "before": []}]
    assert Detector(SETTINGS, "cpu")(rows) == [{"residual": None, "intruder": None, "detections": []}]
