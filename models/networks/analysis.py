"""The encoder's side: features of the image, and the posterior of each level. Float, never decoded.

x - context -> 8x8 DCT (linear skeleton) ---------------------------> q_l of every level
x -> stride 4 -> stride 8 -> features --+
                   trunk's state h -----+-> posterior head l -> correction of q_l
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...codec.config import LATENT_STRIDE, ModelConfig
from ...codec.symbols.fixed_point import UNIT
from ...codec.symbols.schedule import CodingStep
from ..qualities import Quality, as_map, at_fine, at_latents
from .blocks import Block, zero_conv
from .dct import LatentDct, block_dct_weight, full_precision

PIXEL_SCALE = 1 / 64
"""Pixels and coefficients enter float networks divided by 64, about one standard deviation."""


class Analysis(nn.Module):
    """Bottom-up network: features at stride 8, and the residual's linear coefficients."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.dct = config, LatentDct(config)
        fine, coarse = config.analysis_widths
        blocks_fine, blocks_coarse = config.analysis_blocks
        self.skeleton = nn.Parameter(block_dct_weight(config.latent_channels)[..., None, None])
        self.stem = nn.Conv2d(48, fine, 3, padding=1)
        self.fine = nn.ModuleList(Block(fine) for _ in range(blocks_fine))
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.linear = nn.Conv2d(config.latent_channels, coarse, 1)
        self.coarse = nn.ModuleList(Block(coarse) for _ in range(blocks_coarse))

    def forward(
        self, ycbcr: Tensor, context_image: Tensor, quality: Quality
    ) -> tuple[Tensor, Tensor]:
        """Analyse an image.

        Args:
            ycbcr: (B, 3, H, W) in pixels about zero.
            context_image: (B, 3, H, W), what the context alone decodes to.
            quality: (B,), or a map.

        Returns:
            features (B, F, H/8, W/8), and the coefficients (B, C, H/8, W/8) of the residual in
            pixels, orthonormal, float32.
        """
        residual = ycbcr - context_image
        coefficients = self.coefficients(residual)
        x = self.stem(F.pixel_unshuffle(ycbcr * PIXEL_SCALE, 4))
        for block in self.fine:
            x = block(x, at_fine(quality))
        x = self.down(F.pixel_unshuffle(x, 2)) + self.linear(coefficients * PIXEL_SCALE)
        for block in self.coarse:
            x = block(x, at_latents(quality))
        if self.config.is_open:
            share = self.config.learned_share(as_map(at_latents(quality)).float())
            coefficients = torch.lerp(self.dct.analyse(residual), coefficients, share)
        return x, coefficients

    def coefficients(self, residual: Tensor) -> Tensor:
        """Transform what the context leaves: (B, 3, H, W) -> (B, C, H/8, W/8), float32."""
        with full_precision(residual):
            return F.conv2d(F.pixel_unshuffle(residual, LATENT_STRIDE), self.skeleton)


class LatentPosterior(nn.Module):
    """The head of q(z_l | z_<l, x) of one step, a correction to the linear coefficients.

    It moves the residual, and it draws residuals nearer to zero: a dead zone that is as wide as
    image, state and quality say, for a symbol that is hardly worth its bits.
    """

    def __init__(self, config: ModelConfig, step: CodingStep):
        super().__init__()
        width, channels = config.posterior_width, step.stop - step.start
        self.conv1 = nn.Conv2d(config.analysis_widths[1] + config.trunk_width, width, 3, padding=1)
        self.conv2 = zero_conv(width, channels)
        self.shrink = zero_conv(width, channels, 1)

    def forward(self, features: Tensor, h: Tensor, residual: Tensor) -> Tensor:
        """Correct the residual of a step.

        Args:
            features: (B, F, H, W) of the analysis.
            h: (B, T, H, W), the trunk's state, activations.
            residual: (B, C_l, H, W), linear coefficients less their means, in steps.

        Returns:
            (B, C_l, H, W) float32, in steps.
        """
        x = self.conv1(torch.cat([features, (h / UNIT).to(features.dtype)], dim=1))
        x = F.leaky_relu(x, 0.1)
        residual = residual + self.conv2(x).float()
        return residual - self.shrink(x).float() * residual.clamp(-1, 1)
