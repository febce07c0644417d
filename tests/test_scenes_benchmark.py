"""Scene benchmarks: what is said is true or false by the scene, in every group."""

import json
from pathlib import Path

import pytest
from PIL import Image

from scenes import domain as domains
from scenes import layout
from scenes.benchmark import MAKERS, items, write
from scenes.captions import tell
from scenes.domain import DomainError
from scenes.holds import holds
from scenes.meaning import parse
from scenes.scene import Scene

OBJECTS = domains.load("objects")
SEED = 160
PER_GROUP = 4
TWO_KINDS = """
view: flat
colours: {red: "#cc2222", blue: "#2233cc"}
materials: {plain: plain}
sizes: {small: 0.15, medium: 0.22, large: 0.3}
grounds: {mat: {texture: sand, colours: ["#eeeeee", "#dddddd"]}}
kinds:
  brick: {typical: red, shapes: [{box: [0, 0, 1, 1]}]}
  star: {typical: blue, shapes: [{polygon: [[0.5, 0], [1, 1], [0, 0.35], [1, 0.35], [0, 1]]}]}
"""


def is_true(text: str, scene: Scene, gone: frozenset[str] = frozenset()) -> bool:
    """By the independent parser, of a scene without some labels."""
    left = [i for i, thing in enumerate(scene.things) if thing.label not in gone]
    kept = layout.Scene(
        **{
            **vars(scene),
            "things": tuple(scene.things[i] for i in left),
            "relations": tuple(
                type(r)(left.index(r.subject), r.name, left.index(r.object))
                for r in scene.relations
                if r.subject in left and r.object in left
            ),
        }
    )
    return holds(parse(text, OBJECTS), kept, OBJECTS)


@pytest.fixture(scope="module")
def made() -> list[tuple[str, object]]:
    return list(items("objects", SEED, 64, PER_GROUP, list(MAKERS)))


def test_every_group_is_filled_and_keys_are_one_of_a_kind(made: list) -> None:  # type: ignore[type-arg]
    groups = [item.group for _, item in made]
    assert {group: groups.count(group) for group in MAKERS} == dict.fromkeys(MAKERS, PER_GROUP)
    assert len({key for key, _ in made}) == len(made)


def test_right_texts_are_true_and_wrong_ones_are_not(made: list) -> None:  # type: ignore[type-arg]
    for key, item in made:
        (scene, gone), *others = item.pictures
        assert is_true(item.texts[0], scene, gone), (key, item.texts)
        if item.rule == "pairs":
            assert is_true(item.texts[1], *others[0]), (key, item.texts)
            if item.group != "existence":
                assert not is_true(item.texts[1], scene, gone) or item.group in ("level", "equal-area")
            assert not is_true(item.texts[0], *others[0]), (key, item.texts)
        else:
            assert not any(is_true(text, scene, gone) for text in item.texts[1:]), (key, item.texts)


def test_neither_length_nor_number_tells_the_right_text() -> None:
    groups = ["add-obj", "add-att", "count", "half-truth-even", "replace-obj", "swap-att"]
    asked = [item for _, item in items("objects", SEED, 64, 60, groups)]
    for group in groups:
        texts = [item.texts for item in asked if item.group == group]
        shorter = sum((len(right) < len(wrong)) + 0.5 * (len(right) == len(wrong)) for right, wrong in texts)
        assert 18 <= shorter <= 42, group  # of 60: three standard deviations about a half
    threes = [[text.lower().count("three") for text in item.texts] for item in asked if item.group == "count"]
    assert sum(right - wrong for right, wrong in threes) == 0


def test_what_is_added_is_there_in_one_text_and_not_in_the_other(made: list) -> None:  # type: ignore[type-arg]
    for _, item in made:
        if item.group in ("add-obj", "half-truth-even"):
            (scene, _), *_ = item.pictures
            named = [{one.label for one in parse(text, OBJECTS).items} for text in item.texts]
            assert named[0] - named[1] <= set(scene.labels), item.texts
            assert not named[0] <= named[1], "one would follow from the other"
            assert len((named[1] - named[0]) - set(scene.labels)) == 1, item.texts
        if item.group == "half-truth":
            assert item.rule == "order" and len(item.texts[0]) < len(item.texts[1])


def test_half_truths_are_of_both_lengths() -> None:
    sizes = [
        tuple(len(parse(text, OBJECTS).items) for text in item.texts)
        for _, item in items("objects", SEED, 64, 6, ["half-truth-even"])
    ]
    assert sizes == [(3, 2), (2, 3)] * 3


def test_a_group_that_a_domain_cannot_fill_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two.yaml").write_text(TWO_KINDS, encoding="utf-8")
    monkeypatch.setattr("scenes.benchmark.PATIENCE", 20)
    with pytest.raises(DomainError, match="no item of half-truth-even in 20 scenes"):
        list(items(str(tmp_path / "two.yaml"), SEED, 64, 1, ["half-truth-even"]))


def test_captions_are_true_of_their_scenes() -> None:
    for index in range(150):
        scene = layout.sample("objects", "test", SEED, index, 64)
        for caption in tell(OBJECTS, scene):
            assert holds(caption.meaning, scene, OBJECTS) or not caption.monotone, caption.text


def test_files_are_the_same_for_a_seed(tmp_path: Path) -> None:
    rows = [write("objects", SEED, 64, 2, ["swap-att", "wino-colour"], tmp_path / name) for name in "ab"]
    assert rows[0] == rows[1] and json.loads((tmp_path / "a" / "items.json").read_text()) == json.loads(json.dumps(rows[0]))
    for row in rows[0]:
        for name in row["images"]:
            one, same = ((tmp_path / folder / "images" / name).read_bytes() for folder in "ab")
            assert one == same
            with Image.open(tmp_path / "a" / "images" / name) as picture:
                assert picture.size == (64, 64)
