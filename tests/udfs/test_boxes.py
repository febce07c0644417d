"""Masks of boxes: GrabCut on drawn things, and boxes that no picture has."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from udfs.segment.boxes import BoxError, ellipse, grab_cut, pixels_of, whole_box


def scene(width: int = 320, height: int = 240) -> tuple[np.ndarray, dict[str, tuple[tuple[int, int, int, int], np.ndarray]]]:
    """A noisy ground with a red disc and a blue one: pixels, and by name the box and the true mask."""
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    ground = Image.fromarray((np.full((height, width, 3), (90, 140, 90)) + noise).clip(0, 255).astype(np.uint8))
    things = {}
    for name, colour, box in (("red", (200, 40, 40), (40, 60, 140, 200)), ("blue", (40, 40, 210), (200, 30, 280, 110))):
        shape = Image.new("1", (width, height))
        ImageDraw.Draw(shape).ellipse((*box[:2], box[2] - 1, box[3] - 1), fill=1)
        ground.paste(colour, mask=shape)
        things[name] = (box, np.array(shape))
    return np.array(ground), things


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_grab_cut_finds_the_disc_and_the_box_is_the_box() -> None:
    picture, things = scene()
    for box, truth in things.values():
        assert iou(grab_cut(picture, box), truth) > 0.95
        assert iou(whole_box(picture, box), truth) == pytest.approx(np.pi / 4, abs=0.02)


def test_a_thing_that_fills_its_box_is_found_beyond_the_ellipse() -> None:
    picture, _ = scene()
    picture[150:200, 200:280] = (200, 200, 40)
    box = (200, 150, 280, 200)
    assert iou(ellipse(picture, box), whole_box(picture, box)) == pytest.approx(np.pi / 4, abs=0.02)
    assert iou(grab_cut(picture, box), whole_box(picture, box)) > 0.99


def test_what_looks_like_the_ground_is_not_left_behind() -> None:
    picture, things = scene()
    box, truth = things["red"]
    picture[100:120, 60:120] = picture[5:25, 60:120]  # a stripe of ground across the disc, as a shirt of grass green would be
    mask = grab_cut(picture, box)
    assert (mask & truth).sum() > 0.98 * truth.sum()


def test_a_large_picture_is_cut_on_a_smaller_copy() -> None:
    picture, things = scene()
    box, truth = things["red"]
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    wanted = cv2.resize(truth.astype(np.uint8), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST).astype(bool)
    assert iou(grab_cut(large, tuple(4 * side for side in box)), wanted) > 0.95


def test_a_mask_does_not_depend_on_what_was_cut_before() -> None:
    picture, things = scene()
    alone = grab_cut(picture, things["blue"][0])
    cv2.setRNGSeed(77)
    grab_cut(picture, things["red"][0])
    assert (grab_cut(picture, things["blue"][0]) == alone).all()


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 320, 240),  # no background to learn
        (40.0, 60.0, 46.0, 200.0),  # too narrow
        (150, 210, 190, 235),  # nothing but ground
    ],
)
def test_where_grab_cut_cannot_tell_the_mask_is_not_empty_and_inside_the_box(box: tuple[float, float, float, float]) -> None:
    picture, _ = scene()
    mask, whole = grab_cut(picture, box), whole_box(picture, box)
    assert mask.any() and not (mask & ~whole).any()
    if box[0] != 150:
        assert (mask == whole).all()


def test_a_picture_of_one_colour_is_no_error() -> None:
    picture = np.full((60, 80, 3), 127, np.uint8)
    assert grab_cut(picture, (20, 20, 60, 50)).any()


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((1.0, 2.0, 3.0, 4.0), (2, 1, 4, 3)),
        ((1.2, 2.9, 3.1, 4.0), (2, 1, 4, 4)),
        ((-1.5, -0.5, 81.0, 61.9), (0, 0, 60, 80)),
        ((80.5, 60.5, 81.0, 61.0), (59, 79, 60, 80)),  # just outside: its nearest pixel
    ],
)
def test_a_box_covers_the_pixels_that_it_touches(box: tuple[float, ...], wanted: tuple[int, ...]) -> None:
    assert pixels_of(box, 60, 80) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (float("nan"), 0, 5, 5), (0, 0, 83, 60), (-3, 0, 5, 5), (0, 0, 5, 1e9)]
)
def test_a_box_of_another_picture_is_an_error(box: tuple[float, ...]) -> None:
    with pytest.raises(BoxError):
        pixels_of(box, 60, 80)  # type: ignore[arg-type]
