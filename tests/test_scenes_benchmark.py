"""Scene benchmarks: what is said is true or false by the scene, in every group."""

import json
from pathlib import Path

import pytest
from PIL import Image

from scenes import domain as domains
from scenes import layout
from scenes.benchmark import MAKERS, items, write
from scenes.captions import tell
from scenes.holds import holds
from scenes.meaning import parse
from scenes.scene import Scene

OBJECTS = domains.load("objects")
SEED = 160
PER_GROUP = 4


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
