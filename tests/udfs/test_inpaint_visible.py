"""The estimate that a person sees an edit: it grows with the hole and with the edges around it."""

import numpy as np
import pytest

from udfs.inpaint.visible import INTERCEPT, PER_SHARE, PER_SLOPE, difficulty, smear
from udfs.masks import Mask


def hole(side: int) -> Mask:
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[40 : 40 + side, 60 : 60 + side] = True
    return mask


def stripes(contrast: int) -> np.ndarray:
    rgb = np.full((120, 160, 3), 100, dtype=np.uint8)
    rgb[:, ::16] += np.uint8(contrast)
    return rgb


def test_a_larger_hole_and_busier_surroundings_are_seen_more_often() -> None:
    chances = [[smear(stripes(contrast), hole(side)) for side in (8, 24, 48)] for contrast in (10, 40, 120)]
    assert np.all(np.diff(chances, axis=0) > 0) and np.all(np.diff(chances, axis=1) > 0)
    assert 0 < np.min(chances) < 0.2 and 0.8 < np.max(chances) < 1


def test_what_is_in_the_hole_does_not_count() -> None:
    rgb = stripes(60)
    painted = rgb.copy()
    painted[46:58, 66:78] = 255
    assert smear(painted, hole(24)) == smear(rgb, hole(24))


def test_the_estimate_is_the_fitted_function() -> None:
    share, slope = difficulty(stripes(60), hole(24))
    assert share == 24**2 / (120 * 160) and slope is not None
    odds = np.exp(INTERCEPT) * share**PER_SHARE * slope**PER_SLOPE
    assert smear(stripes(60), hole(24)) == pytest.approx(odds / (1 + odds))


def test_without_a_hole_or_surroundings_there_is_no_estimate() -> None:
    assert smear(stripes(60), np.zeros((120, 160), dtype=np.bool_)) is None
    assert smear(stripes(60), np.ones((120, 160), dtype=np.bool_)) is None
