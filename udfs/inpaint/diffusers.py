"""Filling holes with any inpainting pipeline of diffusers: Stable Diffusion, SDXL, Flux, Kandinsky, ...

Weights are a local folder or a hub name, and safetensors only; code that a repository may carry is never run. The project's own
small pipeline (``udfs.inpaint.pixel_pipeline``) is recognised by its class name.
"""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udfs.images import Rgb
from udfs.inpaint.lattice import Hole
from udfs.inpaint.settings import InpainterSettings
from udfs.masks import Mask
from udfs.weights import version_of


class Diffusers:
    """An inpainting pipeline on one device."""

    def __init__(self, settings: InpainterSettings, device: str) -> None:
        """Load ``settings.weights``.

        Raises:
            ValueError: no weights are named, they are no inpainting pipeline, or the model cannot take ``settings.size``.
            OSError: there are no safetensors.
        """
        import torch
        from diffusers import AutoPipelineForInpainting, DiffusionPipeline
        from diffusers.utils.logging import disable_progress_bar

        from udfs.inpaint.pixel_pipeline import PixelInpaintPipeline

        if not settings.weights:
            raise ValueError("inpainter.weights is empty: the diffusers inpainter needs a folder or a hub name")
        folder = Path(settings.weights)
        if not folder.is_dir():
            folder = Path(DiffusionPipeline.download(settings.weights, use_safetensors=True))
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        # A safety checker blackens images that it suspects, and a black hole would pass for a fill. The prompt comes from the
        # settings, not from users.
        unchecked: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
        options = {name: value for name, value in unchecked.items() if name in index}
        disable_progress_bar()  # of loading; each worker would draw its own
        is_pixel_pipeline = index["_class_name"] == PixelInpaintPipeline.__name__
        kind: Any = PixelInpaintPipeline if is_pixel_pipeline else AutoPipelineForInpainting
        pipeline = kind.from_pretrained(str(folder), dtype=getattr(torch, settings.dtype), use_safetensors=True, **options)
        multiple = int(getattr(pipeline, "vae_scale_factor", 8))
        if settings.size % multiple:
            raise ValueError(f"inpainter.size is {settings.size}, and this model needs a multiple of {multiple}")
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)
        self._settings = settings
        self.name = settings.weights if not Path(settings.weights).is_dir() else folder.name
        self.version = version_of(str(folder))
        self.batch_size = settings.batch_size

    def __call__(self, holes: Sequence[Hole]) -> list[Rgb]:
        """Fill the holes in one batch.

        The noise of each hole comes from its own seed and is drawn on the CPU, so that it is the same on any device.
        """
        import torch
        from PIL import Image

        side = self._settings.size
        count = len(holes)
        arguments = {
            "prompt": [self._settings.prompt] * count,
            "negative_prompt": [self._settings.negative_prompt] * count,
            "image": [Image.fromarray(square(hole.rgb, side)) for hole in holes],
            "mask_image": [Image.fromarray(square_mask(hole.mask, side)) for hole in holes],
            "height": side,
            "width": side,
            "strength": 1.0,  # start from pure noise: nothing of the removed object may steer the fill
            "num_inference_steps": self._settings.steps,
            "guidance_scale": self._settings.guidance,
            "generator": [torch.Generator("cpu").manual_seed(hole.seed) for hole in holes],
            "output_type": "np",
        }
        # Pipelines differ in their parameters: Flux, for one, has no negative prompt.
        parameters = inspect.signature(self._pipeline.__call__).parameters
        with torch.inference_mode():
            output = self._pipeline(**{name: value for name, value in arguments.items() if name in parameters})
        painted = np.asarray(output.images, dtype=np.float32)
        if painted.shape[0] != count or not np.isfinite(painted).all():
            raise ValueError(f"the pipeline returned {painted.shape[0]} images for {count}, or values that are no numbers")
        return [unsquare(image, hole) for image, hole in zip(painted, holes, strict=True)]


def square(rgb: Rgb, side: int) -> Rgb:
    """A crop at the size that the model takes, uint8 [side, side, 3]."""
    interpolation = cv2.INTER_AREA if max(rgb.shape[:2]) > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (side, side), interpolation=interpolation), dtype=np.uint8)


def square_mask(mask: Mask, side: int) -> Rgb:
    """The crop's hole at that size, uint8 [side, side] of 0 and 255."""
    return np.where(hole_pixels(mask, side, side), 255, 0).astype(np.uint8)


def hole_pixels(mask: Mask, height: int, width: int) -> Mask:
    """A hole at another size, bool [height, width].

    A pixel is true if any part of it lies in the hole: a pixel that is half object would show the object to the model.
    """
    interpolation = cv2.INTER_AREA if max(mask.shape) > max(height, width) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=interpolation) > 0)


def unsquare(image: np.ndarray, hole: Hole) -> Rgb:
    """A model's fill, float [h, w, 3] in 0 to 1, as uint8 at the size of its crop."""
    height, width = hole.mask.shape
    interpolation = cv2.INTER_AREA if max(height, width) < max(image.shape[:2]) else cv2.INTER_CUBIC
    scaled = cv2.resize(image, (width, height), interpolation=interpolation)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
