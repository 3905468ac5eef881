"""The decoder's float side: pixels from the context and all latents (DVP-VAE, eq. 18)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...codec.config import LATENT_STRIDE, ModelConfig
from ..qualities import Quality, as_map, at_fine, at_latents, upsampled
from .analysis import PIXEL_SCALE
from .blocks import Block, zero_conv
from .dct import LatentDct, block_dct_weight, full_precision


class Synthesis(nn.Module):
    """Inverse transform of the latents plus a learned correction; it sees no trunk features.

    The correction sees the context as 8x8 blocks of its image.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.dct = config, LatentDct(config)
        coarse, fine = config.synthesis_widths
        blocks_coarse, blocks_fine = config.synthesis_blocks
        weight = block_dct_weight(config.latent_channels).T
        self.skeleton = nn.Parameter(weight[..., None, None].contiguous())
        self.stem = nn.Conv2d(config.latent_channels + 3 * LATENT_STRIDE**2, coarse, 1)
        self.coarse = nn.ModuleList(Block(coarse) for _ in range(blocks_coarse))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.ModuleList(Block(fine) for _ in range(blocks_fine))
        self.head = zero_conv(fine, 48, 1)

    def forward(self, context_image: Tensor, coefficients: Tensor, quality: Quality) -> Tensor:
        """Synthesise an image.

        Args:
            context_image: (B, 3, H, W), what the context alone decodes to, YCbCr about zero.
            coefficients: (B, C, H/8, W/8) dequantised latents in pixels.
            quality: (B,), or a map.

        Returns:
            (B, 3, H, W) YCbCr about zero, float32, not clamped.
        """
        with full_precision(coefficients):
            blocks = F.conv2d(coefficients, self.skeleton)
            linear = context_image + F.pixel_shuffle(blocks, LATENT_STRIDE)
        seen = torch.cat([coefficients, F.pixel_unshuffle(context_image, LATENT_STRIDE)], dim=1)
        x = self.stem(seen * PIXEL_SCALE)
        for block in self.coarse:
            x = block(x, at_latents(quality))
        x = F.pixel_shuffle(self.up(x), 2)
        for block in self.fine:
            x = block(x, at_fine(quality))
        learned = linear + F.pixel_shuffle(self.head(x), 4).float() / PIXEL_SCALE
        if not self.config.is_open:
            return learned
        share = self.config.learned_share(upsampled(as_map(at_fine(quality)), 4).float())
        return torch.lerp(context_image + self.dct.synthesise(coefficients), learned, share)
