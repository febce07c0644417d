"""Scene benchmarks: in every group the right texts are true of their scenes and the wrong ones false."""

import json
from pathlib import Path

import pytest
from PIL import Image

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.benchmark import MAKERS, items, write
from jobs.scenes.captions import tell
from jobs.scenes.domain import DomainError
from jobs.scenes.meaning import parse
from jobs.scenes.scene import Scene
from jobs.scenes.truth import holds

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


def is_true(text: str, scene: Scene, removed: frozenset[str] = frozenset()) -> bool:
    """Whether a text is true of a scene without some labels, read by the independent parser."""
    remaining = [i for i, thing in enumerate(scene.things) if thing.label not in removed]
    reduced = layout.Scene(
        **{
            **vars(scene),
            "things": tuple(scene.things[i] for i in remaining),
            "relations": tuple(
                type(r)(remaining.index(r.subject), r.name, remaining.index(r.object))
                for r in scene.relations
                if r.subject in remaining and r.object in remaining
            ),
        }
    )
    return holds(parse(text, OBJECTS), reduced, OBJECTS)


@pytest.fixture(scope="module")
def keyed_items() -> list[tuple[str, object]]:
    return list(items("objects", SEED, 64, PER_GROUP, list(MAKERS)))


def test_every_group_is_filled_and_keys_are_unique(keyed_items: list) -> None:  # type: ignore[type-arg]
    groups = [item.group for _, item in keyed_items]
    assert {group: groups.count(group) for group in MAKERS} == dict.fromkeys(MAKERS, PER_GROUP)
    assert len({key for key, _ in keyed_items}) == len(keyed_items)


def test_right_texts_are_true_and_wrong_ones_are_not(keyed_items: list) -> None:  # type: ignore[type-arg]
    for key, item in keyed_items:
        (scene, removed), *other_pictures = item.pictures
        assert is_true(item.texts[0], scene, removed), (key, item.texts)
        if item.rule == "pairs":
            assert is_true(item.texts[1], *other_pictures[0]), (key, item.texts)
            if item.group != "existence":
                assert not is_true(item.texts[1], scene, removed) or item.group in ("level", "equal-area")
            assert not is_true(item.texts[0], *other_pictures[0]), (key, item.texts)
        else:
            assert not any(is_true(text, scene, removed) for text in item.texts[1:]), (key, item.texts)


def test_neither_length_nor_count_gives_the_right_text_away() -> None:
    groups = ["add-obj", "add-att", "count", "half-truth-even", "replace-obj", "swap-att"]
    sample = [item for _, item in items("objects", SEED, 64, 60, groups)]
    for group in groups:
        texts = [item.texts for item in sample if item.group == group]
        shorter = sum((len(right) < len(wrong)) + 0.5 * (len(right) == len(wrong)) for right, wrong in texts)
        assert 18 <= shorter <= 42, group  # of 60: three standard deviations about a half
    threes = [[text.lower().count("three") for text in item.texts] for item in sample if item.group == "count"]
    assert sum(right - wrong for right, wrong in threes) == 0


def test_an_added_object_is_in_the_scene_for_one_text_only(keyed_items: list) -> None:  # type: ignore[type-arg]
    for _, item in keyed_items:
        if item.group in ("add-obj", "half-truth-even"):
            (scene, _), *_ = item.pictures
            named = [{thing.label for thing in parse(text, OBJECTS).items} for text in item.texts]
            assert named[0] - named[1] <= set(scene.labels), item.texts
            assert not named[0] <= named[1], "the false text must not entail the true one"
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
    monkeypatch.setattr("jobs.scenes.benchmark.PATIENCE", 20)
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
            first, second = ((tmp_path / folder / "images" / name).read_bytes() for folder in "ab")
            assert first == second
            with Image.open(tmp_path / "a" / "images" / name) as picture:
                assert picture.size == (64, 64)
