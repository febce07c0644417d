"""Exchanged colours and places, on a family drawn by hand: a red disc on the left, a blue square on the right, on grass."""

from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.scenes import layout
from jobs.scenes.domain import load
from jobs.scenes.render import masks, render
from training.study import swapped
from training.study.derived import PNG, decode, encode

GRASS, RED, BLUE = (60, 140, 60), (210, 40, 40), (40, 90, 210)
LEFT, RIGHT = (40, 22), (44, 70)  # feet: row and column


def drawn(apple: bool, box: bool, shadow: bool = True) -> np.ndarray:
    picture = np.full((96, 96, 3), GRASS, np.uint8)
    for present, foot in ((apple, LEFT), (box, RIGHT)):
        if present and shadow:
            picture[foot[0] + 1 : foot[0] + 4, foot[1] - 6 : foot[1] + 6] = [int(0.7 * channel) for channel in GRASS]
    if apple:
        cv2.circle(picture, (LEFT[1], LEFT[0] - 8), 8, RED, -1)
    if box:
        cv2.rectangle(picture, (RIGHT[1] - 7, RIGHT[0] - 14), (RIGHT[1] + 7, RIGHT[0]), BLUE, -1)
    return picture


def row(texts: list[str], named: list[int], mentions: list[int] | None = None) -> dict[str, Any]:
    images = [drawn(*present) for present in ((True, True), (False, True), (True, False), (False, False))]
    nothing: dict[str, list[Any]] = {f"variant_{name}": [] for name in ("text", "of", "kind", "mentions", "may_mention", "names")}
    return {
        "record_id": "r", "shard": 0, "n": 2, "labels": ["apple", "suitcase"], "subsets": [0, 1, 2, 3],
        "images": [encode(image, PNG) for image in images], "caption_id": [str(i) for i in range(len(texts))], "text": texts,
        "text_named": named, "text_mentions": mentions or named, "text_may_mention": [0] * len(texts),
        "detected": ["apple", "suitcase"], **nothing,
    }  # fmt: skip


def is_near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= 12)


def test_colours_are_exchanged_in_the_image_and_in_its_texts() -> None:
    family = row(["A red apple next to a blue suitcase.", "A suitcase.", "A red apple"], [3, 2, 1])
    reasons: Counter[str] = Counter()
    unchanged, exchanged = swapped.with_colours(family, reasons)
    assert unchanged is family
    assert exchanged["text"] == ["A blue apple next to a red suitcase.", "A suitcase.", "A blue apple"]
    assert list(zip(exchanged["variant_of"], exchanged["variant_text"], strict=True)) == [
        (0, family["text"][0]),
        (2, "A red apple"),
    ]
    assert exchanged["variant_names"] == ["apple|suitcase", "apple"]
    image = decode(exchanged["images"][0])
    assert is_near(image[LEFT[0] - 8, LEFT[1]], BLUE)
    assert is_near(image[RIGHT[0] - 7, RIGHT[1]], RED)
    assert (image[:10] == GRASS).all()
    assert reasons == {"colours: made": 1}


def test_only_pixels_of_the_named_colour_change_and_a_colour_that_is_not_seen_stops_the_exchange() -> None:
    family = row(["A red apple next to a blue suitcase."], [3])
    images = [decode(data).copy() for data in family["images"]]
    for with_apple in (0, 2):
        cv2.circle(images[with_apple], (LEFT[1], LEFT[0] - 8), 5, (245, 245, 245), -1)  # a large white dial in a red frame
    dialled = family | {"images": [encode(image, PNG) for image in images]}
    _, exchanged = swapped.with_colours(dialled, Counter())
    image = decode(exchanged["images"][0])
    assert is_near(image[LEFT[0] - 8, LEFT[1]], (245, 245, 245))
    assert is_near(image[LEFT[0] - 1, LEFT[1]], BLUE)
    reasons: Counter[str] = Counter()
    assert len(swapped.with_colours(family | {"text": ["A green apple next to a blue suitcase."]}, reasons)) == 1
    assert reasons == {"colours: the told colour is not seen": 1}


def test_a_shadow_belongs_to_the_hole_and_not_to_the_thing() -> None:
    cut = swapped.cut_out(drawn(True, True), drawn(False, True))
    assert cut.hole[LEFT[0] + 2, LEFT[1]]
    assert not cut.thing[LEFT[0] + 2, LEFT[1]]
    assert cut.thing[LEFT[0] - 8, LEFT[1]]
    assert not cut.hole[:, 50:].any()


def test_places_are_exchanged_with_their_shadows() -> None:
    family = row(
        ["A red apple is to the left of a blue suitcase.", "A red apple on the grass", "A suitcase with an apple."], [3, 1, 3]
    )
    _, exchanged = swapped.with_places(family, Counter())
    # Whether the apple is still on the grass is unknown: the suitcase might have hung.
    assert exchanged["text"] == ["A blue suitcase is to the left of a red apple.", "A suitcase with an apple."]
    assert exchanged["variant_of"] == [0]
    image = decode(exchanged["images"][0])
    assert is_near(image[RIGHT[0] - 8, RIGHT[1]], RED)
    assert is_near(image[LEFT[0] - 7, LEFT[1]], BLUE)
    assert image[RIGHT[0] + 2, RIGHT[1], 1] < GRASS[1] - 20  # the apple's shadow came with it


@pytest.mark.parametrize(
    ("texts", "named", "reason"),
    [
        (["An apple and a suitcase"], [3], "no text says it"),
        (["A red apple and a red suitcase"], [3], "no text says it"),
        (["A red apple, a green apple and a blue suitcase"], [3], "no text says it"),
    ],
)
def test_without_a_text_that_can_say_it_there_is_no_exchange(texts: list[str], named: list[int], reason: str) -> None:
    reasons: Counter[str] = Counter()
    assert len(swapped.with_colours(row(texts, named), reasons)) == 1
    assert reasons == {f"colours: {reason}": 1}


def test_texts_of_other_members_are_not_taken_for_the_originals() -> None:
    family = row(["A red apple next to a blue suitcase.", "A blue suitcase."], [3, 3], [3, 2])
    _, exchanged = swapped.with_colours(family, Counter())
    assert exchanged["text"] == ["A blue apple next to a red suitcase."]


def test_a_missing_corner_and_things_that_touch_are_counted() -> None:
    family = row(["A red apple next to a blue suitcase."], [3])
    reasons: Counter[str] = Counter()
    lacking = family | {"subsets": [0, 1, 2], "images": family["images"][:3]}
    assert swapped.with_colours(lacking, reasons) == [lacking]
    touching = decode(family["images"][1]).copy()
    touching[30, 70] = 0  # the first removal changed a pixel of the second thing's
    changed = family | {"images": [family["images"][0], encode(touching, PNG), *family["images"][2:]]}
    assert swapped.with_colours(changed, reasons) == [changed]
    assert reasons == {"an image of the square is missing": 1, "the two touch": 1}


def test_exchanged_colours_are_those_of_a_real_rendering() -> None:
    """On things with windows, sails, dials and wheels: where a rendering shows the new colour, the exchange shows it too."""
    colours = {name: [int(code[i : i + 2], 16) for i in (1, 3, 5)] for name, code in load("study").colours.items()}
    palette = swapped._lab(np.array([list(colours.values())], np.uint8))[0]

    def colour_of(image: np.ndarray, mask: np.ndarray) -> str:
        median = np.median(swapped._lab(image)[mask], axis=0)
        return list(colours)[int(np.linalg.norm(palette - median, axis=1).argmin())]

    matches, kinds = Counter[bool](), set[str]()
    for index in range(150):
        scene = layout.sample("study", "test", 152, index, 96)
        if len(scene.things) != 2 or len({(thing.label, thing.colour) for thing in scene.things}) != 2:
            continue
        first, second = scene.things
        if first.label == second.label or first.colour == second.colour:
            continue
        images = [render(scene, frozenset(gone)) for gone in ((), (first.label,), (second.label,), (first.label, second.label))]
        square = swapped.Square(0, 1, images[0], images[3], swapped.cut_out(*images[:2]), swapped.cut_out(images[0], images[2]))
        if (square.first_cut.hole & square.second_cut.hole).any() or (
            recoloured := swapped.recoloured(square, (first.colour, second.colour))
        ) is None:
            continue
        things = (replace(first, colour=second.colour), replace(second, colour=first.colour))
        truth = render(replace(scene, things=things))
        for thing, mask in zip(things, masks(scene).visible, strict=True):
            changed = mask & (np.abs(truth.astype(int) - images[0]).max(axis=2) > 40)
            if colour_of(truth, changed) == thing.colour:
                matches[colour_of(recoloured, changed) == thing.colour] += 1
                kinds.add(thing.label)
    assert len(kinds) >= 10
    assert matches[True] >= 40
    assert matches[True] / matches.total() > 0.95
