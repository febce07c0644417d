"""Detail over smooth fills, and PatchMatch: texture comes back, nothing of the object does, and a seed always gives the same."""

import sys

import cv2
import numpy as np
import pytest

from jobs.settings import validate_settings
from udfs.images import Rgb
from udfs.inpaint.inpainter import Backend
from udfs.inpaint.lattice import Hole
from udfs.inpaint.opencv import OpenCv
from udfs.inpaint.patchmatch import PatchMatch

SIDE = 120


def gravel(low: int = 60, high: int = 196) -> Rgb:
    """Grains of three pixels or so."""
    noise = np.random.default_rng(0).integers(low, high, (SIDE // 2, SIDE // 2, 1), dtype=np.uint8)
    grains = cv2.resize(np.repeat(noise, 3, axis=2), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grains, dtype=np.uint8)


def holed(rgb: Rgb, colour: tuple[int, int, int] = (255, 0, 0), seed: int = 7) -> Hole:
    """A disc of 50 pixels in the middle, where there is a thing of this colour."""
    ys, xs = np.mgrid[:SIDE, :SIDE]
    mask = (ys - 60) ** 2 + (xs - 60) ** 2 < 25**2
    return Hole(np.where(mask[..., None], np.array(colour, dtype=np.uint8), rgb), mask, seed)


def opencv(detail: float) -> OpenCv:
    return OpenCv(validate_settings({"inpainter": {"detail": detail}}).inpainter)


def contrast(rgb: Rgb, mask: np.ndarray) -> float:
    """The spread of what a blur takes away, well inside the hole."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    grey = rgb.astype(np.float32).mean(axis=2)
    return float((grey - cv2.GaussianBlur(grey, (0, 0), 4))[inner].std())


def test_the_texture_of_the_ground_comes_back_by_the_share_that_is_asked_for() -> None:
    hole = holed(gravel())
    [smooth], [half], [whole] = (opencv(detail)([hole]) for detail in (0.0, 0.5, 1.0))
    truth = contrast(gravel(), hole.mask)
    assert contrast(smooth, hole.mask) < 0.05 * truth
    assert contrast(half, hole.mask) == pytest.approx(0.5 * truth, rel=0.25)
    assert contrast(whole, hole.mask) == pytest.approx(truth, rel=0.25)
    assert np.abs(whole[hole.mask].mean(0) - smooth[hole.mask].mean(0)).max() < 4, "colours are the fill's"


def test_a_plain_ground_stays_plain() -> None:
    plain = np.full((SIDE, SIDE, 3), 130, dtype=np.uint8)
    [filled] = opencv(1.0)([holed(plain)])
    assert np.abs(filled.astype(int) - 130).max() <= 1


@pytest.mark.parametrize("backend", [opencv(0.7), PatchMatch()], ids=["detail", "patchmatch"])
def test_nothing_of_the_object_is_left_and_a_seed_gives_the_same(backend: Backend) -> None:
    red, black = holed(gravel()), holed(gravel(), (0, 0, 0))
    [first], [other], [again] = backend([red]), backend([black]), backend([red])
    assert (first[red.mask] == other[red.mask]).all() and (first == again).all()
    [varied] = backend([holed(gravel(), seed=8)])
    assert (first[red.mask] != varied[red.mask]).any()


def test_patchmatch_copies_what_is_around() -> None:
    rgb = gravel()
    hole = holed(rgb)
    [filled] = PatchMatch()([hole])
    assert contrast(filled, hole.mask) > 0.5 * contrast(rgb, hole.mask)
    assert filled[hole.mask].min() >= rgb.min() - 8 and filled[hole.mask].max() <= rgb.max() + 8


@pytest.mark.parametrize("shape", [(8, 8), (9, 60), (60, 12)])
def test_a_crop_without_room_for_tiles_has_the_smooth_fill(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, dtype=np.bool_)
    mask[1:-1, 1:-1] = True
    hole = Hole(rgb, mask, 0)
    assert (opencv(1.0)([hole])[0] == opencv(0.0)([hole])[0]).all()


def test_a_root_without_detail_keeps_its_version_and_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "detail" not in opencv(0.0).version and opencv(0.5).version.endswith("detail 0.5")
    monkeypatch.setitem(sys.modules, "patchmatch_cython", None)
    with pytest.raises(ImportError, match=r"pip install 'dualset\[patchmatch\]'"):
        PatchMatch()
