"""The placebo role: it inpaints as large an area as a component takes, where nothing was detected.

``test_variants`` tests the stage together with ``variants``, ``test_publish`` what becomes of its rows.
"""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import validate_settings
from udfs import images, masks
from udfs.inpaint.placebo import Placebos, moved_away
from udfs.masks import Mask
from udfs.role import Failure, Row

HEIGHT, WIDTH, DILATE = 60, 90, 0.03
SETTINGS = validate_settings({"codec": {"format": "png"}, "inpainter": {"dilate": DILATE, "feather": 0.02}})


def box(top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def scene() -> images.Rgb:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def row(component: Mask, *detected: Mask, record_id: str = "a") -> Row:
    """A family of one component, and the masks of everything else that was detected."""
    rle = masks.to_rle(component)
    return {
        "record_id": record_id,
        "image": images.encode(scene(), SETTINGS.codec),
        "components": [{"label": "dog", "masks": [rle]}],
        "taken": [rle, *map(masks.to_rle, detected)],
    }


def test_a_free_place_is_inpainted_and_nothing_else() -> None:
    dog, cat = box(5, 5, 20, 15), box(30, 40, 25, 20)
    (placebo,) = Placebos(SETTINGS, "cpu")([row(dog, cat)])
    assert isinstance(placebo, dict), placebo
    moved = masks.from_rle(placebo["mask"])
    assert placebo["label"] == "dog" and moved.sum() == dog.sum() and not (moved == dog).all()
    grown = masks.dilate(moved, DILATE * WIDTH)
    assert not (grown & (dog | cat)).any()
    after = images.decode(placebo["image"])
    assert (after == scene())[~grown].all() and (after != scene())[moved].any()
    assert placebo["edited_fraction"] == grown.mean() and (placebo["height"], placebo["width"]) == (HEIGHT, WIDTH)


def test_the_same_record_gives_the_same_bytes() -> None:
    make, dog = Placebos(SETTINGS, "cpu"), box(5, 5, 20, 15)
    single, (other_record, repeated) = make([row(dog)]), make([row(dog, record_id="b"), row(dog)])
    assert [repeated] == single and repeated != other_record


def test_no_row_is_lost() -> None:
    """Even where there is no free place, the mask is empty or of another image, or the image cannot be read."""
    large, damaged = row(box(0, 0, 40, 80), record_id="large"), row(box(5, 5, 20, 15), record_id="damaged")
    taken = row(box(5, 5, 20, 15), ~box(5, 5, 20, 15), record_id="taken")
    foreign = row(box(5, 5, 20, 15), record_id="foreign")
    foreign["taken"].append(masks.to_rle(np.ones((9, 9), np.bool_)))
    damaged["image"] = damaged["image"][:40]
    rows = [large, row(box(5, 5, 20, 15)), taken, row(box(0, 0, 0, 0)), foreign, damaged]
    results = Placebos(SETTINGS, "cpu")(rows)
    status = [result.status if isinstance(result, Failure) else "ok" for result in results]
    assert status == ["no_free_place", "ok", "no_free_place", "empty_mask", "bad_mask", "undecodable_image"]


boxes = st.builds(box, st.integers(0, 50), st.integers(0, 80), st.integers(1, 40), st.integers(1, 50))


@settings(max_examples=40, deadline=None)
@given(shape=boxes, obstacles=st.lists(boxes, max_size=3), reach=st.floats(0, 6), seed=st.integers(0, 99))
def test_a_moved_shape_stays_whole_and_overlaps_nothing(shape: Mask, obstacles: list[Mask], reach: float, seed: int) -> None:
    taken = np.logical_or.reduce([shape, *obstacles])
    moved = moved_away(shape, taken, reach, random.Random(seed))
    if moved is None:
        return
    top, left, bottom, right = masks.bounds(moved)
    assert (moved[top:bottom, left:right] == shape[slice(*masks.bounds(shape)[::2]), slice(*masks.bounds(shape)[1::2])]).all()
    grown = masks.dilate(np.pad(moved, 7), reach)
    assert grown.sum() == masks.dilate(moved, reach).sum(), "none of it is outside the image"
    assert not (masks.dilate(moved, reach) & taken).any()
