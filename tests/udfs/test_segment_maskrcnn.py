"""Mask R-CNN on random weights of full size, saved as a state dict."""

from pathlib import Path

import pytest
import torch

from jobs.settings import validate_settings
from tests.support.tiny_models import picture
from udfs import masks
from udfs.segment.segmenter import Detector, Segmenter


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("maskrcnn") / "random.pt"
    torch.save(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict(), path)
    return str(path)


def test_masks_are_of_the_pictures_size_even_if_the_model_saw_a_smaller_one(weights: str) -> None:
    tree = {"kind": "maskrcnn", "weights": weights, "confidence": 0.001, "image_size": 64, "max_instances": 4}
    settings = validate_settings({"segmenter": tree})
    row = {"image": picture(60, 96), "annotations": None}
    [answer], [again] = Segmenter(settings, "cpu")([row]), Segmenter(settings, "cpu")([row])
    assert answer == again
    assert 0 < len(answer["instances"]) <= 4
    for instance in answer["instances"]:
        assert masks.from_rle(instance["mask"]).shape == (60, 96)
        box = instance["box"]
        assert box["x"] >= 0 and box["x"] + box["width"] <= 96.001 and box["y"] + box["height"] <= 60.001
        assert instance["label"] not in ("__background__", "")
    # Without masks the boxes are the same.
    [seen] = Detector(settings, "cpu")([row | {"removed": [], "before": []}])
    assert {d["score"] for d in seen["detections"]} >= {i["score"] for i in answer["instances"]}


def test_a_missing_state_dict_is_named(tmp_path: Path) -> None:
    settings = validate_settings({"segmenter": {"kind": "maskrcnn", "weights": str(tmp_path / "none.pt")}})
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        Segmenter(settings, "cpu")
