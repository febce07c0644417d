"""Filling holes with any TorchScript file that is called as LaMa is (Suvorov et al., 2022): ``big-lama.pt`` and its like.

``forward(image, mask)`` takes an image, float32 [B, 3, H, W] in 0 to 1, and a mask, float32 [B, 1, H, W] of 0 and 1 (1: to fill),
with sides that are multiples of 8. It returns [B, 3, H, W] in 0 to 1. Nothing is random: seed and steps are not used.

**Use files only from makers you trust.** A TorchScript file holds a program, and loading the file runs a part of it. The program
has torch's operators and no Python, so it can do less than a pickle; but some of the operators read and write files, and damaged
archives have crashed the loader before. The ``version`` in lineage is a hash of the file, which tells afterwards what ran.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from udfs.images import Rgb
from udfs.inpaint.diffusers import hole_pixels, unsquare
from udfs.inpaint.lattice import Hole
from udfs.inpaint.settings import InpainterSettings
from udfs.weights import version_of

MULTIPLE = 8  # LaMa halves the sides three times


class TorchScript:
    """A scripted inpainting network on one device.

    A crop goes in at its own size. If its longer side is over ``settings.size``, it is scaled down to that, and its fill up
    again. Crops differ in size, so each is a call of its own.
    """

    batch_size = 1

    def __init__(self, settings: InpainterSettings, device: str) -> None:
        """Load ``settings.weights``.

        Raises:
            ValueError: no weights are named, or another precision than float32 is asked for.
            FileNotFoundError: there is no such file.
            RuntimeError: the file is no TorchScript.
        """
        import torch

        if not settings.weights:
            raise ValueError("inpainter.weights is empty: the torchscript inpainter needs a TorchScript file")
        if settings.dtype != "float32":
            raise ValueError(f"inpainter.dtype must be float32, not {settings.dtype}: a TorchScript file keeps its own precision")
        file = Path(settings.weights)
        if not file.is_file():
            raise FileNotFoundError(f"inpainter.weights: there is no file {settings.weights!r}")
        self._network = torch.jit.load(str(file), map_location=device).eval()
        self._device = device
        self._size = settings.size
        self.name = file.stem
        self.version = version_of(str(file))

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill each hole."""
        return [self._fill(hole) for hole in holes]

    def _fill(self, hole: Hole) -> Rgb:
        import torch

        height, width = _within(hole.mask.shape, self._size)
        mask = hole_pixels(hole.mask, height, width)
        interpolation = cv2.INTER_AREA if height < hole.mask.shape[0] else cv2.INTER_CUBIC
        rgb = cv2.resize(np.ascontiguousarray(hole.rgb), (width, height), interpolation=interpolation)
        image, to_fill = (_tensor(_padded(array)).to(self._device) for array in (rgb / np.float32(255), mask.astype(np.float32)))
        with torch.inference_mode():
            filled = self._network(image, to_fill)
        if filled.shape != image.shape or not torch.isfinite(filled).all():
            raise ValueError(
                f"the network returned {tuple(filled.shape)} for {tuple(image.shape)}, or values that are no numbers"
            )
        return unsquare(filled[0, :, :height, :width].permute(1, 2, 0).float().cpu().numpy(), hole)


def _within(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Height and width of a crop, scaled so that the longer side is at most ``size``."""
    scale = min(1.0, size / max(shape[:2]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _padded(array: np.ndarray) -> np.ndarray:
    """The array with mirrored pixels at the bottom and right, up to multiples of 8; very short sides are mirrored repeatedly."""
    rows, columns = (-side % MULTIPLE for side in array.shape[:2])
    return np.pad(array, [(0, rows), (0, columns), *[(0, 0)] * (array.ndim - 2)], mode="symmetric")


def _tensor(array: np.ndarray):  # type: ignore[no-untyped-def]
    """[h, w] or [h, w, c] as [1, c, h, w]."""
    import torch

    channels = array if array.ndim == 3 else array[..., None]
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))[None]
