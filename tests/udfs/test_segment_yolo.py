"""YOLO: the embedded .pt on scenes, the int8 TFLite file on photographs, a random .pt, and what ultralytics must not do."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from jobs.settings import Settings, load_settings, validate_settings
from tests.support.originals import REPOSITORY, YOLO_TFLITE, Originals
from tests.support.tiny_models import picture, yolo_checkpoint
from udfs import images, masks
from udfs.segment.segmenter import Detector, Segmenter
from udfs.segment.yolo import draw_mask
from udfs.weights import located


def settings(weights: str, **segmenter: Any) -> Settings:
    return validate_settings({"segmenter": {"weights": weights, **segmenter}})


def look(originals: Originals) -> Settings:
    """Settings of the segmenter that was trained on such originals."""
    return located(load_settings("photos", originals.segmenter))


@pytest.fixture(scope="module")
def role(originals: Originals) -> Segmenter:
    return Segmenter(look(originals), "cpu")


def rows_of(originals: Originals, count: int) -> list[dict[str, Any]]:
    tree = json.loads(originals.captions.read_text(encoding="utf-8"))
    names = sorted(image["file_name"] for image in tree["images"])[:count]
    return [{"image": (originals.images / name).read_bytes(), "annotations": None} for name in names]


def outline(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """An annotation's outline, polygons or RLE, as RLE."""
    return segmentation if isinstance(segmentation, dict) else coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))


def test_it_finds_what_is_annotated(originals: Originals, role: Segmenter) -> None:
    """Large objects of five originals: most are found, and their masks are close to the annotations."""
    tree = json.loads(originals.instances.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in tree["categories"]}
    overlaps = []
    listed = sorted(tree["images"], key=lambda image: image["file_name"])[:5]
    for image, row in zip(listed, role(rows_of(originals, 5)), strict=True):
        size = image["height"], image["width"]
        for truth in (a for a in tree["annotations"] if a["image_id"] == image["id"] and not a["iscrowd"]):
            if truth["area"] < 0.01 * size[0] * size[1]:
                continue
            same = [i["mask"] for i in row["instances"] if i["label"] == names[truth["category_id"]]]
            rles = [{"size": [m["height"], m["width"]], "counts": m["counts"].encode()} for m in same]
            overlaps.append(coco_mask.iou(rles, [outline(truth["segmentation"], size)], [0]).max() if rles else 0.0)
    hits = [overlap for overlap in overlaps if overlap >= 0.5]
    assert len(hits) >= 0.6 * len(overlaps) >= 6
    assert np.mean(hits) > 0.72


def test_an_image_gives_the_same_alone_and_in_company(originals: Originals, role: Segmenter) -> None:
    rows = rows_of(originals, 2)
    rows.append({"image": picture(120, 90), "annotations": None})
    assert role(rows) == [role([row])[0] for row in rows] == role(rows[::-1])[::-1]


def test_the_second_look_sees_what_is_still_there(originals: Originals, role: Segmenter) -> None:
    for row in rows_of(originals, 8):
        image, [seen] = row["image"], role([row])
        label, *others = dict.fromkeys(i["label"] for i in seen["instances"])  # best first
        if others and seen["instances"][0]["score"] > 0.6:
            break
    else:
        raise AssertionError("no original has two labels, one of them seen clearly")
    kept = {"image": image, "removed": [label], "before": [label, *others]}
    clean = {"image": image, "removed": ["no such label"], "before": others}
    still, other = Detector(look(originals), "cpu")([kept, clean])
    assert still["residual"] > 0.5 and still["intruder"] < 0.5
    assert other["residual"] == 0.0 and other["intruder"] > 0.5
    assert set(still["detections"][0]) == {"label", "score", "box"}


@pytest.mark.parametrize(("height", "width"), [(8, 2000), (2000, 8), (8, 8)])
def test_strips_and_specks_are_no_problem(role: Segmenter, height: int, width: int) -> None:
    [row] = role([{"image": picture(height, width), "annotations": None}])
    assert all((i["mask"]["height"], i["mask"]["width"]) == (height, width) for i in row["instances"])


@pytest.mark.shared("models/yolov8n-seg_int8.tflite")
def test_the_interpreter_has_the_threads_it_is_given() -> None:
    chosen = settings(str(YOLO_TFLITE))
    Segmenter(chosen, "cpu")
    from ultralytics.nn.backends import litert

    assert litert.NUM_THREADS == chosen.spark.threads_per_task == 1


@pytest.mark.parametrize("size", [(480, 640), (500, 333), (97, 1201)])
def test_masks_drawn_in_their_boxes_equal_those_of_ultralytics(size: tuple[int, int]) -> None:
    from udfs.segment.yolo import _import_quietly

    _import_quietly(threads=1)
    from ultralytics.utils import ops

    smooth = torch.nn.functional.interpolate(torch.randn(1, 1, 9, 9, generator=torch.manual_seed(1)), (160, 160), mode="bicubic")
    box = [size[1] * 0.1, size[0] * 0.2, size[1] * 0.9, size[0] * 0.95]
    theirs = ops.process_mask_native(smooth[0], torch.ones(1, 1), torch.tensor([box]), size)[0].numpy().astype(bool)
    ours = draw_mask(smooth[0, 0].numpy(), box, size, (640, 640))
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.96


def test_a_checkpoint_of_the_trainer_loads_and_runs(tmp_path: Path) -> None:
    random = settings(yolo_checkpoint(tmp_path), confidence=0.001, image_size=64, max_instances=3)
    [row] = Segmenter(random, "cpu")([{"image": picture(48, 64), "annotations": None}])
    assert {i["label"] for i in row["instances"]} <= {"person", "dog", "cat", "banana"}
    assert len(row["instances"]) <= 3


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return Path.touch, (tmp_path / "ran",)

    torch.save({"model": Touch()}, tmp_path / "evil.pt")
    with pytest.raises(TypeError):
        Segmenter(settings(str(tmp_path / "evil.pt")), "cpu")
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_no_file_are_not_looked_for_elsewhere() -> None:
    with pytest.raises(FileNotFoundError, match="local file"):
        Segmenter(settings("yolov8n-seg.pt"), "cpu")


def test_ultralytics_calls_nobody_installs_nothing_and_leaves_nothing(originals: Originals, tmp_path: Path) -> None:
    """In a fresh process, with every way out of it watched by an audit hook."""
    program = f"""
import sys
calls = []
watched = ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen")
sys.addaudithook(lambda event, args: calls.append((event, args[:2])) if event in watched else None)
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.support.tiny_models import picture
from udfs.segment.segmenter import Segmenter
from jobs.settings import load_settings
from udfs.weights import located
Segmenter(located(load_settings("photos", {originals.segmenter!r})), "cpu")([{{"image": picture(64, 64), "annotations": None}}])
from ultralytics.utils import ONLINE, SETTINGS
calls = [c for c in calls if c[0] != "subprocess.Popen" or "pip" in str(c) or "uv" in str(c)]
assert not ONLINE and not SETTINGS["sync"] and not calls, (ONLINE, calls)
"""
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    for name in [name for name in home if name.startswith("YOLO_")]:
        del home[name]
    done = subprocess.run([sys.executable, "-c", program], env=home, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    assert not [path for path in tmp_path.rglob("*") if "ltralytics" in path.name]


def test_exif_rotation_turns_masks_with_the_picture(tmp_path: Path) -> None:
    random = settings(yolo_checkpoint(tmp_path), confidence=0.001, image_size=64, max_instances=3)
    upright = Image.fromarray(images.decode(picture(48, 64)))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save(tmp_path / "turned.jpg", exif=exif)
    [row] = Segmenter(random, "cpu")([{"image": (tmp_path / "turned.jpg").read_bytes(), "annotations": None}])
    for instance in row["instances"]:
        assert masks.from_rle(instance["mask"]).shape == (64, 48)
