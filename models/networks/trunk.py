"""The top-down network of the latents, p(z | u): it runs on both sides, on integers only.

    context u (stride 32) -> top -> upsample to stride 8 -> h
    for each step:    h -> block -> head -> mean, scale index -> coder -> symbols
                      z = mean + symbols;   h <- h + embed(z)

p(z_1, ..., z_L | u) = prod p(z_l | z_<l, u) (DVP-VAE, eq. 11). Levels are groups of channels in
order of frequency; the first ones take two steps each, the halves of a checkerboard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from ...codec.config import LATENTS_A_SIDE, ModelConfig
from ...codec.symbols.schedule import CodingStep, latent_schedule
from ..integer.fixed_point import saturate, two_scales
from ..integer.layers import FloatConv
from ..qualities import Quality, at_patches
from .blocks import FixedBlock
from .step import StepNetwork

MEAN_UNIT = 64
"""Means and latents are multiples of 1/64 step: coarser ones would add to the distortion."""


class Trunk(nn.Module):
    """The networks of the prior p(z | u) over all latents."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.schedule = config, latent_schedule(config)
        self.stem = FloatConv(2 * config.context_channels, config.top_width, 3)
        self.top = FixedBlock(config.top_width)
        self.up = FloatConv(config.top_width, LATENTS_A_SIDE**2 * config.trunk_width, 1)
        nn.init.normal_(self.up.weight, std=0.5 / math.sqrt(config.top_width))
        last = len(self.schedule) - 1
        self.steps = nn.ModuleList(
            StepNetwork(config.trunk_width, step, step.number == last, scales=(0, 4))
            for step in self.schedule
        )

    def begin(self, context: Tensor, quality: Quality) -> Tensor:
        """Return the state before the first step.

        Args:
            context: (B, C, h, w) normalised context, activations in Q4.6.
            quality: (B,), or a map.

        Returns:
            (B, width, 4h, 4w) activations.
        """
        h = saturate(self.stem(two_scales(context.to(self.stem.weight.dtype), 2, 2)))
        h = self.up(self.top(h, at_patches(quality)))
        return saturate(F.pixel_shuffle(h, LATENTS_A_SIDE))

    def networks(self) -> Iterator[tuple[CodingStep, StepNetwork]]:
        """Yield each step with its networks."""
        for step, network in zip(self.schedule, self.steps, strict=True):
            assert isinstance(network, StepNetwork)
            yield step, network

    def start_from(self, spread: Tensor) -> None:
        """Start scales at each latent channel's standard deviation (C,), in pixels."""
        for step, network in self.networks():
            network.start_scales(spread[step.start : step.stop])
