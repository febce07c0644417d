"""SAM by box prompt: a tiny random SAM behind the real detector."""

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.settings import load_settings, validate_settings
from tests.support.originals import Originals
from tests.support.tiny_models import picture, sam_folder
from udfs import images, masks
from udfs.segment.detection import Detection
from udfs.segment.sam import Sam
from udfs.segment.segmenter import Detector, Segmenter
from udfs.weights import located


def test_every_box_gets_a_mask_of_the_pictures_size(tmp_path: Path) -> None:
    sam, rgb = Sam(sam_folder(tmp_path), "cpu"), images.decode(picture(90, 120))
    boxes = [Detection("dog", 0.9, (10.0, 10.0, 60.0, 50.0)), Detection("cat", 0.8, (60.0, 40.0, 110.0, 85.0))]
    outlined = sam.outline(rgb, boxes)
    assert [(o.label, o.score, o.box) for o in outlined] == [(b.label, b.score, b.box) for b in boxes]
    drawn = [masks.from_rle(o.mask) for o in outlined if o.mask]
    assert [d.shape for d in drawn] == [(90, 120)] * 2
    assert not np.array_equal(*drawn), "the box must matter"


def test_boxes_in_small_chunks_give_the_same_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sam, rgb = Sam(sam_folder(tmp_path), "cpu"), images.decode(picture(90, 120))
    boxes = [Detection("dog", 0.9, (10.0 * i, 5.0, 10.0 * i + 30, 60.0)) for i in range(5)]
    together = sam.outline(rgb, boxes)
    monkeypatch.setattr("udfs.segment.sam.CHUNK_PIXELS", 2 * 90 * 120)
    assert sam.outline(rgb, boxes) == together


def test_no_boxes_no_masks(tmp_path: Path) -> None:
    assert Sam(sam_folder(tmp_path), "cpu").outline(images.decode(picture()), []) == []


def test_yolo_finds_and_sam_outlines(originals: Originals, tmp_path: Path) -> None:
    boxes = located(load_settings("photos", [*originals.segmenter, "segmenter.confidence=0.4"]))
    tree = {"kind": "sam", "weights": sam_folder(tmp_path), "box_weights": boxes.segmenter.weights}
    settings = validate_settings({"segmenter": {**boxes.segmenter.model_dump(), **tree}})
    image = (originals.images / json.loads(originals.captions.read_text())["images"][0]["file_name"]).read_bytes()
    role, alone = Segmenter(settings, "cpu"), Segmenter(boxes, "cpu")
    assert role.name == f"{alone.name} + sam"
    [row], [boxed] = (each([{"image": image, "annotations": None}]) for each in (role, alone))
    labels = [i["label"] for i in row["instances"]]
    assert labels and set(labels) <= {i["label"] for i in boxed["instances"]}
    # The second look needs boxes only, and does not load SAM.
    [seen] = Detector(settings, "cpu")([{"image": image, "removed": labels[:1], "before": []}])
    assert seen["residual"] > 0.4
