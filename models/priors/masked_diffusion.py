"""Masked diffusion over the context: an absorbing-state diffusion with a fixed order of reveals.

Hoogeboom et al. 2022, "Autoregressive diffusion models": each step reveals a part of the variables
given all that are known, at all patches at once. Here the order is fixed
(`codec.symbols.schedule`): zones of frequency, coarse to fine; each zone in three steps over
squares of the grid of patches; each step in slices of the zone's channels. So there are few steps,
each one exact to code.

    quality -> h
    for each step:   h -> block -> head -> mean, scale index -> coder -> coefficients of a slice
                           the next slice of the zone's channels  <- channel context <-
                     h <- h + embed(coefficients)

The state h sees a patch further round it with each convolution, so that later zones, which hold
most of the bits, are predicted by the deepest network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...codec.config import ModelConfig
from ...codec.symbols.schedule import context_schedule
from ...codec.symbols.walk import walk
from ..integer.fixed_point import saturate
from ..integer.layers import FloatGain
from ..integer.norms import Norm
from ..networks.passes import ContextPass
from ..networks.quantizers import BitCounter
from ..networks.step import StepNetwork
from ..qualities import Quality


class MaskedDiffusion(nn.Module):
    """The networks of the prior p(u) of the context, one `StepNetwork` a step."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.channels, self.width = config.context_channels, config.prior_width
        self.schedule = context_schedule(config)
        self.start = FloatGain(self.width)
        nn.init.normal_(self.start.knots.data[:, 1], std=0.3)
        last = len(self.schedule) - 1
        self.steps = nn.ModuleList(
            StepNetwork(self.width, step, step.number == last, (2, 2), config.prior_hidden)
            for step in self.schedule
        )

    def nothing(self, batch: int, rows: int, columns: int) -> Tensor:
        """Return zeros (B, width, h, w), carried as the networks carry their numbers."""
        return self.start.knots.new_zeros(batch, self.width, rows, columns)

    def begin(self, nothing: Tensor, quality: Tensor) -> Tensor:
        """Return the state that knows nothing but the quality: (B, width, h, w)."""
        return saturate(self.start(nothing, quality))

    def start_from(self, spread: Tensor) -> None:
        """Start scales at each coefficient's standard deviation (C,), in pixels over the gain."""
        for step, network in zip(self.schedule, self.steps, strict=True):
            assert isinstance(network, StepNetwork)
            network.start_scales(spread[step.start : step.stop])

    def bits(self, u: Tensor, quality: Quality, norm: Norm) -> Tensor:
        """Return -log2 p(u), one term a slice; see `interface.ContextPrior`."""
        counter = BitCounter()
        size = (u.shape[0], u.shape[2], u.shape[3])
        walk(ContextPass(self, norm, size, quality, u), counter)
        return torch.stack(counter.slice_bits)
