"""Domain files: what the built-in ones offer, what a new one needs, and which mistakes are reported how."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs.scenes import layout, render
from jobs.scenes.captions import tell
from jobs.scenes.domain import DOMAINS, DomainError, load
from udfs.captions import lexicon

TOYS = """
view: flat
colours: {red: "#cc2222", blue: "#2233cc", green: "#22aa33"}
materials: {plain: plain, ribbed: knit}
sizes: {small: 0.15, medium: 0.22, large: 0.3}
grounds:
  mat: {texture: sand, colours: ["#eeeeee", "#dddddd"]}
kinds:
  brick: {typical: red, aspect: 1.5, shapes: [{box: [0, 0, 1, 1], round: 0.1}, {ring: [0.5, 0.5, 0.2, 0.3], role: dark}]}
  star: {typical: blue, shapes: [{polygon: [[0.5, 0], [1, 1], [0, 0.35], [1, 0.35], [0, 1]]}, {arc: [0.5, 0.5, 0.2, 0.2, 0, 90]}]}
  puzzle: {typical: green, unknown: true, shapes: [{curve: [[0, 0], [1, 0.1], [0.9, 1], [0.1, 0.9]]}, {line: [[0, 0], [1, 1]]}]}
"""


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    path = tmp_path / "toys.yaml"
    path.write_text(TOYS)
    return path


@pytest.mark.parametrize("name", [path.stem for path in sorted(DOMAINS.glob("*.yaml")) if not path.stem.startswith("study")])
def test_a_built_in_domain_is_rich_enough(name):
    world = load(name)
    assert len(world.kinds) >= 12
    assert len(world.colours) >= 8
    assert len(world.unknown) >= 2
    assert all(label in load(name).known for kind in world.kinds.values() if not kind.unknown for label in kind.companions)


def test_classes_of_the_main_domain_are_classes_of_the_lexicon():
    assert len(load("objects").kinds) >= 24
    assert set(load("objects").kinds) <= set(lexicon.labels()) - {"person"}


@pytest.mark.parametrize("name", ["objects", "garments"])
def test_colours_differ_clearly(name):
    import cv2

    codes = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in load(name).colours.values()], np.uint8)
    lab = cv2.cvtColor(codes[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[~np.eye(len(lab), dtype=bool)].min() > 20


def test_a_new_domain_needs_no_code(toys):
    labels = set()
    for index in range(30):
        scene = layout.sample(str(toys), "test", 0, index, 96)
        picture, masks = render.render(scene), render.masks(scene)
        assert picture.shape == (96, 96, 3)
        assert masks.visible.any(axis=(1, 2)).all()
        labels |= set(scene.labels)
    assert labels == {"brick", "star", "puzzle"}
    assert scene.key == "toys_test_s0_p96_00000029"


def test_where_the_file_lies_does_not_matter(toys, tmp_path):
    elsewhere = tmp_path / "other" / "toys.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(TOYS)
    a, b = (layout.sample(str(path), "train", 1, 2, 96) for path in (toys, elsewhere))
    assert (a.things, a.light, a.ground) == (b.things, b.light, b.ground)
    assert np.array_equal(render.render(a), render.render(b))


def _broken(tmp_path: Path, *path: object, value: object) -> str:
    tree = yaml.safe_load(TOYS)
    node = tree
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    file = tmp_path / "broken.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(DomainError) as problem:
        load.__wrapped__(str(file))
    return str(problem.value)


def test_unknown_keys_name_the_nearest_one(tmp_path):
    assert "unknown key colors; the nearest known one is colours" in _broken(tmp_path, "colors", value={})
    message = _broken(tmp_path, "kinds", "brick", "aspekt", value=2)
    assert "unknown key kinds.brick.aspekt; the nearest known one is aspect" in message
    message = _broken(tmp_path, "kinds", "brick", "shapes", 0, "elipse", value=[0.5, 0.5, 0.5, 0.5])
    assert "kinds.brick.shapes.0.elipse; the nearest known one is ellipse" in message


def test_wrong_values_say_where(tmp_path):
    assert "kinds.star.companions: there is no 'brik'; the nearest is 'brick'" in _broken(
        tmp_path, "kinds", "star", "companions", value=["brik"]
    )
    assert "exactly one of" in _broken(tmp_path, "kinds", "star", "shapes", value=[{"role": "dark"}])
    assert "colours.red" in _broken(tmp_path, "colours", "red", value="crimson")
    assert "'puce'" in _broken(tmp_path, "kinds", "brick", "typical", value="puce")
    assert "each needs a back" in _broken(tmp_path, "view", value="ground")
    assert "materials.plain" in _broken(tmp_path, "materials", "plain", value="velvet")


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(DomainError, match=r"name a built-in one \(garments, objects"):
        load("object")
    file = tmp_path / "x.yaml"
    file.write_text("a: [")
    with pytest.raises(DomainError, match="is not YAML"):
        load(str(file))
    file = tmp_path / "y.yaml"
    file.write_text("- a\n")
    with pytest.raises(DomainError, match="must hold a mapping"):
        load(str(file))


def test_a_class_that_fits_nowhere_is_an_error_not_a_hang(tmp_path):
    tree = yaml.safe_load(TOYS)
    tree["sizes"] = {"small": 0.7, "medium": 0.7, "large": 0.7}
    file = tmp_path / "huge.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match="no room for"):
        for index in range(20):
            layout.sample(str(file), "test", 0, index, 96)


def test_a_subset_mentions_nothing_outside_it(tmp_path):
    subset, full = load("study"), load("objects")
    assert set(subset.kinds) < set(full.kinds)
    assert all(kind.shapes == full.kinds[label].shapes for label, kind in subset.kinds.items())
    vocabulary = str(subset.words)
    assert not [label for label in full.kinds if label not in subset.kinds and label in vocabulary]
    assert "potted" not in str([kind.companions for kind in subset.kinds.values()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{base: nowhere}", "base: no built-in domain 'nowhere'"),
        ("{base: objects, keep: {kinds: [apple, lion]}}", "keep.kinds: the base has no 'lion'"),
        ("{base: study}", "its base is itself a subset; name that one's base, 'objects'"),
        ("{base: objects, keep: }", "keep: give a list of names"),
        ("{base: objects, keep: {kinds: apple}}", "keep: give a list of names"),
        (
            "{base: objects, keep: {kinds: [apple, cup, banana]}, habits: {labels: [0, 0, 0, 0, 1]}}",
            "no weight above 0 applies to 3 known",
        ),
        ("{base: objects, view: flat}", "unknown key view; a subset of a domain has base, keep and habits"),
        ("{base: objects, habits: {labels: [0, 0, 0, 0, 0]}}", "labels: at least one weight must be above 0"),
        ("{base: objects, keep: {shapes: []}}", "keep.shapes: no such table; choose from kinds, colours"),
        ("{base: objects, keep: {colours: [red]}}", "kinds.banana.colours: there is no 'yellow'"),
    ],
)
def test_an_invalid_subset_is_refused(tmp_path, text, message):
    path = tmp_path / "part.yaml"
    path.write_text(text)
    with pytest.raises(DomainError, match=message):
        load(str(path))


def test_a_subset_has_its_own_habits():
    assert load("study").habits.names_colour == 0.8
    assert load("objects").habits.names_colour == 0.45

    def two_colours(name: str) -> float:
        """Share of captions that name two of the study's colours."""
        scenes = [layout.sample(name, "train", 150, i, 64) for i in range(150)]
        texts = [caption.text for scene in scenes for caption in tell(load(name), scene)]
        return sum(len(set(text.lower().split()) & set(load("study").colours)) > 1 for text in texts) / len(texts)

    assert two_colours("study") > 0.3 > 0.15 > two_colours("objects")
