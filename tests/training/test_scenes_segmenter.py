"""The segmenter for scenes: its data set, its training from scratch, and its score."""

import math
import socket
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.scenes import layout
from jobs.scenes.domain import load
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene, Thing
from jobs.scenes.seeds import check
from jobs.settings import validate_settings
from training.acceptance.segmentation import GROUPS, Target, by_class, compare, look, report
from training.embedded import train_segmenter
from training.statistics import interval
from udfs import images
from udfs.codec import CodecSettings
from udfs.masks import to_rle
from udfs.role import Row
from udfs.segment.segmenter import Segmenter
from udfs.weights import locate

OBJECTS = load("objects")


def filled(ring: np.ndarray, size: int) -> np.ndarray:
    """A ring filled as ultralytics fills it."""
    drawn = np.zeros((size, size), np.uint8)
    cv2.fillPoly(drawn, [ring.astype(np.int32)], 1)
    return drawn.astype(bool)


def scene_of(*things: tuple[str, float, float]) -> Scene:
    """Things of half the picture's height, by label, x and y."""
    scene_things = tuple(Thing(label, "red", "plain", "large", x, y, 0.5, False) for label, x, y in things)
    return Scene("objects", "train", 0, 0, 128, "grass", (0.5, -0.3), 1.0, scene_things, ())


def truth(scene: Scene, score: float = 0.9) -> list[Row]:
    """What a perfect segmenter would answer."""
    pairs = zip(scene.things, masks(scene).visible, strict=True)
    return [{"label": t.label, "score": score, "mask": to_rle(v)} for t, v in pairs if t.label in OBJECTS.known]


def test_seeds_are_kept_apart() -> None:
    check(1, "training")
    check(900, "evaluation")
    for seed, use in ((900, "training"), (100, "training"), (0, "training"), (99, "evaluation"), (150, "evaluation")):
        with pytest.raises(ValueError, match=f"seeds for {use}"):
            check(seed, use)


def test_polygons_reproduce_the_masks() -> None:
    overlaps = []
    for index in range(60):
        for visible in masks(layout.sample("objects", "train", 150, index, 128)).visible:
            drawn = filled(train_segmenter.polygon(visible), 128)
            overlaps.append((drawn & visible).sum() / (drawn | visible).sum())
    assert np.mean(overlaps) > 0.99
    assert min(overlaps) > 0.85  # in pieces, tied together by a line


def test_a_hole_stays_open() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    mask[12:20, 12:20] = False
    drawn = filled(train_segmenter.polygon(mask), 40)
    assert not drawn[13:19, 14:19].any()
    assert (drawn ^ mask).sum() <= 8  # the line to the hole


def test_labels_name_what_a_detector_is_taught() -> None:
    scene = scene_of(("cup", 0.3, 0.9), ("broccoli", 0.7, 0.9))
    [line] = train_segmenter.label_lines(scene)
    assert line.split()[0] == str(OBJECTS.known.index("cup"))
    shares = np.array(line.split()[1:], float).reshape(-1, 2)
    rows, columns = np.nonzero(masks(scene).visible[0])
    assert shares.min(0) * 128 == pytest.approx([columns.min() + 0.5, rows.min() + 0.5], abs=1e-3)
    assert shares.max(0) * 128 == pytest.approx([columns.max() + 0.5, rows.max() + 0.5], abs=1e-3)


def test_which_claims_are_right() -> None:
    scene = scene_of(("cup", 0.3, 0.9), ("broccoli", 0.75, 0.9))
    [cup] = truth(scene)
    things, claims = compare(0, scene, [cup])
    assert [(t.label, t.score, t.iou) for t in things] == [("cup", 0.9, 1.0)]
    assert [c.right for c in claims] == [True]
    # The best score claims the thing; a second claim to it is wrong.
    things, claims = compare(0, scene, [cup | {"score": 0.4}, cup])
    assert things[0].score == 0.9
    assert [(c.score, c.right) for c in claims] == [(0.9, True), (0.4, False)]
    # Another label, and half a mask.
    half = masks(scene).visible[0] & (np.arange(128) < 128 * 0.2)
    for wrong in (cup | {"label": "vase"}, cup | {"mask": to_rle(half)}):
        things, claims = compare(0, scene, [wrong])
        assert (things[0].score, claims[0].right, claims[0].of_unknown) == (0.0, False, False)
    # A thing that it was not taught costs nothing if passed over, and is an error if named.
    [claim] = compare(0, scene, [cup | {"mask": to_rle(masks(scene).visible[1])}])[1]
    assert (claim.right, claim.of_unknown) == (False, True)


def test_groups_tell_what_makes_things_hard() -> None:
    apart, _ = compare(0, scene_of(("cup", 0.25, 0.9), ("bottle", 0.8, 0.9)), [])
    assert [(t.touching, t.hidden) for t in apart] == [(False, 0.0), (False, 0.0)]
    (behind, before), _ = compare(0, scene_of(("cup", 0.4, 0.9), ("bottle", 0.45, 0.95)), [])
    assert behind.touching and before.touching
    assert behind.hidden > 0.2 and before.hidden == 0
    assert GROUPS["  clear"](apart[0]) and not GROUPS["  clear"](behind)
    assert [name for name, belongs in GROUPS.items() if belongs(Target(0, "cup", 20, 0.5, True))] == ["all", "under 24 px"]


def test_intervals() -> None:
    assert interval([0.7] * 9, list(range(9))) == pytest.approx((0.7, 0.7, 0.7))
    assert all(math.isnan(number) for number in interval([], []))
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    middle, low, high = interval(values.tolist(), list(range(400)))
    assert middle == values.mean()
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    # Four things a scene that always go wrong together are a quarter of the evidence.
    clustered = interval(np.repeat(values[:100], 4).tolist(), np.repeat(np.arange(100), 4).tolist())
    assert clustered[2] - clustered[1] == pytest.approx(2 * 1.96 * 0.1 / 10, rel=0.25)


def test_a_perfect_segmenter_has_a_perfect_score() -> None:
    scenes = [layout.sample("objects", "test", 150, index, 96) for index in range(10)]

    def perfect(rows: Sequence[Row]) -> list[Any]:
        return [{"instances": truth(scenes[next(numbers)])} for _ in rows]

    numbers = iter(range(10))
    things, claims = look(perfect, scenes)
    assert len(things) == len(claims) > 10
    assert all(thing.iou == 1 for thing in things)
    lines = list(report(things, claims))
    assert "100.0% [100.0, 100.0]" in lines[0]
    assert sum("1.000 [1.000, 1.000]" in line for line in lines) >= 2
    assert len(list(by_class(OBJECTS.known, things, claims))) == len(OBJECTS.known) + 1


def test_training_starts_from_scratch_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short trainings give the same weights, which the engine loads and runs."""
    import torch
    from ultralytics.nn.tasks import load_checkpoint

    from udfs.segment.segmenter import Segmenter

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("training went to the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for part, seed in (("training", 1), ("choosing", 100)):
        train_segmenter.write_scenes("objects", seed, 64, 8, tmp_path / part, processes=1)
    states = []
    for name in ("one", "two"):
        recipe = train_segmenter.RECIPE | {"batch": 4}
        model = train_segmenter.train("objects", tmp_path, 64, 1, 1, 1, tmp_path / name, recipe)
        file = tmp_path / f"{name}.pt"
        train_segmenter.save(model, file, 64)
        states.append(load_checkpoint(str(file))[0].state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert str(tmp_path).encode() not in b"".join(zipfile.ZipFile(file).read(n) for n in zipfile.ZipFile(file).namelist())
    role = Segmenter(validate_settings({"segmenter": {"weights": str(file), "image_size": 64, "confidence": 0.001}}), "cpu")
    scene = layout.sample("objects", "train", 1, 0, 64)
    [row] = role([{"image": images.encode(render(scene), CodecSettings(format="png")), "annotations": None}])
    assert isinstance(row, dict), row
    assert {instance["label"] for instance in row["instances"]} <= set(OBJECTS.known)


def test_the_committed_weights_score_well() -> None:
    segmenter = {"weights": locate("embedded:segmenter_objects.pt"), "image_size": 128}
    role = Segmenter(validate_settings({"segmenter": segmenter}), "cpu")
    things, claims = look(role, (layout.sample("objects", "test", 150, index, 128) for index in range(40)))
    clear = [thing for thing in things if GROUPS["  clear"](thing)]
    assert len(clear) > 25
    assert np.mean([thing.score >= 0.15 for thing in clear]) > 0.95
    assert np.mean([thing.iou for thing in clear]) > 0.8
    sure = [claim.right for claim in claims if claim.score >= 0.5]
    assert np.mean(sure) > 0.85
