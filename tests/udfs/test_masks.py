"""Masks survive COCO's encoding, and grow and fade as asked."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from udfs import masks

any_mask = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@given(any_mask)
def test_rle_round_trips_and_matches_pycocotools(mask: np.ndarray) -> None:
    rle = masks.to_rle(mask)
    assert (masks.from_rle(rle) == mask).all()
    theirs = coco.decode({"size": [rle["height"], rle["width"]], "counts": rle["counts"].encode()})
    assert (theirs.astype(bool) == mask).all()


@pytest.mark.parametrize(
    ("height", "width", "counts"),
    [
        (4, 4, ""),
        (8, 8, "0`0"),
        (2, 2, "0`0"),
        (0, 4, ""),
        (-4, -4, "0`0"),
        (4, 4, "`"),
        (4, 4, "é~"),
        (4, 4, "oooooooooooooooo"),
    ],
)
def test_an_rle_that_is_no_mask_is_refused(height: int, width: int, counts: str) -> None:
    with pytest.raises(masks.MaskError):
        masks.from_rle({"height": height, "width": width, "counts": counts})


@given(st.text(max_size=30))
def test_any_text_as_counts_is_a_mask_or_an_error(counts: str) -> None:
    with contextlib.suppress(masks.MaskError):
        assert masks.from_rle({"height": 4, "width": 4, "counts": counts}).shape == (4, 4)


@given(any_mask, st.integers(1, 60), st.integers(1, 60))
def test_resize_never_loses_a_mask(mask: np.ndarray, height: int, width: int) -> None:
    small = masks.resize(mask, height, width)
    assert small.shape == (height, width)
    assert small.any() == mask.any()
    assert not mask.all() or small.all()


@given(any_mask, st.floats(0, 8), st.floats(0, 8))
def test_dilate_grows_and_feather_stays_inside(mask: np.ndarray, radius: float, width: float) -> None:
    grown = masks.dilate(mask, radius)
    assert not (mask & ~grown).any()
    alpha = masks.feather(grown, width)
    assert ((alpha > 0) == grown).all()
    # A soft border no wider than the dilation leaves nothing of the object shining through.
    solid = masks.feather(grown, min(width, radius) - 1)
    assert (solid[mask] == 1).all()


def test_dilate_is_euclidean() -> None:
    mask = np.zeros((11, 11), np.bool_)
    mask[5, 5] = True
    rows, columns = np.indices(mask.shape)
    assert (masks.dilate(mask, 3) == ((rows - 5) ** 2 + (columns - 5) ** 2 <= 9)).all()


def test_bounds_are_top_left_bottom_right() -> None:
    mask = np.zeros((10, 10), np.bool_)
    mask[2:5, 3:9] = True
    assert masks.bounds(mask) == (2, 3, 5, 9)


def test_distances_are_exact_wherever_the_mask_lies_in_memory() -> None:
    rows, columns = np.mgrid[:97, :131]
    expected = np.sqrt(((rows - 40) ** 2 + (columns - 60) ** 2).astype(np.float64)).astype(np.float32)
    for offset in range(8):  # OpenCV alone gives roots that differ in the last bit
        mask = np.ones(97 * 131 + 8, dtype=bool)[offset : offset + 97 * 131].reshape(97, 131)
        mask[40, 60] = False
        np.testing.assert_array_equal(masks.depth(mask), expected)
