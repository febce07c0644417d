"""An inpainting pipeline in diffusers' format that works on pixels: no autoencoder, no text, a few megabytes.

The network is diffusers' own ``UNet2DModel``. Its input is the noisy hole (3 channels), the image with a smooth fill in its hole
(3) and the mask (1). It predicts the difference of the clean image from that fill (``prediction_type: sample``). The first step,
from pure noise, therefore estimates the mean of all fills that fit: the fill of least squared error, a little soft. More steps by
DDIM (Song et al., 2021, eq. 12 at eta 0) lead from there towards a single sharp sample.
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

CHANNELS, KNOWN = 3, 4  # channels of the image; channels that the network gets beside the noisy image: filled image and mask


class PixelInpaintPipeline(DiffusionPipeline):
    """Fills holes in small crops.

    Args:
        unet: the network, with ``7 p p`` channels in and ``3 p p`` out: squares of ``p`` by ``p`` pixels are folded into channels
            (``pixel_unshuffle``), so that a network of the same cost sees ``p`` times as far.
        scheduler: of prediction type ``sample``, with ``trailing`` steps, so that the first step begins at pure noise.

    Raises:
        ValueError: the network's channels fit no ``p``, or the scheduler is of another kind.
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
        # diffusers' name for the number that sides must be multiples of.
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
            image: images as ``VaeImageProcessor`` reads them: PIL, arrays [B, H, W, 3] or tensors [B, 3, H, W] in 0 to 1.
            mask_image: a mask for each image; the hole is where it is over a half.
            height: height of the fills in pixels, a multiple of ``vae_scale_factor``; images of another size are scaled.
            width: width of the fills, likewise.
            num_inference_steps: calls of the network; 1 gives the mean fill.
            generator: source of the noise: a single generator, or one for each image.
            output_type: ``pil``, ``np`` (float32 [B, H, W, 3] in 0 to 1) or ``pt``.

        Returns:
            ``images``, unchanged outside the hole.
        """
        device, dtype = self._execution_device, self.unet.dtype
        known = self.image_processor.preprocess(image, height, width).to(device, dtype)
        mask = self.mask_processor.preprocess(mask_image, height, width).to(device, dtype)
        filled = randn_tensor(known.shape, generator=generator, device=device, dtype=dtype)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        for step in self.progress_bar(self.scheduler.timesteps):
            clean = predict(self.unet, filled, known, mask, step)
            filled = self.scheduler.step(clean, step, filled).prev_sample
        composed = (known * (1 - mask) + filled * mask).float()
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=self.image_processor.postprocess(composed.cpu(), output_type=output_type))


def predict(unet: Any, noisy: torch.Tensor, image: torch.Tensor, mask: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """The network's estimate of the clean image, [B, 3, H, W] in -1 to 1; meaningful only inside the mask.

    Args:
        unet: UNet2DModel, as ``PixelInpaintPipeline`` takes it.
        noisy: the image at the noise of ``steps``, [B, 3, H, W].
        image: the known image, [B, 3, H, W] in -1 to 1; its content inside the mask is ignored.
        mask: 1 in the hole and 0 outside, [B, 1, H, W].
        steps: the scheduler's time steps, int64: a scalar or [B].
    """
    fold = round((unet.config.out_channels / CHANNELS) ** 0.5)
    smooth = smooth_fill(image, mask)
    # The known pixels go in once, without noise: there is nothing to clean in them.
    inputs = torch.cat([noisy * mask, smooth, mask], dim=1)
    return smooth + nn.pixel_shuffle(unet(nn.pixel_unshuffle(inputs, fold), steps).sample, fold)


def smooth_fill(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The image, its hole filled with averages of the known pixels around (pull-push; Gortler et al., 1996, section 3.3).

    Args:
        image: [B, C, H, W]; its content inside the mask is ignored.
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
        # A pixel that is known at least in half counts as known, so that borders do not fade on the way down.
        share = weights[i].clamp(min=1e-6)
        sure = (2 * weights[i]).clamp(max=1.0)
        out = sure * colours[i] / share + (1 - sure) * wider
    return out
