"""The network of the Gaussian diffusion: a small UNet of two scales over the grid of patches.

    z_t (full grid) -> stem -> block ------------------------------ + -> block -> head
                                └─ down -> block -> block -> up ────┘

No attention (DVP-VAE, table 7). Where the diffusion stands and the quality condition every block.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..integer.fixed_point import saturate, two_scales
from ..integer.layers import FloatConv, FloatGain


class TimedBlock(nn.Module):
    """`blocks.FixedBlock`, conditioned on the progress of the diffusion as well."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = FloatConv(channels, channels, 3)
        self.by_quality = FloatGain(channels)
        self.by_progress = FloatGain(channels)
        self.conv2 = FloatConv(channels, channels, 3, input_min=0)
        self.conv2.weight.data.mul_(0.3)

    def forward(self, x: Tensor, quality: Tensor, progress: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        inner = self.by_progress(self.by_quality(self.conv1(x), quality), progress)
        return saturate(x + self.conv2(saturate(inner, low=0)))


class UNet(nn.Module):
    """Two numbers for each of C channels, at every patch.

    Args:
        channels: C, of the context.
        width: channels on the whole grid.
        inner_width: channels on the grid of half the size.
    """

    def __init__(self, channels: int, width: int, inner_width: int):
        super().__init__()
        self.stem = FloatConv(2 * channels, width, 3)
        self.before = TimedBlock(width)
        self.down = FloatConv(4 * width, inner_width, 1)
        self.inner = nn.ModuleList(TimedBlock(inner_width) for _ in range(2))
        self.up = FloatConv(inner_width, 4 * width, 1)
        self.after = TimedBlock(width)
        self.head = FloatConv(width, 2 * channels, 1)
        self.by_quality = FloatGain(2 * channels)
        self.by_progress = FloatGain(2 * channels)
        nn.init.zeros_(self.head.weight)

    def forward(self, z: Tensor, quality: Tensor, progress: Tensor) -> tuple[Tensor, Tensor]:
        """Look at noisy activations.

        Args:
            z: (B, C, h, w) activations, multiples of 1/4, in the dtype of the weights.
            quality: (B,).
            progress: (B,) in 0...100, per cent of the diffusion, 100 where all is noise. Gains
                have a row for each, as they have for qualities.

        Returns:
            (B, C, h, w) twice, in activations: one saturated, one not.
        """
        h, w = z.shape[2:]
        x = saturate(self.stem(two_scales(F.pad(z, (0, w % 2, 0, h % 2)), 2, 2)))
        x = self.before(x, quality, progress)
        y = saturate(self.down(F.pixel_unshuffle(x, 2)))
        for block in self.inner:
            y = block(y, quality, progress)
        x = saturate(x + F.pixel_shuffle(self.up(y), 2))
        x = self.after(x, quality, progress)
        out = self.by_progress(self.by_quality(self.head(x), quality), progress)
        mean, width = out[..., :h, :w].chunk(2, dim=1)
        return saturate(mean), width

    @torch.no_grad()
    def start_widths(self, by_quality: Tensor, by_progress: Tensor) -> None:
        """Start the second output at the sum of two functions.

        Args:
            by_quality: (knots, C), in units of 1 (64 activations).
            by_progress: (knots,).
        """
        assert isinstance(self.by_quality, FloatGain) and isinstance(self.by_progress, FloatGain)
        channels = by_quality.shape[1]
        self.by_quality.knots[:, 1, channels:] = by_quality
        self.by_progress.knots[:, 1, channels:] = by_progress[:, None]
