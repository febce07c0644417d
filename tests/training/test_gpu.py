"""Models give the same answers on an NVIDIA GPU as on the CPU. Skipped, with the reason, on machines without one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.settings import validate_settings
from tests.support.originals import YOLO_TFLITE
from tests.support.tiny_models import clip_files, picture, yolo_checkpoint
from udfs.embed.clip import ImageEmbedder, TextEmbedder
from udfs.segment.segmenter import Segmenter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine"),
]


def test_yolo_gives_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    tree = {"weights": yolo_checkpoint(tmp_path), "confidence": 0.001, "image_size": 64, "max_instances": 5, "batch_size": 4}
    role = Segmenter(validate_settings({"segmenter": tree}), "cuda:0")
    assert next(role._model._model.backend.model.parameters()).is_cuda
    rows = [{"image": picture(48, 64, seed), "annotations": None} for seed in range(6)]
    assert role(rows) == [role([row])[0] for row in rows]


def test_yolo_finds_on_the_gpu_what_it_finds_on_the_cpu(tmp_path: Path) -> None:
    tree = {"weights": yolo_checkpoint(tmp_path), "confidence": 0.001, "image_size": 64, "max_instances": 5}
    settings = validate_settings({"segmenter": tree})
    row = {"image": picture(48, 64), "annotations": None}
    [on_cpu], [on_gpu] = (Segmenter(settings, device)([row]) for device in ("cpu", "cuda:0"))
    scores = [[i["score"] for i in answer["instances"]] for answer in (on_cpu, on_gpu)]
    np.testing.assert_allclose(*scores, atol=1e-3)


@pytest.mark.shared("models/yolov8n-seg_int8.tflite")
def test_a_tflite_file_runs_on_the_cpu_when_a_gpu_is_given() -> None:
    role = Segmenter(validate_settings({"segmenter": {"weights": str(YOLO_TFLITE)}}), "cuda:0")
    assert role([{"image": picture(48, 64), "annotations": None}])


def test_clip_embeds_on_the_gpu_as_on_the_cpu(tmp_path: Path) -> None:
    config, checkpoint = clip_files(tmp_path)
    settings = validate_settings({"embedder": {"model": config, "checkpoint": checkpoint}})
    for role, row in ((ImageEmbedder, {"image": picture()}), (TextEmbedder, {"text": "a dog"})):
        on_cpu, on_gpu = (np.array(role(settings, device)([row])[0]["embedding"]) for device in ("cpu", "cuda:0"))
        assert on_cpu @ on_gpu > 0.999
