"""Encoded images as a model takes them."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support import snapshots
from tests.support.read_batches import PIXELS
from training.data.decode import Pixels, rectangle


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (16, 16), (100, 33)])
def test_without_augmentation_as_open_clip_evaluates(size: tuple[int, int]) -> None:
    import io

    from open_clip import image_transform
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    out = io.BytesIO()
    image.save(out, "PNG")
    pixels = Pixels(size=16, augment=False)
    (ours,) = pixels.tensor([pixels.cut(out.getvalue(), random.Random(0))])
    torch.testing.assert_close(ours, image_transform(16, is_train=False)(image))


def test_augmentation_cuts_little_off() -> None:
    for seed in range(300):
        left, top, right, bottom = rectangle(40, 30, random.Random(seed))
        assert 0 <= left < right <= 40 and 0 <= top < bottom <= 30
        assert 0.9 <= (right - left) * (bottom - top) / (40 * 30) <= 1
    once, again, other = (PIXELS.cut(snapshots.picture(["dog"], 0), random.Random(seed)) for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


def test_flips_are_asked_for() -> None:
    data, turned = snapshots.picture(["dog"], 0), set()
    upright = Pixels(size=16, augment=False)
    for seed in range(20):
        assert (upright.cut(data, random.Random(seed)) == upright.cut(data, random.Random(0))).all()
        turned.add(tuple(replace(upright, flip=True).cut(data, random.Random(seed))[8, 2]))
    assert len(turned) == 2
