"""Pictures and masks: a removed thing leaves no trace, and nothing else changes."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from jobs.scenes.domain import load
from jobs.scenes.layout import sample
from jobs.scenes.render import masks, render
from jobs.scenes.scene import Scene

DOMAIN_NAMES = ["objects", "garments"]
DIGEST = """
import hashlib
from jobs.scenes.layout import sample
from jobs.scenes.render import masks, render
for index in range(4):
    scene = sample("objects", "train", 9, index, 96)
    print(hashlib.sha256(render(scene).tobytes() + masks(scene).visible.tobytes() + repr(scene).encode()).hexdigest())
"""


def sampled(domain: str, count: int = 60, size: int = 96) -> list[Scene]:
    return [sample(domain, "train", 4, index, size) for index in range(count)]


def test_the_same_bytes_in_another_process():
    digests = []
    for index in range(4):
        scene = sample("objects", "train", 9, index, 96)
        content = render(scene).tobytes() + masks(scene).visible.tobytes() + repr(scene).encode()
        digests.append(hashlib.sha256(content).hexdigest())
    environment = os.environ | {"PYTHONHASHSEED": "17"}
    process = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=environment)
    assert process.stdout.split() == digests


def test_memory_does_not_matter():
    """Neither empty caches nor another memory layout change a byte."""
    scenes = sampled("objects", 12)
    first = [render(scene).tobytes() for scene in scenes]
    from jobs.scenes import backgrounds, geometry, shapes, textures

    for cached in (shapes.fitted, shapes._painted, textures.pattern, geometry.silhouette, backgrounds._plane, backgrounds._table):
        cached.cache_clear()
    filler = [np.zeros(n, np.uint8) for n in range(1, 4000, 7)]
    assert [render(scene).tobytes() for scene in reversed(scenes)][::-1] == first
    assert len(filler) == 572


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
@pytest.mark.parametrize("size", [64, 96, 256])
def test_picture_and_masks_have_their_shapes(domain, size):
    for scene in sampled(domain, 6, size):
        picture, scene_masks = render(scene), masks(scene)
        assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
        assert scene_masks.visible.shape == scene_masks.whole.shape == (len(scene.things), size, size)
        assert scene_masks.visible.dtype == scene_masks.whole.dtype == bool
        assert picture.std() > 5


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_visible_masks_are_disjoint_and_inside_the_whole_ones(domain):
    for scene in sampled(domain):
        visible, whole = masks(scene).visible, masks(scene).whole
        assert visible.sum(axis=0).max() == 1
        assert not (visible & ~whole).any()
        assert np.array_equal(visible.any(axis=0), whole.any(axis=0))
        assert np.array_equal(visible[-1], whole[-1])  # nothing is painted over the last


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_a_removed_thing_leaves_no_trace(domain):
    for scene in sampled(domain, 30):
        for label in scene.labels:
            without = replace(scene, things=tuple(thing for thing in scene.things if thing.label != label), relations=())
            assert np.array_equal(render(scene, frozenset({label})), render(without))
        empty = render(scene, frozenset(scene.labels))
        assert np.array_equal(empty, render(replace(scene, things=(), relations=())))
        assert np.array_equal(render(scene, frozenset({"no such label"})), render(scene))


@pytest.mark.parametrize("domain", DOMAIN_NAMES)
def test_removal_is_local(domain):
    """A removal changes only the thing, its shadow and its reflection: the pixels that it changes on the empty ground."""
    near = np.ones((5, 5), np.uint8)
    for scene in sampled(domain, 40):
        full, empty = render(scene), render(scene, frozenset(scene.labels))
        for label in scene.labels:
            changed = (render(scene, frozenset({label})) != full).any(axis=2)
            on_empty = (render(scene, frozenset(scene.labels) - {label}) != empty).any(axis=2)
            footprint = cv2.dilate(on_empty.astype(np.uint8), near).astype(bool)  # rounding of the faintest shadows
            assert not (changed & ~footprint).any(), (scene.key, label)
            is_removed = np.array([thing.label == label for thing in scene.things])
            visible = masks(scene).visible[is_removed].any(axis=0)
            assert (changed & visible).sum() > 0.9 * visible.sum(), (scene.key, label)


def test_what_was_hidden_becomes_visible():
    checked = 0
    for scene in sampled("objects", 150):
        for relation in scene.relations:
            far, near = scene.things[relation.subject], scene.things[relation.object]
            if relation.name != "behind" or far.label == near.label or len(scene.labels) != 2:
                continue
            shown = masks(replace(scene, things=tuple(t for t in scene.things if t.label != near.label)))
            before = masks(scene)
            remaining = [i for i, thing in enumerate(scene.things) if thing.label != near.label]
            index = remaining.index(relation.subject)
            assert shown.visible[index].sum() > before.visible[relation.subject].sum()
            checked += 1
    assert checked >= 5


def _single(scene: Scene, label: str, **changes: object) -> Scene:
    """A scene of one thing of a class in the middle of the floor, without noise."""
    thing = replace(scene.things[0], label=label, x=0.5, y=0.72, height=0.2, mirrored=False, colour="red", material="plain")
    return replace(scene, things=(thing,), relations=(), noise_sigma=0.0, light=(0.8, -0.3), **changes)


def test_shadows_fall_where_the_light_says():
    scene = sample("objects", "train", 0, 0, 128)
    for across in (0.8, -0.8):
        lit = replace(_single(scene, "cup", ground="street"), light=(across, -0.3))
        darker = render(lit, frozenset({"cup"})).astype(int) - render(lit)
        darker[masks(lit).whole[0]] = 0
        left, right = darker[:, :64].sum(), darker[:, 64:].sum()
        assert (right > 2 * left) if across > 0 else (left > 2 * right)


def test_only_reflective_grounds_reflect():
    scene = sample("objects", "train", 0, 0, 128)
    world = load("objects")
    foot = round(0.72 * 128)

    def below(ground: str) -> int:
        bottle = _single(scene, "bottle", ground=ground)
        changed = (render(bottle) != render(bottle, frozenset({"bottle"}))).any(axis=2)
        return int(changed[foot + 8 : foot + 20, 60:68].sum())

    mirrors = {name for name, ground in world.grounds.items() if ground.reflective}
    assert mirrors and mirrors != set(world.grounds)
    assert {name for name in world.grounds if below(name) > 20} == mirrors


def test_things_have_their_colour():
    """Most pixels in the middle of a plain thing are nearer to its own colour than to any other."""
    world = load("objects")
    codes = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in world.colours.values()], float)
    names = list(world.colours)
    scene = sample("objects", "train", 0, 0, 128)
    for colour in names:
        base = _single(scene, "apple", ground="street")
        apple = replace(base, things=(replace(base.things[0], colour=colour, height=0.4),))
        inside = cv2.erode(masks(apple).visible[0].astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        pixels = render(apple)[inside].astype(float)
        nearest = np.linalg.norm(pixels[:, None] - codes[None], axis=2).argmin(axis=1)
        assert (nearest == names.index(colour)).mean() > 0.5, colour
