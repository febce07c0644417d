"""SAM by box prompt: a tiny random SAM behind the real detector."""

from pathlib import Path

import numpy as np
import pytest
from tiny_models import COCO_MINI, YOLO_TFLITE, picture, sam_folder

from jobs.settings import validate_settings
from udfs import images, masks
from udfs.segment_sam import Sam
from udfs.segmenter import Detector, Found, Segmenter


def test_every_box_gets_a_mask_of_the_pictures_size(tmp_path: Path) -> None:
    sam, rgb = Sam(sam_folder(tmp_path), "cpu"), images.decode(picture(90, 120))
    boxes = [Found("dog", 0.9, (10.0, 10.0, 60.0, 50.0)), Found("cat", 0.8, (60.0, 40.0, 110.0, 85.0))]
    outlined = sam.outline(rgb, boxes)
    assert [(o.label, o.score, o.box) for o in outlined] == [(b.label, b.score, b.box) for b in boxes]
    drawn = [masks.from_rle(o.mask) for o in outlined if o.mask]
    assert [d.shape for d in drawn] == [(90, 120)] * 2
    assert not np.array_equal(*drawn), "the box must matter"


def test_boxes_in_small_chunks_give_the_same_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sam, rgb = Sam(sam_folder(tmp_path), "cpu"), images.decode(picture(90, 120))
    boxes = [Found("dog", 0.9, (10.0 * i, 5.0, 10.0 * i + 30, 60.0)) for i in range(5)]
    together = sam.outline(rgb, boxes)
    monkeypatch.setattr("udfs.segment_sam.CHUNK_PIXELS", 2 * 90 * 120)
    assert sam.outline(rgb, boxes) == together


def test_no_boxes_no_masks(tmp_path: Path) -> None:
    assert Sam(sam_folder(tmp_path), "cpu").outline(images.decode(picture()), []) == []


@pytest.mark.skipif(not (YOLO_TFLITE.exists() and COCO_MINI.exists()), reason="no shared weights and photographs")
def test_yolo_finds_and_sam_outlines(tmp_path: Path) -> None:
    tree = {"kind": "sam", "weights": sam_folder(tmp_path), "box_weights": str(YOLO_TFLITE), "confidence": 0.4}
    settings = validate_settings({"segmenter": tree})
    image = (COCO_MINI / "val2017" / "000000219578.jpg").read_bytes()
    role = Segmenter(settings, "cpu")
    [row] = role([{"image": image, "annotations": None}])
    assert role.name == "yolov8n-seg_int8.tflite + sam"
    assert {i["label"] for i in row["instances"]} <= {"dog", "couch", "cat", "bed"}
    # The second look needs boxes only, and does not load SAM.
    [seen] = Detector(settings, "cpu")([{"image": image, "removed": ["dog"], "before": []}])
    assert seen["residual"] > 0.4
