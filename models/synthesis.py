"""The decoder's float side: pixels from the context and all latents (DVP-VAE, eq. 18)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .analysis import PIXEL_SCALE
from .blocks import Block, zero_conv
from .config import LATENT_STRIDE, LATENTS_A_SIDE, ModelConfig
from .dct import ContextDct, block_dct_weight, full_precision


class Synthesis(nn.Module):
    """Inverse transform of the latents plus a learned correction; it sees no trunk features.

    The correction sees the context as 8x8 blocks of its image. What its first filters make of them
    is linear in the context's coefficients, which are fewer: so it is computed at stride 32.
    """

    blocks: Tensor  # (C, 192, 4, 4), of the image of each context coefficient

    def __init__(self, config: ModelConfig):
        super().__init__()
        coarse, fine = config.synthesis_widths
        blocks_coarse, blocks_fine = config.synthesis_blocks
        weight = block_dct_weight(config.latent_channels).T
        self.skeleton = nn.Parameter(weight[..., None, None].contiguous())
        dct = ContextDct(config)
        images = dct.synthesise(torch.eye(config.context_channels)[..., None, None])
        self.register_buffer("blocks", F.pixel_unshuffle(images, LATENT_STRIDE), persistent=False)
        self.stem = nn.Conv2d(config.latent_channels + self.blocks.shape[1], coarse, 1)
        self.coarse = nn.ModuleList(Block(coarse) for _ in range(blocks_coarse))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine = nn.ModuleList(Block(fine) for _ in range(blocks_fine))
        self.head = zero_conv(fine, 48, 1)

    def forward(
        self, context: Tensor, context_image: Tensor, coefficients: Tensor, quality: Tensor
    ) -> Tensor:
        """Synthesise an image.

        Args:
            context: (B, C, H/32, W/32) coefficients in pixels.
            context_image: (B, 3, H, W), what they alone decode to, YCbCr about zero.
            coefficients: (B, C', H/8, W/8) dequantised latents in pixels.
            quality: (B,).

        Returns:
            (B, 3, H, W) YCbCr about zero, float32, not clamped.
        """
        with full_precision(coefficients):
            blocks = F.conv2d(coefficients, self.skeleton)
            linear = context_image + F.pixel_shuffle(blocks, LATENT_STRIDE)
        x = self._stem(context * PIXEL_SCALE, coefficients * PIXEL_SCALE)
        for block in self.coarse:
            x = block(x, quality)
        x = F.pixel_shuffle(self.up(x), 2)
        for block in self.fine:
            x = block(x, quality)
        return linear + F.pixel_shuffle(self.head(x), 4).float() / PIXEL_SCALE

    def _stem(self, context: Tensor, latents: Tensor) -> Tensor:
        """Return `stem` of the latents and of the context's blocks: (B, coarse, H/8, W/8)."""
        of_latents, of_blocks = self.stem.weight.split([latents.shape[1], self.blocks.shape[1]], 1)
        of_context = torch.einsum("oi,ciyx->oyxc", of_blocks[..., 0, 0], self.blocks)
        x = F.conv2d(context, of_context.flatten(0, 2)[..., None, None])
        return F.pixel_shuffle(x, LATENTS_A_SIDE) + F.conv2d(latents, of_latents, self.stem.bias)
