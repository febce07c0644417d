"""Placebos: as much is inpainted as a component takes, where nothing was detected; by the role.

The stage is tried with ``variants`` in ``test_variants``, what becomes of its rows in ``test_publish``.
"""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import validate_settings
from udfs import images, masks
from udfs.masks import Mask
from udfs.placebo import Placebos, moved_away
from udfs.role import Failure, Row

HEIGHT, WIDTH, DILATE = 60, 90, 0.03
SETTINGS = validate_settings({"codec": {"format": "png"}, "inpainter": {"dilate": DILATE, "feather": 0.02}})


def box(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def scene() -> images.Rgb:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def row(component: Mask, *others: Mask, record_id: str = "a") -> Row:
    """A family of one component, and what else was detected."""
    rle = masks.to_rle(component)
    return {
        "record_id": record_id,
        "image": images.encode(scene(), SETTINGS.codec),
        "components": [{"label": "dog", "masks": [rle]}],
        "taken": [rle, *map(masks.to_rle, others)],
    }


def test_a_free_place_is_inpainted_and_nothing_else() -> None:
    dog, cat = box(5, 5, 20, 15), box(30, 40, 25, 20)
    (made,) = Placebos(SETTINGS, "cpu")([row(dog, cat)])
    assert isinstance(made, dict), made
    moved = masks.from_rle(made["mask"])
    assert made["label"] == "dog" and moved.sum() == dog.sum() and not (moved == dog).all()
    grown = masks.dilate(moved, DILATE * WIDTH)
    assert not (grown & (dog | cat)).any()
    after = images.decode(made["image"])
    assert (after == scene())[~grown].all() and (after != scene())[moved].any()
    assert made["edited_fraction"] == grown.mean() and (made["height"], made["width"]) == (HEIGHT, WIDTH)


def test_the_same_record_gives_the_same_bytes() -> None:
    make, dog = Placebos(SETTINGS, "cpu"), box(5, 5, 20, 15)
    alone, (other, again) = make([row(dog)]), make([row(dog, record_id="b"), row(dog)])
    assert [again] == alone and again != other


def test_no_row_is_lost() -> None:
    """Where there is no place, where the mask is empty or of another image, and where the image cannot be read."""
    large, damaged = row(box(0, 0, 40, 80), record_id="large"), row(box(5, 5, 20, 15), record_id="damaged")
    taken = row(box(5, 5, 20, 15), ~box(5, 5, 20, 15), record_id="taken")
    foreign = row(box(5, 5, 20, 15), record_id="foreign")
    foreign["taken"].append(masks.to_rle(np.ones((9, 9), np.bool_)))
    damaged["image"] = damaged["image"][:40]
    rows = [large, row(box(5, 5, 20, 15)), taken, row(box(0, 0, 0, 0)), foreign, damaged]
    made = Placebos(SETTINGS, "cpu")(rows)
    status = [one.status if isinstance(one, Failure) else "ok" for one in made]
    assert status == ["no_free_place", "ok", "no_free_place", "empty_mask", "bad_mask", "undecodable_image"]


boxes = st.builds(box, st.integers(0, 50), st.integers(0, 80), st.integers(1, 40), st.integers(1, 50))


@settings(max_examples=40, deadline=None)
@given(shape=boxes, others=st.lists(boxes, max_size=3), reach=st.floats(0, 6), seed=st.integers(0, 99))
def test_a_moved_shape_is_whole_inside_and_on_nothing(shape: Mask, others: list[Mask], reach: float, seed: int) -> None:
    taken = np.logical_or.reduce([shape, *others])
    moved = moved_away(shape, taken, reach, random.Random(seed))
    if moved is None:
        return
    top, left, bottom, right = masks.bounds(moved)
    assert (moved[top:bottom, left:right] == shape[slice(*masks.bounds(shape)[::2]), slice(*masks.bounds(shape)[1::2])]).all()
    grown = masks.dilate(np.pad(moved, 7), reach)
    assert grown.sum() == masks.dilate(moved, reach).sum(), "nothing of it is outside"
    assert not (masks.dilate(moved, reach) & taken).any()
