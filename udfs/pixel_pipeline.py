"""An inpainting pipeline in diffusers' format that works on pixels: no autoencoder, no text, a few megabytes.

The network is diffusers' own ``UNet2DModel``. It is given the noisy hole (3 channels), the image with a smooth fill in its hole
(3) and the mask (1), and predicts what the clean image is beyond that fill (``prediction_type: sample``). Its first step, from
pure noise, is then an estimate of the mean of all fills that fit: the fill of least squared error, a little soft. More steps by
DDIM (Song et al., 2021, eq. 12 at eta 0) go on from there towards one sharp sample.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as nn
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.utils.torch_utils import randn_tensor

CHANNELS, KNOWN = 3, 4  # of the image; what the network is told beside the noisy image: image and mask


class PixelInpaintPipeline(DiffusionPipeline):
    """Fills holes in small crops.

    Args:
        unet: with ``7 p p`` channels in and ``3 p p`` out: squares of ``p`` by ``p`` pixels are folded into channels
            (``pixel_unshuffle``), which makes a network of the same cost see ``p`` times as far.
        scheduler: of prediction type ``sample``, with ``trailing`` steps, so that the first one begins at pure noise.

    Raises:
        ValueError: channels that fit no ``p``, or a scheduler of another kind.
    """

    def __init__(self, unet: UNet2DModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        shape: Any = unet.config
        steps: Any = scheduler.config
        self.fold = round((shape.out_channels / CHANNELS) ** 0.5)
        wanted = (CHANNELS + KNOWN) * self.fold**2, CHANNELS * self.fold**2
        if (shape.in_channels, shape.out_channels) != wanted:
            raise ValueError(f"the network has {shape.in_channels} channels in and {shape.out_channels} out")
        if (steps.prediction_type, steps.timestep_spacing) != ("sample", "trailing"):
            raise ValueError("the scheduler must predict samples, in trailing steps")
        # diffusers' name for the number that sides are multiples of.
        self.vae_scale_factor = self.fold * 2 ** (len(shape.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.mask_processor = VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor, do_normalize=False, do_binarize=True, do_convert_grayscale=True
        )

    @torch.no_grad()
    def __call__(
        self,
        image: Sequence[Any],
        mask_image: Sequence[Any],
        height: int,
        width: int,
        num_inference_steps: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Fill the holes of a batch.

        Args:
            image: what ``VaeImageProcessor`` reads: PIL images, arrays [B, H, W, 3] or tensors [B, 3, H, W] in 0 to 1.
            mask_image: as many, the hole where they are over a half.
            height: of the fills in pixels, a multiple of ``vae_scale_factor``; images of another size are scaled.
            width: the same.
            num_inference_steps: calls of the network; 1 gives the mean fill.
            generator: of the noise, one, or one for each image.
            output_type: ``pil``, ``np`` (float32 [B, H, W, 3] in 0 to 1) or ``pt``.

        Returns:
            ``images``; outside the hole they are as they came.
        """
        device, dtype = self._execution_device, self.unet.dtype
        known = self.image_processor.preprocess(image, height, width).to(device, dtype)
        mask = self.mask_processor.preprocess(mask_image, height, width).to(device, dtype)
        filled = randn_tensor(known.shape, generator=generator, device=device, dtype=dtype)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        for step in self.progress_bar(self.scheduler.timesteps):
            clean = predict(self.unet, filled, known, mask, step)
            filled = self.scheduler.step(clean, step, filled).prev_sample
        done = (known * (1 - mask) + filled * mask).float()
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=self.image_processor.postprocess(done.cpu(), output_type=output_type))


def predict(unet: Any, noisy: torch.Tensor, image: torch.Tensor, mask: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """The clean image as the network sees it, [B, 3, H, W] in -1 to 1; meaningful inside the mask only.

    Args:
        unet: UNet2DModel, as ``PixelInpaintPipeline`` takes it.
        noisy: the image at the noise of ``steps``, [B, 3, H, W].
        image: what is known, [B, 3, H, W] in -1 to 1; what it holds inside the mask is not looked at.
        mask: 1 in the hole and 0 outside, [B, 1, H, W].
        steps: of the scheduler, int64, one or [B].
    """
    fold = round((unet.config.out_channels / CHANNELS) ** 0.5)
    smooth = smooth_fill(image, mask)
    # The known pixels are given once, without noise: there is nothing to clean in them.
    seen = torch.cat([noisy * mask, smooth, mask], dim=1)
    return smooth + nn.pixel_shuffle(unet(nn.pixel_unshuffle(seen, fold), steps).sample, fold)


def smooth_fill(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The image with averages of what is known around its hole in it (pull-push; Gortler et al., 1996, section 3.3).

    Args:
        image: [B, C, H, W]; what it holds inside the mask is not looked at.
        mask: 1 in the hole and 0 outside, [B, 1, H, W].
    """
    known = 1 - mask
    colours, weights = [image * known], [known]
    while max(colours[-1].shape[2], colours[-1].shape[3]) > 1:
        colours.append(nn.avg_pool2d(colours[-1], 2, ceil_mode=True))
        weights.append(nn.avg_pool2d(weights[-1], 2, ceil_mode=True))
    out = colours[-1] / weights[-1].clamp(min=1e-6)
    for i in range(len(colours) - 2, -1, -1):
        wider = nn.interpolate(out, size=colours[i].shape[2:], mode="bilinear", align_corners=False)
        # Known at least in half: taken as known, so that a border does not fade on the way down.
        share = weights[i].clamp(min=1e-6)
        sure = (2 * weights[i]).clamp(max=1.0)
        out = sure * colours[i] / share + (1 - sure) * wider
    return out
