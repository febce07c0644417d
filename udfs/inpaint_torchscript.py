"""Filling holes with any TorchScript file that is called as LaMa is (Suvorov et al., 2022): ``big-lama.pt`` and its like.

``forward(image, mask)``: image float32 [B, 3, H, W] in 0 to 1, mask float32 [B, 1, H, W] of 0 and 1 (1: to fill), sides that are
multiples of 8; back comes [B, 3, H, W] in 0 to 1. Nothing is drawn at random: seed and steps are not used.

**Only from makers you trust.** A TorchScript file holds a program, and loading it runs a part of that. The program has torch's
operators and no Python, so that it is no pickle of anything at all; but those can read and write files, and a damaged archive has
brought down the loader before. The ``version`` in lineage is a hash of the file: what ran can be told afterwards.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from jobs.settings import Inpainter
from udfs.images import Rgb
from udfs.inpaint_diffusers import hole_pixels, unsquare
from udfs.lattice import Hole
from udfs.weights import version_of

MULTIPLE = 8  # LaMa halves three times


class TorchScript:
    """A scripted inpainting network on one device.

    A crop is given at its own size; one whose longer side is over ``settings.size`` is scaled down to that, and its fill up
    again. Crops differ in size, so that each is a call.
    """

    batch_size = 1

    def __init__(self, settings: Inpainter, device: str) -> None:
        """Load ``settings.weights``.

        Raises:
            ValueError: no weights named, or another precision than single. FileNotFoundError: no such file. RuntimeError: it is
            no TorchScript.
        """
        import torch

        if not settings.weights:
            raise ValueError("inpainter.weights: the torchscript inpainter needs a TorchScript file")
        if settings.dtype != "float32":
            raise ValueError(f"inpainter.dtype: a TorchScript file keeps its own precision, not {settings.dtype}")
        file = Path(settings.weights)
        if not file.is_file():
            raise FileNotFoundError(f"inpainter.weights: no file {settings.weights!r}")
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
        how = cv2.INTER_AREA if height < hole.mask.shape[0] else cv2.INTER_CUBIC
        rgb = cv2.resize(np.ascontiguousarray(hole.rgb), (width, height), interpolation=how)
        image, where = (_tensor(_padded(array)).to(self._device) for array in (rgb / np.float32(255), mask.astype(np.float32)))
        with torch.inference_mode():
            out = self._network(image, where)
        if out.shape != image.shape or not torch.isfinite(out).all():
            raise ValueError(f"the network returned {tuple(out.shape)} for {tuple(image.shape)}, or values that are no numbers")
        return unsquare(out[0, :, :height, :width].permute(1, 2, 0).float().cpu().numpy(), hole)


def _within(shape: tuple[int, ...], size: int) -> tuple[int, int]:
    """Height and width with the longer side at most ``size``."""
    scale = min(1.0, size / max(shape[:2]))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _padded(array: np.ndarray) -> np.ndarray:
    """Mirrored at the bottom and right to multiples of 8; a side that is shorter than its padding is mirrored more than once."""
    rows, columns = (-side % MULTIPLE for side in array.shape[:2])
    return np.pad(array, [(0, rows), (0, columns), *[(0, 0)] * (array.ndim - 2)], mode="symmetric")


def _tensor(array: np.ndarray):  # type: ignore[no-untyped-def]
    """[h, w] or [h, w, c] as [1, c, h, w]."""
    import torch

    channels = array if array.ndim == 3 else array[..., None]
    return torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))[None]
