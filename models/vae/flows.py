"""Inverse autoregressive flow for posteriors (Kingma 2016; notes, eq. 4 to 8).

    z_t = v z_t-1 + (1 - v) m,    v = sigmoid(s),    log q(z_t) = log q(z_t-1) - sum log v

m and s of a unit see only the units before it, so the Jacobian is triangular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..distributions import Normal

FORGET_BIAS = 2.0
"""Added to s: a step begins near the identity."""


class MaskedLinear(nn.Linear):
    """A dense layer with some weights held at zero."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        return functional.linear(x, self.weight * self.mask, self.bias)


class DenseStep(nn.Module):
    """One step over (B, M), by a masked network of one hidden layer (MADE, Germain 2015)."""

    def __init__(self, units: int, hidden: int):
        super().__init__()
        place = torch.arange(units)
        degree = torch.arange(hidden) % max(units - 1, 1)
        # A hidden unit of degree k sees units 0 ... k; output j sees hidden units of degree < j.
        self.first = MaskedLinear((place[None] <= degree[:, None]).float())
        seen = (degree[None] < place[:, None]).float()
        self.second = MaskedLinear(seen.repeat(2, 1))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Z (B, M) -> m and s, (B, M) each."""
        m, s = self.second(functional.elu(self.first(z))).chunk(2, dim=1)
        return m, s


class MaskedConv(nn.Conv2d):
    """A 3x3 convolution that sees, in raster order, the pixels before and perhaps the same one."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, itself: bool, side: int = 3):
        super().__init__(inputs, outputs, side, padding=side // 2)
        mask = torch.zeros(side, side)
        mask[: side // 2] = 1
        mask[side // 2, : side // 2 + int(itself)] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class ConvStep(nn.Module):
    """One step over (B, c, h, w) in raster order; the channels of a pixel do not see each other."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.first = MaskedConv(channels, hidden, itself=False)
        self.second = MaskedConv(hidden, hidden, itself=True)
        self.third = MaskedConv(hidden, 2 * channels, itself=True)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Z (B, c, h, w) -> m and s of its shape."""
        h = functional.elu(self.first(z))
        m, s = self.third(functional.elu(self.second(h))).chunk(2, dim=1)
        return m, s


class Flow(nn.Module):
    """Several steps; the order of the units is turned round between them."""

    def __init__(self, shape: tuple[int, ...], steps: int, hidden: int):
        super().__init__()
        self.steps = nn.ModuleList(
            DenseStep(shape[0], hidden) if len(shape) == 1 else ConvStep(shape[0], hidden)
            for _ in range(steps)
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Z (B, ...) -> the last z, and the log determinant of each sample, (B,)."""
        total = z.new_zeros(z.shape[0])
        dims: Sequence[int] = range(1, z.dim()) if z.dim() == 2 else (2, 3)
        for step in self.steps:
            m, s = step(z)
            s = s + FORGET_BIAS
            v = torch.sigmoid(s)
            z = (v * z + (1 - v) * m).flip(tuple(dims))
            total = total + functional.logsigmoid(s).flatten(1).sum(1)
        return z, total


@dataclass(frozen=True)
class FlowPosterior:
    """A Gaussian pushed through a flow."""

    start: Normal
    flow: Flow
    gaussian: Normal | None = None

    @property
    def mean(self) -> Tensor:
        """The flow's value at the mean of its Gaussian: the posterior's mean has no closed form."""
        return self.flow(self.start.mean)[0]

    def draw(self) -> tuple[Tensor, Tensor]:
        """See `Posterior`."""
        start = self.start.draw()
        z, log_det = self.flow(start)
        return z, self.start.log_density(start) - log_det
