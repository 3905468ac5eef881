"""Inverse autoregressive flow for posteriors (Kingma 2016; notes, eq. 4 to 8).

    z_t = v z_t-1 + (1 - v) m,    v = sigmoid(s),    log q(z_t) = log q(z_t-1) - sum log v

m and s of a unit see only the units before it, so the Jacobian is triangular.
"""

from __future__ import annotations

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


class Flow(nn.Module):
    """Several steps; the order of the units is turned round between them."""

    def __init__(self, units: int, steps: int, hidden: int):
        super().__init__()
        self.steps = nn.ModuleList(DenseStep(units, hidden) for _ in range(steps))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Z (B, M) -> the last z, and the log determinant of each sample, (B,)."""
        total = z.new_zeros(z.shape[0])
        for step in self.steps:
            m, s = step(z)
            s = s + FORGET_BIAS
            v = torch.sigmoid(s)
            z = (v * z + (1 - v) * m).flip(1)
            total = total + functional.logsigmoid(s).sum(1)
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
