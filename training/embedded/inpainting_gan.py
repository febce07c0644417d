"""The networks of the GAN inpainter: gated convolutions against spectrally normalised patches (Yu et al., 2019, DeepFill v2).

Gated convolutions learn for each pixel how much to use known or filled content. The network is six times smaller than the
paper's: one stage, no attention, and blocks of two by two pixels folded into channels first.
"""

import torch
import torch.nn.functional as f
from torch import Tensor, nn

from udfs.inpaint.pixel_pipeline import smooth_fill

FOLD = 2
WIDE, DEEP = 48, 64  # channels at half and at a quarter of the picture's size
DILATIONS = (1, 2, 4, 8, 2, 1)


class Gated(nn.Module):
    """A convolution that a second one gates: elu(features) * sigmoid(gate)."""

    def __init__(self, channels: int, out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.both = nn.Conv2d(channels, 2 * out, 3, stride, dilation, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] to [B, out, H / stride, W / stride]."""
        features, gate = self.both(x).chunk(2, dim=1)
        return f.elu(features) * torch.sigmoid(gate)


class Generator(nn.Module):
    """Fills holes; has the same inputs and output as LaMa."""

    def __init__(self) -> None:
        super().__init__()
        self.fold, self.unfold = nn.PixelUnshuffle(FOLD), nn.PixelShuffle(FOLD)
        self.wide = nn.Sequential(Gated(4 * FOLD**2, WIDE), Gated(WIDE, WIDE))
        self.down = Gated(WIDE, DEEP, stride=2)
        self.deep = nn.ModuleList([Gated(DEEP, DEEP, dilation=dilation) for dilation in DILATIONS])
        self.up = Gated(DEEP, WIDE)
        self.joined = Gated(2 * WIDE, WIDE)
        self.out = nn.Conv2d(WIDE, 3 * FOLD**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # training starts from the smooth fill

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Fill an image [B, 3, H, W] in 0 to 1 where the mask [B, 1, H, W] is 1; H and W are multiples of 4. Known pixels are
        returned unchanged.
        """
        smooth = smooth_fill(image * 2 - 1, mask)
        wide = self.wide(self.fold(torch.cat([smooth, mask], dim=1)))
        x = self.down(wide)
        for block in self.deep:
            x = x + block(x)
        x = f.interpolate(self.up(x), scale_factor=2.0, mode="nearest")
        x = smooth + self.unfold(self.out(self.joined(torch.cat([x, wide], dim=1))))
        return image * (1 - mask) + torch.clamp(x / 2 + 0.5, 0.0, 1.0) * mask


class Critic(nn.Module):
    """Scores patches of a picture and its hole, higher for real ones: SN-PatchGAN."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = (4, width, 2 * width, 2 * width, 2 * width)
        layers: list[nn.Module] = []
        for channels, out in zip(sizes, sizes[1:], strict=False):
            stride = 1 if len(layers) == 0 else 2
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(channels, out, 5, stride, 2)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        """Picture [B, 3, H, W] in 0 to 1 and mask [B, 1, H, W] to scores [B, n, H / 8, W / 8]."""
        return self.layers(torch.cat([picture * 2 - 1, mask], dim=1))
