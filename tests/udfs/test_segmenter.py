"""The two roles, apart from any model: rows, order, failures, residual and intruder."""

import numpy as np
import pytest

from jobs.settings import Settings, validate_settings
from tests.support.tiny_models import picture
from udfs import masks
from udfs.role import Failure
from udfs.segment import segmenter
from udfs.segment.detection import Detection
from udfs.segment.segmenter import Segmenter, instances, second_look

RLE = masks.to_rle(np.pad(np.ones((2, 3), bool), ((4, 42), (5, 56))))
BOX = {"x": 5.0, "y": 4.0, "width": 3.0, "height": 2.0}


class FakeModels:
    """Finds one dog in every picture, whose score is the picture's place in the batch."""

    name, version = "fake", "1"

    def find(self, pictures, rows):
        return [[Detection("dog", float(place), (5.0, 4.0, 8.0, 6.0), RLE)] for place in range(len(pictures))]


def with_kind(kind: str) -> Settings:
    return validate_settings({"segmenter": {"kind": kind}})


def test_an_instance_says_what_where_and_how_large() -> None:
    [instance] = instances([Detection("dog", 0.9, (5.0, 4.0, 8.0, 6.0), RLE)])
    assert instance == {
        "label": "dog",
        "score": 0.9,
        "box": BOX,
        "mask": RLE,
        "area_fraction": 6 / (48 * 64),
        "crowd": False,
        "phrases": None,
    }


def test_instances_come_best_first_and_empty_masks_are_left_out() -> None:
    empty = masks.to_rle(np.zeros((48, 64), bool))
    found = [Detection("cat", 0.2, (0, 0, 1, 1), RLE), Detection("dog", 0.9, (0, 0, 1, 1), RLE)]
    assert [i["label"] for i in instances([*found, Detection("bus", 1.0, (0, 0, 1, 1), empty)])] == ["dog", "cat"]


def test_broken_pictures_are_failures_between_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "load_model", lambda *_, **__: FakeModels())
    good = picture()
    results = Segmenter(with_kind("yolo"), "cpu")([{"image": b""}, {"image": good}, {"image": good[:100]}, {"image": good}])
    assert [r.status if isinstance(r, Failure) else r["instances"][0]["score"] for r in results] == [
        "empty_file",
        0.0,
        "undecodable_image",
        1.0,
    ]


def test_nothing_is_asked_of_the_model_when_no_picture_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "load_model", lambda *_, **__: FakeModels())
    monkeypatch.setattr(FakeModels, "find", None)
    [result] = Segmenter(with_kind("yolo"), "cpu")([{"image": b"text"}])
    assert isinstance(result, Failure)


def test_residual_is_what_should_be_gone_and_intruder_what_is_new() -> None:
    found = [Detection(label, score, (0, 0, 1, 1)) for label, score in [("dog", 0.3), ("dog", 0.4), ("cat", 0.6), ("bus", 0.2)]]
    row = {"removed": ["dog"], "before": ["dog", "cat"]}
    seen = second_look(row, found)
    assert (seen["residual"], seen["intruder"]) == (0.4, 0.2)
    assert [d["label"] for d in seen["detections"]] == ["cat", "dog", "dog", "bus"]


def test_a_removed_class_is_no_intruder_even_if_the_detector_had_missed_it_before() -> None:
    seen = second_look({"removed": ["dog"], "before": []}, [Detection("dog", 0.3, (0, 0, 1, 1))])
    assert (seen["residual"], seen["intruder"]) == (0.3, 0.0)


def test_nothing_seen_is_zero() -> None:
    assert second_look({"removed": ["dog"], "before": []}, []) == {"residual": 0.0, "intruder": 0.0, "detections": []}


def test_of_a_class_of_which_some_is_left_the_place_decides() -> None:
    def place(left: float, removed: bool) -> dict[str, object]:
        return {"label": "person", "box": {"x": left, "y": 0.0, "width": 10.0, "height": 20.0}, "removed": removed}

    row = {"removed": [], "before": ["person"], "places": [place(0, True), place(30, False), place(8, False)]}

    def residual(*corners: float) -> float | None:
        return second_look(row, [Detection("person", 0.7, corners)])["residual"]  # type: ignore[arg-type]

    assert residual(1, 0, 9, 18) == 0.7, "who was removed is still there"
    assert residual(29, 1, 41, 20) == 0.0, "the one who stays"
    assert residual(7, 0, 18, 20) == 0.0, "nearer to one who stays"
    assert residual(60, 0, 70, 20) == 0.0, "nobody was there"
    assert second_look(row, [Detection("person", 0.7, (60, 0, 70, 20))])["intruder"] == 0.0
