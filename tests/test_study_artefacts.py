"""Whether models see that something was inpainted: the pairs, and what is measured of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from scenes import layout
from scenes.render import masks
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
    for one in pairs:
        things = [masks(scene).whole.any(axis=0) for scene in scenes if (pixels(one.untouched) == _picture(scene)).all()]
        assert len(things) == 1
        for name in INPAINTERS:
            changed = (pixels(one.placebo[name]) != pixels(one.untouched)).any(axis=2)
            assert changed.any() and not (changed & things[0]).any()
        places = [
            np.argwhere((pixels(one.placebo[name]) != pixels(one.untouched)).any(axis=2)).mean(axis=0) for name in INPAINTERS
        ]
        assert np.abs(places - places[0]).max() < 2


def _picture(scene: object) -> np.ndarray:
    from scenes.render import render

    return render(scene).astype(int)  # type: ignore[arg-type]


def test_a_removal_is_that_of_a_thing_that_captions_name(pairs: list[Edited]) -> None:
    for one in pairs:
        assert one.captions
        gone = (pixels(one.removed) != pixels(one.untouched)).any(axis=2)
        filled = (pixels(one.removal[KNOWN]) != pixels(one.untouched)).any(axis=2)
        assert (gone & filled).sum() > 0.5 * filled.sum() > 0
        # The pair of the probe differs in the hole alone: a shadow that stays, stays in both.
        inside = (pixels(one.behind) != pixels(one.untouched)).any(axis=2)
        between = (pixels(one.behind) != pixels(one.removal[KNOWN])).any(axis=2)
        hole = cv2.dilate((inside | filled).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert between.any() and not (between & ~hole).any()
    assert any((pixels(one.removed) != pixels(one.behind)).any() for one in pairs)


def test_a_probe_finds_what_edits_have_in_common_and_nothing_else() -> None:
    noise = RNG.normal(size=(3, 400, 16)).astype(np.float32)
    shift = np.zeros(16, np.float32)
    shift[3] = 2.0
    told = probed({"known": noise[0] + shift, "alike": noise[1] + shift, "other": noise[2]})
    assert told["known"].mean() > 0.95 and told["alike"].mean() > 0.95
    assert told["other"].mean() == pytest.approx(0.5, abs=0.1)
    assert probed({"nothing": noise[0]})["nothing"].mean() == pytest.approx(0.5, abs=0.1)


def test_a_ratio_of_what_is_always_a_tenth_is_a_tenth() -> None:
    below = RNG.uniform(1, 2, size=200)
    found = ratio(below / 10, below)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_start_is_asked_and_the_report_shows_it(pairs: list[Edited], tmp_path: Path) -> None:
    once = look(pairs, *load(**OBJECTS.start))
    seen = together({0: once, 3: once})
    assert seen.seeds == [0, 3] and set(seen.probe) == set(KINDS)
    assert all(0 <= seen.kept[name].value <= 1 and 0 < seen.moved[name].value < 1 for name in INPAINTERS)
    file = tmp_path / "artefacts.json"
    assert section(file) == []
    file.write_text(Artefacts(scenes=len(pairs), arms={"start": seen}).model_dump_json(), encoding="utf-8")
    ((_, (said, (head, rows))),) = section(file)
    assert "6 uniform scenes" in said and len(head) == len(rows[0]) == 3 + 4 * len(INPAINTERS)


def test_weights_are_found_by_seed_and_arms_are_not_mixed(tmp_path: Path) -> None:
    for name in ("powerset_seed10", "powerset_seed2", "powerset+negclip_seed0", "powerset_large_seed0", "clip_seed1"):
        (tmp_path / name).mkdir()
    assert weights_of(tmp_path, "powerset") == {2: tmp_path / "powerset_seed2", 10: tmp_path / "powerset_seed10"}
    with pytest.raises(FileNotFoundError, match="no weights of laclip"):
        weights_of(tmp_path, "laclip")
