"""Exchanged colours and places, on a family drawn by hand: a red disc on the left, a blue square on the right, on grass."""

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest

from training.study import swapped
from training.study.derived import PNG, decode, encode

GRASS, RED, BLUE = (60, 140, 60), (210, 40, 40), (40, 60, 210)
LEFT, RIGHT = (40, 22), (44, 70)  # feet: row and column


def drawn(apple: bool, box: bool, shadow: bool = True) -> np.ndarray:
    picture = np.full((96, 96, 3), GRASS, np.uint8)
    for there, foot in ((apple, LEFT), (box, RIGHT)):
        if there and shadow:
            picture[foot[0] + 1 : foot[0] + 4, foot[1] - 6 : foot[1] + 6] = [int(0.7 * one) for one in GRASS]
    if apple:
        cv2.circle(picture, (LEFT[1], LEFT[0] - 8), 8, RED, -1)
    if box:
        cv2.rectangle(picture, (RIGHT[1] - 7, RIGHT[0] - 14), (RIGHT[1] + 7, RIGHT[0]), BLUE, -1)
    return picture


def row(texts: list[str], named: list[int], mentions: list[int] | None = None) -> dict[str, Any]:
    images = [drawn(*there) for there in ((True, True), (False, True), (True, False), (False, False))]
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
    why: Counter[str] = Counter()
    same, made = swapped.with_colours(family, why)
    assert same is family
    assert made["text"] == ["A blue apple next to a red suitcase.", "A suitcase.", "A blue apple"]
    assert list(zip(made["variant_of"], made["variant_text"], strict=True)) == [(0, family["text"][0]), (2, "A red apple")]
    assert made["variant_names"] == ["apple|suitcase", "apple"]
    image = decode(made["images"][0])
    assert is_near(image[LEFT[0] - 8, LEFT[1]], BLUE)
    assert is_near(image[RIGHT[0] - 7, RIGHT[1]], RED)
    assert (image[:10] == GRASS).all()
    assert why == {"colours: made": 1}


def test_a_shadow_belongs_to_the_hole_and_not_to_the_thing() -> None:
    cut = swapped.cut_out(drawn(True, True), drawn(False, True))
    assert cut.hole[LEFT[0] + 2, LEFT[1]]
    assert not cut.thing[LEFT[0] + 2, LEFT[1]]
    assert cut.thing[LEFT[0] - 8, LEFT[1]]
    assert not cut.hole[:, 50:].any()


def test_places_are_exchanged_with_their_shadows() -> None:
    family = row(["A red apple is to the left of a blue suitcase.", "A red apple on the grass"], [3, 1])
    _, made = swapped.with_places(family, Counter())
    assert made["text"] == ["A blue suitcase is to the left of a red apple.", "A red apple on the grass"]
    assert made["variant_of"] == [0]
    image = decode(made["images"][0])
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
def test_where_no_text_can_say_it_there_is_no_exchange(texts: list[str], named: list[int], reason: str) -> None:
    why: Counter[str] = Counter()
    assert len(swapped.with_colours(row(texts, named), why)) == 1
    assert why == {f"colours: {reason}": 1}


def test_texts_of_other_members_are_not_taken_for_the_originals() -> None:
    family = row(["A red apple next to a blue suitcase.", "A blue suitcase."], [3, 3], [3, 2])
    _, made = swapped.with_colours(family, Counter())
    assert made["text"] == ["A blue apple next to a red suitcase."]


def test_a_missing_corner_and_things_that_touch_are_counted() -> None:
    family = row(["A red apple next to a blue suitcase."], [3])
    why: Counter[str] = Counter()
    lacking = family | {"subsets": [0, 1, 2], "images": family["images"][:3]}
    assert swapped.with_colours(lacking, why) == [lacking]
    touching = decode(family["images"][1]).copy()
    touching[30, 70] = 0  # the first removal changed a pixel of the second one's
    changed = family | {"images": [family["images"][0], encode(touching, PNG), *family["images"][2:]]}
    assert swapped.with_colours(changed, why) == [changed]
    assert why == {"an image of the square is missing": 1, "the two touch": 1}
