"""From encoded images to the pixels that a model takes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from udfs.images import Rgb, decode

if TYPE_CHECKING:
    from torch import Tensor

# CLIP's own values, as in open_clip.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Pixels:
    """How images become pixels.

    Without augmentation this is open_clip's preprocessing for evaluation: scale the shorter side to ``size`` (bicubic), then crop
    the centre.

    Args:
        size: side in pixels.
        mean: of each channel, for values in [0, 1].
        std: of each channel, likewise.
        augment: crop a random rectangle of 90 to 100% of the image's area instead of the centre.
        flip: also mirror half of the images. This makes captions with "left" and "right" false.
        max_pixels: larger images are rejected before decoding.
    """

    size: int = 224
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    augment: bool = True
    flip: bool = False
    max_pixels: int = 50_000_000

    @classmethod
    def of(cls, visual: Any, augment: bool = True, flip: bool = False) -> "Pixels":
        """The preprocessing of an open_clip image tower."""
        size = visual.image_size
        side = int(size[0] if isinstance(size, (tuple, list)) else size)
        (r, g, b), (sr, sg, sb) = visual.image_mean, visual.image_std
        return cls(side, (r, g, b), (sr, sg, sb), augment, flip)

    def tensor(self, cut: Sequence[Rgb]) -> "Tensor":
        """I images from ``cut``, uint8 [size, size, 3] each, to float32 [I, 3, size, size], normalised."""
        import torch

        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        values = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return values.div_(255).sub_(mean).div_(std)

    def cut(self, data: bytes, rng: random.Random) -> Rgb:
        """Decode one image and crop it to uint8 [size, size, 3].

        Raises:
            ImageError: it cannot be decoded, or is too large.
        """
        image = Image.fromarray(decode(data, self.max_pixels))
        if self.augment:
            image = image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=rectangle(*image.size, rng))
        else:
            scale = self.size / min(image.size)
            width, height = (int(scale * side) for side in image.size)
            image = image.resize((max(width, self.size), max(height, self.size)), Image.Resampling.BICUBIC)
            left, top = round((image.width - self.size) / 2), round((image.height - self.size) / 2)
            image = image.crop((left, top, left + self.size, top + self.size))
        if self.flip and rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image)


def rectangle(width: int, height: int, rng: random.Random) -> tuple[float, float, float, float]:
    """A random crop (left, top, right, bottom) of 90 to 100% of an image, of nearly its shape, so that captions stay true."""
    area, shape = rng.uniform(0.9, 1.0), rng.random()
    wide, high = area**shape, area ** (1 - shape)
    left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    return left * width, top * height, (left + wide) * width, (top + high) * height
