"""The top-down network, which both sides run: means and scales of every latent, from integers only.

    context u (stride 32) -> top -> upsample to stride 8 -> h
    for each level:   h -> block -> head -> mean, scale index -> coder -> symbols
                      z = mean + symbols;   h <- h + embed(z)

p(z_1, ..., z_L | u) = prod p(z_l | z_<l, u) (DVP-VAE, eq. 11). Levels are groups of channels in
order of frequency; the first groups are coded in two half steps on a checkerboard (He et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import FixedBlock
from .coders import SCALE_MAX, SCALE_MIN, SCALES, LatentCoder
from .config import LATENTS_A_SIDE, ModelConfig
from .fixed_point import KNOTS, UNIT, saturate, two_scales
from .leaves import FloatConv, FloatGain, Leaves
from .quality import QUALITIES, step_of

MEAN_UNIT = 64
"""Means and latents are multiples of 1/64 step: coarser ones would add to the distortion."""

INDEX_UNIT = 4
"""A scale index is a head's output divided by 4."""


Posterior = Callable[[int, Tensor], Tensor]
"""q(z_l | z_<l, x) in steps, (B, C_l, H, W), from the level's number and the trunk's state."""


class Level(NamedTuple):
    """One step of the pass: a slice of channels, at all positions or at half of them."""

    start: int
    stop: int
    parity: int | None


def levels_of(config: ModelConfig) -> list[Level]:
    """Return the steps of the top-down pass, coarse to fine."""
    levels, start = [], 0
    for group, channels in enumerate(config.level_channels):
        parities = (0, 1) if group < config.checkerboard_groups else (None,)
        levels += [Level(start, start + channels, parity) for parity in parities]
        start += channels
    return levels


def _squares(height: int, width: int, parity: int, device: torch.device) -> Tensor:
    """Return the (n,) flat positions of one colour of the checkerboard; n may be 0."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return ((rows[:, None] + columns) % 2 == parity).flatten().nonzero()[:, 0]


def pick(x: Tensor, parity: int | None) -> Tensor:
    """Gather one colour of the checkerboard, or all: (B, C, H, W) -> (B, C, n)."""
    if parity is None:
        return x.flatten(2)
    return x.flatten(2)[..., _squares(x.shape[2], x.shape[3], parity, x.device)]


def place(x: Tensor, parity: int | None, height: int, width: int) -> Tensor:
    """The inverse of `pick`, with zeros on the other colour: (B, C, n) -> (B, C, H, W)."""
    if parity is None:
        return x.unflatten(2, (height, width))
    board = x.new_zeros(*x.shape[:2], height * width)
    board[..., _squares(height, width, parity, x.device)] = x
    return board.unflatten(2, (height, width))


class TrunkLevel(nn.Module):
    """The networks of one step: a block, a head, and the way back of the coded latents."""

    def __init__(self, config: ModelConfig, level: Level, last: bool, leaves: Leaves):
        super().__init__()
        channels, width = level.stop - level.start, config.trunk_width
        self.block = FixedBlock(width, leaves)
        self.head = leaves.conv(width, 2 * channels, 1)
        self.head_gain = leaves.gain(2 * channels)
        self.embed = None if last else leaves.conv(2 * channels, width, 3)
        if isinstance(self.head, FloatConv):
            start_head(self.head)
        if isinstance(self.embed, FloatConv):
            nn.init.normal_(self.embed.weight, std=0.5 / math.sqrt(channels * 9))


def start_head(head: FloatConv) -> None:
    """Start a head at means of zero, and at scales that hardly depend on its input."""
    means, indices = head.weight.data.chunk(2)
    nn.init.zeros_(means)
    nn.init.normal_(indices, std=0.002)


def start_scales(gain: nn.Module, spread: Tensor) -> None:
    """Start a head's scales at `spread` (C,) pixels over the step, at every quality."""
    assert isinstance(gain, FloatGain)
    steps = step_of(torch.linspace(0, QUALITIES - 1, KNOTS))
    index = torch.log(spread / steps[:, None] / SCALE_MIN) / math.log(SCALE_MAX / SCALE_MIN)
    index = (index * (SCALES - 1)).clamp(4, SCALES - 4)
    gain.knots[:, 1, len(spread) :] = index * (INDEX_UNIT / UNIT)


def split_head(params: Tensor) -> tuple[Tensor, Tensor]:
    """Split a head's output into means (activations) and scale indices (0...63).

    In training a tenth of the gradient passes a saturated index, or it could never come back.
    """
    mean, index = params.chunk(2, dim=1)
    inside = index.clamp(0, (SCALES - 1) * INDEX_UNIT)
    if index.requires_grad:
        beyond = 0.1 * (index - inside)
        inside = inside + (beyond - beyond.detach())
    return saturate(mean), inside / INDEX_UNIT


def _residual(
    posterior: Posterior | None, number: int, h: Tensor, parity: int | None, mean: Tensor
) -> Tensor:
    assert posterior is not None, "this coder needs a posterior"
    return pick(posterior(number, h), parity) - mean / MEAN_UNIT


class Trunk(nn.Module):
    """Prior p(z | u) over all latents, and the one walk over its levels."""

    def __init__(self, config: ModelConfig, leaves: Leaves):
        super().__init__()
        self.levels = levels_of(config)
        self.latent_channels = config.latent_channels
        self.stem = leaves.conv(2 * config.context_channels, config.top_width, 3)
        self.top = FixedBlock(config.top_width, leaves)
        self.up = leaves.conv(config.top_width, LATENTS_A_SIDE**2 * config.trunk_width, 1)
        if isinstance(self.up, FloatConv):
            nn.init.normal_(self.up.weight, std=0.5 / math.sqrt(config.top_width))
        last = len(self.levels) - 1
        self.steps = nn.ModuleList(
            TrunkLevel(config, level, i == last, leaves) for i, level in enumerate(self.levels)
        )

    @torch.no_grad()
    def start_from(self, spread: Tensor) -> None:
        """Start scales at each latent channel's standard deviation (C,), in pixels."""
        for level, step in zip(self.levels, self.steps, strict=True):
            assert isinstance(step, TrunkLevel)
            start_scales(step.head_gain, spread[level.start : level.stop])

    def walk(
        self,
        context: Tensor,
        quality: Tensor,
        coder: LatentCoder,
        posterior: Posterior | None = None,
    ) -> Tensor:
        """Go down the levels once; the coder decides what happens at each.

        Args:
            context: (B, C, h, w) normalised context, activations in Q4.6.
            quality: (B,).
            coder: gives the symbols of each level.
            posterior: only for coders that ask.

        Returns:
            (B, latent_channels, 4h, 4w) latents in steps.
        """
        h = saturate(self.stem(two_scales(context.to(self.stem.weight.dtype), 2, 2)))
        h = self.up(self.top(h, quality))
        h = saturate(F.pixel_shuffle(h, LATENTS_A_SIDE))
        latents = h.new_zeros(h.shape[0], self.latent_channels, *h.shape[2:], dtype=torch.float32)
        for number, (level, step) in enumerate(zip(self.levels, self.steps, strict=True)):
            assert isinstance(step, TrunkLevel)
            h = step.block(h, quality)
            mean, index = split_head(step.head_gain(step.head(h), quality))
            mean, index = pick(mean.float(), level.parity), pick(index.float(), level.parity)
            residual = partial(_residual, posterior, number, h, level.parity, mean)
            symbols = coder.code(number, index, residual)
            z = place(symbols * MEAN_UNIT + mean, level.parity, *h.shape[2:])
            latents[:, level.start : level.stop] += z / MEAN_UNIT
            if step.embed is not None:
                h = saturate(h + step.embed(two_scales(z.to(h.dtype), 0, 4)))
        return latents
