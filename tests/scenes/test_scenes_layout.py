"""Statistics and geometry of layouts. Bounds are about four standard errors wide, and seeds are fixed."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from jobs.scenes.domain import Domain, load
from jobs.scenes.layout import MOST, draw_colour, draw_labels, sample
from jobs.scenes.render import masks
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import generator

MANY = 2000
DOMAIN_NAMES = ["objects", "garments"]


@cache
def scenes(domain: str, split: Split) -> list[Scene]:
    return [sample(domain, split, 5, index, 96) for index in range(MANY)]


def known_labels(world: Domain, scene: Scene) -> list[str]:
    return [label for label in scene.labels if label in world.known]


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_numbers_of_known_labels_follow_photographs(domain, split):
    world = load(domain)
    numbers = Counter(len(known_labels(world, scene)) for scene in scenes(domain, split))
    weights = world.habits.labels
    for number, weight in enumerate(weights):
        assert numbers[number] / MANY == pytest.approx(weight / sum(weights), abs=0.045), number
    without_known = [scene for scene in scenes(domain, split) if not known_labels(world, scene)]
    assert all(set(scene.labels) <= set(world.unknown) for scene in without_known)
    mixed = [s for s in scenes(domain, split) if known_labels(world, s) and set(s.labels) & set(world.unknown)]
    assert 0.06 < len(mixed) / MANY < 0.16


def test_counts_of_things():
    numbers = Counter(
        sum(thing.label == label for thing in scene.things) for scene in scenes("objects", "test") for label in scene.labels
    )
    assert set(numbers) == {1, 2, 3}
    assert numbers[1] > numbers[2] > numbers[3] > 0.04 * numbers.total()
    assert max(len(scene.things) for scene in scenes("objects", "test")) <= MOST
    assert any(len(scene.labels) == 1 and len(scene.things) > 1 for scene in scenes("objects", "train"))


def test_things_of_one_label_may_differ_in_colour():
    several = [
        [thing.colour for thing in scene.things if thing.label == label]
        for scene in scenes("objects", "test")
        for label in scene.labels
    ]
    several = [colours for colours in several if len(colours) > 1]
    different = np.mean([len(set(colours)) > 1 for colours in several])
    assert 0.35 < different < 0.6


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_train_has_typical_colours_and_test_does_not(domain):
    world = load(domain)
    shares = {}
    for split in ("train", "test"):
        things = [thing for scene in scenes(domain, split) for thing in scene.things]
        shares[split] = np.mean([thing.colour == world.kinds[thing.label].typical for thing in things])
    even = 1 / len(world.colours)  # every class comes in every colour
    assert shares["train"] == pytest.approx(0.4 + 0.6 * even, abs=0.04)
    assert shares["test"] == pytest.approx(even, abs=0.03)


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_train_has_companions_and_test_does_not(domain):
    world = load(domain)

    def together(split: Split) -> float:
        rng = generator(domain, split, 0, 0, "test")
        drawn = [[label for label in draw_labels(world, split, rng) if label in world.known] for _ in range(2 * MANY)]
        return float(np.mean([labels[1] in world.kinds[labels[0]].companions for labels in drawn if len(labels) > 1]))

    by_chance = np.mean([sum(c in world.known for c in world.kinds[k].companions) for k in world.known]) / (len(world.known) - 1)
    assert together("test") == pytest.approx(by_chance, abs=0.04)
    assert together("train") == pytest.approx(0.6 + 0.4 * by_chance, abs=0.04)


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_labels_are_uniform_in_test_and_independent_of_colours(domain):
    world = load(domain)
    labels = Counter(label for scene in scenes(domain, "test") for label in known_labels(world, scene))
    mean = labels.total() / len(world.known)
    assert len(labels) == len(world.known)
    assert max(abs(count - mean) for count in labels.values()) < 4.5 * np.sqrt(mean)
    rng = generator(domain, "test", 0, 0, "test")
    drawn = [Counter(draw_colour(world, "test", label, rng) for _ in range(1000)) for label in world.kinds]
    assert all(80 - 25 < counts[colour] < 120 + 25 for counts in drawn for colour in world.colours)


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_thing_is_visible(domain, split):
    for scene in scenes(domain, split)[:400]:
        scene_masks = masks(scene)
        share = scene_masks.visible.sum(axis=(1, 2)) / scene_masks.whole.sum(axis=(1, 2))
        assert share.min() >= 0.4, scene
        assert scene_masks.visible.any(axis=1).sum(axis=1).min() >= 6, scene  # pixels from left to right
        assert scene_masks.visible.any(axis=2).sum(axis=1).min() >= 6, scene
        assert scene_masks.whole.sum() == sum(masks_inside(scene)), "nothing is cut off at the edge"


def masks_inside(scene: Scene) -> list[int]:
    from jobs.scenes.geometry import box, outline

    kinds = load(scene.domain).kinds
    return [int(outline(scene.domain, t, box(t, kinds[t.label], scene.size)).sum()) for t in scene.things]


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_relations_are_true_of_the_masks(domain):
    counts: Counter[str] = Counter()
    world = load(domain)
    for scene in scenes(domain, "train")[:500]:
        whole = masks(scene).whole
        for relation in scene.relations:
            a, b = whole[relation.subject], whole[relation.object]
            (top, left), (bottom, right) = np.argwhere(a).min(axis=0), np.argwhere(a).max(axis=0)
            (top_b, left_b), (bottom_b, right_b) = np.argwhere(b).min(axis=0), np.argwhere(b).max(axis=0)
            label, other_label = scene.things[relation.subject].label, scene.things[relation.object].label
            true = {
                "left of": right < left_b,
                "right of": left > right_b,
                "above": bottom < top_b and left <= right_b and left_b <= right,
                "below": top > bottom_b and left <= right_b and left_b <= right,
                "behind": (a & b).any() and relation.subject < relation.object,
                "in front of": (a & b).any() and relation.subject > relation.object,
                "on": relation.subject > relation.object
                and world.kinds[other_label].top
                and label in world.kinds[other_label].top.holds,
                "touching": max(left, left_b) - min(right, right_b) <= 2 and max(top, top_b) - min(bottom, bottom_b) <= 2,
            }
            assert true[relation.name], (scene.key, relation)
            counts[relation.name] += 1
    converses = {"left of": "right of", "above": "below", "behind": "in front of"}
    assert all(counts[name] == counts[reverse] for name, reverse in converses.items())
    assert {"left of", "right of", "on", "touching", "above", "below"} <= set(counts)
    assert ("behind" in counts) == (world.view == "ground")


def test_some_things_stand_on_others():
    stands = np.mean([any(r.name == "on" for r in scene.relations) for scene in scenes("objects", "train")])
    assert 0.06 < stands < 0.15


def test_what_stands_on_a_thing_would_stand_on_the_floor_without_it():
    for scene in scenes("objects", "train"):
        horizon = load("objects").grounds[scene.ground].horizon
        assert all(scene.things[r.subject].y > horizon for r in scene.relations if r.name == "on")


def test_a_size_word_is_true_of_the_picture():
    """A large thing is larger than any medium thing of its class, near or far."""
    by_size: dict[str, dict[str, list[float]]] = {}
    for scene in scenes("objects", "test"):
        for thing in scene.things:
            by_size.setdefault(thing.label, {}).setdefault(thing.size, []).append(thing.height)
    for heights in by_size.values():
        assert max(heights["small"]) < min(heights["medium"]) and max(heights["medium"]) < min(heights["large"])


def test_farther_things_are_higher_up_and_painted_first():
    for scene in scenes("objects", "train")[:300]:
        on = {relation.subject for relation in scene.relations if relation.name == "on"}
        feet = [t.y for i, t in enumerate(scene.things) if i not in on and load("objects").kinds[t.label].place == "floor"]
        assert feet == sorted(feet)


def test_a_scene_is_a_function_of_its_arguments():
    assert sample("objects", "train", 1, 2, 96) == sample("objects", "train", 1, 2, 96)
    variations = [("objects", "test", 1, 2), ("objects", "train", 2, 2), ("objects", "train", 1, 3), ("garments", "train", 1, 2)]
    assert len({sample(*arguments, 96).things for arguments in [("objects", "train", 1, 2), *variations]}) == 5
    assert sample("objects", "train", 1, 2, 96).things == sample("objects", "train", 1, 2, 256).things


@pytest.mark.parametrize("arguments", [(0, 0, 63), (0, 0, 257), (-1, 0, 96), (0, -1, 96)])
def test_numbers_out_of_range(arguments):
    with pytest.raises(ValueError, match="not"):
        sample("objects", "train", *arguments)
