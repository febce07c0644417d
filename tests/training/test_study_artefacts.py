"""Whether models see that an image was inpainted: the pairs, and what is measured on them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from jobs.scenes import layout
from jobs.scenes.render import masks
from training.study.artefacts import INPAINTERS, KINDS, KNOWN, SEED, Artefacts, Edited, edited, look, probed, section, together
from training.study.data import SIZE
from training.study.values import load, ratio, weights_of
from training.study.world import OBJECTS
from udfs import images

RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def pairs() -> list[Edited]:
    return edited(6, lambda line: None)


def pixels(data: bytes) -> np.ndarray:
    return images.decode(data, SIZE * SIZE).astype(int)


def test_a_placebo_changes_no_thing_and_every_inpainter_fills_the_same_place(pairs: list[Edited]) -> None:
    scenes = [layout.sample(OBJECTS.domain, "test", SEED, index, SIZE) for index in range(40)]
    for pair in pairs:
        things = [masks(scene).whole.any(axis=0) for scene in scenes if (pixels(pair.untouched) == _picture(scene)).all()]
        assert len(things) == 1
        for name in INPAINTERS:
            changed = (pixels(pair.placebo[name]) != pixels(pair.untouched)).any(axis=2)
            assert changed.any() and not (changed & things[0]).any()
        places = [
            np.argwhere((pixels(pair.placebo[name]) != pixels(pair.untouched)).any(axis=2)).mean(axis=0) for name in INPAINTERS
        ]
        assert np.abs(places - places[0]).max() < 2


def _picture(scene: object) -> np.ndarray:
    from jobs.scenes.render import render

    return render(scene).astype(int)  # type: ignore[arg-type]


def test_a_removal_removes_a_thing_that_captions_name(pairs: list[Edited]) -> None:
    for pair in pairs:
        assert pair.captions
        gone = (pixels(pair.removed) != pixels(pair.untouched)).any(axis=2)
        filled = (pixels(pair.removal[KNOWN]) != pixels(pair.untouched)).any(axis=2)
        assert (gone & filled).sum() > 0.5 * filled.sum() > 0
        # The pair of the probe differs only in the hole: a shadow that stays is in both.
        inside = (pixels(pair.behind) != pixels(pair.untouched)).any(axis=2)
        between = (pixels(pair.behind) != pixels(pair.removal[KNOWN])).any(axis=2)
        hole = cv2.dilate((inside | filled).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert between.any() and not (between & ~hole).any()
    assert any((pixels(pair.removed) != pixels(pair.behind)).any() for pair in pairs)


def test_a_probe_finds_what_edits_have_in_common_and_nothing_else() -> None:
    noise = RNG.normal(size=(3, 400, 16)).astype(np.float32)
    shift = np.zeros(16, np.float32)
    shift[3] = 2.0
    accuracy = probed({"known": noise[0] + shift, "alike": noise[1] + shift, "other": noise[2]})
    assert accuracy["known"].mean() > 0.95 and accuracy["alike"].mean() > 0.95
    assert accuracy["other"].mean() == pytest.approx(0.5, abs=0.1)
    assert probed({"nothing": noise[0]})["nothing"].mean() == pytest.approx(0.5, abs=0.1)


def test_the_ratio_of_constant_tenths_is_a_tenth() -> None:
    below = RNG.uniform(1, 2, size=200)
    estimate = ratio(below / 10, below)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_start_is_measured_and_shown_in_the_report(pairs: list[Edited], tmp_path: Path) -> None:
    measured = look(pairs, *load(**OBJECTS.start))
    combined = together({0: measured, 3: measured})
    assert combined.seeds == [0, 3] and set(combined.probe) == set(KINDS)
    assert all(0 <= combined.kept[name].value <= 1 and 0 < combined.moved[name].value < 1 for name in INPAINTERS)
    file = tmp_path / "artefacts.json"
    assert section(file) == []
    file.write_text(Artefacts(scenes=len(pairs), arms={"start": combined}).model_dump_json(), encoding="utf-8")
    ((_, (text, (head, rows))),) = section(file)
    assert "6 uniform scenes" in text and len(head) == len(rows[0]) == 3 + 4 * len(INPAINTERS)


def test_weights_are_found_by_seed_and_arms_are_not_mixed(tmp_path: Path) -> None:
    for name in ("powerset_seed10", "powerset_seed2", "powerset+negclip_seed0", "powerset_large_seed0", "clip_seed1"):
        (tmp_path / name).mkdir()
    assert weights_of(tmp_path, "powerset") == {2: tmp_path / "powerset_seed2", 10: tmp_path / "powerset_seed10"}
    with pytest.raises(FileNotFoundError, match="no weights of laclip"):
        weights_of(tmp_path, "laclip")
