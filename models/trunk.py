"""The top-down network, which both sides run: means and scales of every latent, from integers only.

    context u (stride 32) -> top -> upsample to stride 8 -> h
    for each step:    h -> block -> head -> mean, scale index -> coder -> symbols
                      z = mean + symbols;   h <- h + embed(z)

p(z_1, ..., z_L | u) = prod p(z_l | z_<l, u) (DVP-VAE, eq. 11). Levels are groups of channels in
order of frequency; the first ones take two steps each, the halves of a checkerboard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import FixedBlock
from .coders import LatentCoder
from .config import LATENTS_A_SIDE, ModelConfig
from .fixed_point import saturate, two_scales
from .leaves import FloatConv, Leaves
from .steps import BLACK, EVERYWHERE, WHITE, Part, Squares, Step, pick, place, start_scales

MEAN_UNIT = 64
"""Means and latents are multiples of 1/64 step: coarser ones would add to the distortion."""


Posterior = Callable[[int, Tensor, Tensor], Tensor]
"""q(z_l | z_<l, x) less its mean under the prior, (B, C_l, H, W) in steps, from the step's number,
the trunk's state and that mean (zero at positions that the step does not code)."""


def parts_of(config: ModelConfig) -> list[Part]:
    """Return what the steps of the top-down pass code, coarse to fine."""
    parts = []
    for level, (start, stop) in enumerate(pairwise(accumulate(config.level_channels, initial=0))):
        turns = (BLACK, WHITE) if level < config.checkerboard_levels else (EVERYWHERE,)
        parts += [Part(level, start, stop, squares) for squares in turns]
    return parts


def _residual(
    posterior: Posterior | None, step: int, h: Tensor, mean: Tensor, squares: Squares
) -> Tensor:
    assert posterior is not None, "this coder needs a posterior"
    board = place(mean / MEAN_UNIT, squares, *h.shape[2:])
    return pick(posterior(step, h, board), squares)


class Trunk(nn.Module):
    """Prior p(z | u) over all latents, and the one walk over its levels."""

    def __init__(self, config: ModelConfig, leaves: Leaves):
        super().__init__()
        self.parts = parts_of(config)
        self.latent_channels = config.latent_channels
        self.stem = leaves.conv(2 * config.context_channels, config.top_width, 3)
        self.top = FixedBlock(config.top_width, leaves)
        self.up = leaves.conv(config.top_width, LATENTS_A_SIDE**2 * config.trunk_width, 1)
        if isinstance(self.up, FloatConv):
            nn.init.normal_(self.up.weight, std=0.5 / math.sqrt(config.top_width))
        last = len(self.parts) - 1
        self.steps = nn.ModuleList(
            Step(config.trunk_width, part, i == last, leaves, scales=(0, 4))
            for i, part in enumerate(self.parts)
        )

    def start_from(self, spread: Tensor) -> None:
        """Start scales at each latent channel's standard deviation (C,), in pixels."""
        for part, step in zip(self.parts, self.steps, strict=True):
            assert isinstance(step, Step)
            start_scales(step.head_gain, spread[part.start : part.stop])

    def walk(
        self,
        context: Tensor,
        quality: Tensor,
        coder: LatentCoder,
        reconstruct: Callable[[Tensor, Tensor], Tensor],
        posterior: Posterior | None = None,
    ) -> Tensor:
        """Go down the levels once; the coder decides what happens at each.

        Args:
            context: (B, C, h, w) normalised context, activations in Q4.6.
            quality: (B,).
            coder: gives the symbols of each level.
            reconstruct: gives how far from the middle of its interval a latent is shown, in steps,
                of scale indices and symbols.
            posterior: only for coders that ask.

        Returns:
            (B, latent_channels, 4h, 4w) latents in steps.
        """
        h = saturate(self.stem(two_scales(context.to(self.stem.weight.dtype), 2, 2)))
        h = self.up(self.top(h, quality))
        h = saturate(F.pixel_shuffle(h, LATENTS_A_SIDE))
        latents = h.new_zeros(h.shape[0], self.latent_channels, *h.shape[2:], dtype=torch.float32)
        for number, (part, step) in enumerate(zip(self.parts, self.steps, strict=True)):
            assert isinstance(step, Step)
            h, _, raw = step.begin(h, quality)
            mean, index = step.foresee(raw, quality)
            residual = partial(_residual, posterior, number, h, mean, part.squares)
            symbols = coder.code(part.level, index, residual)
            z = symbols * MEAN_UNIT + mean
            shown = z / MEAN_UNIT + reconstruct(index, symbols)
            board = place(shown, part.squares, *h.shape[2:])
            latents[:, part.start : part.stop] += board
            h = step.learn(h, z)
        return latents
