"""What needs an NVIDIA device: models there answer as on the CPU. Skipped, with the reason, where there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import YOLO_TFLITE, clip_files, picture, yolo_checkpoint

from jobs.settings import validate_settings
from udfs.embed_clip import ImageEmbedder, TextEmbedder
from udfs.segmenter import Segmenter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine"),
]


def test_yolo_gives_the_same_alone_and_in_company(tmp_path: Path) -> None:
    tree = {"weights": yolo_checkpoint(tmp_path), "confidence": 0.001, "image_size": 64, "max_instances": 5, "batch_size": 4}
    role = Segmenter(validate_settings({"segmenter": tree}), "cuda:0")
    assert next(role._eyes._model.backend.model.parameters()).is_cuda
    rows = [{"image": picture(48, 64, seed), "annotations": None} for seed in range(6)]
    assert role(rows) == [role([row])[0] for row in rows]


def test_yolo_finds_on_the_gpu_what_it_finds_on_the_cpu(tmp_path: Path) -> None:
    tree = {"weights": yolo_checkpoint(tmp_path), "confidence": 0.001, "image_size": 64, "max_instances": 5}
    settings = validate_settings({"segmenter": tree})
    row = {"image": picture(48, 64), "annotations": None}
    [here], [there] = (Segmenter(settings, device)([row]) for device in ("cpu", "cuda:0"))
    scores = [[i["score"] for i in answer["instances"]] for answer in (here, there)]
    np.testing.assert_allclose(*scores, atol=1e-3)


@pytest.mark.skipif(not YOLO_TFLITE.exists(), reason=f"no weights at {YOLO_TFLITE}")
def test_a_tflite_file_runs_on_the_cpu_when_a_gpu_is_given() -> None:
    role = Segmenter(validate_settings({"segmenter": {"weights": str(YOLO_TFLITE)}}), "cuda:0")
    assert role([{"image": picture(48, 64), "annotations": None}])


def test_clip_embeds_as_on_the_cpu(tmp_path: Path) -> None:
    config, checkpoint = clip_files(tmp_path)
    settings = validate_settings({"embedder": {"model": config, "checkpoint": checkpoint}})
    for role, row in ((ImageEmbedder, {"image": picture()}), (TextEmbedder, {"text": "a dog"})):
        here, there = (np.array(role(settings, device)([row])[0]["embedding"]) for device in ("cpu", "cuda:0"))
        assert here @ there > 0.999
