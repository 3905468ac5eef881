"""Factorised prior: one learned density a coefficient, the same at every place (Ballé et al. 2018).

The density is of the coefficient before it is quantised, so that it serves every quality: the mass
of a symbol is that of its bin. CompressAI's `EntropyBottleneck` is fitted; what ships are its
cumulative masses at fixed knots, integers, linear between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...bitstream.escape import TOTAL
from ...codec.config import ModelConfig
from ...codec.errors import BoundError, WeightsError
from ...codec.quality.curve import QUALITIES, step_of
from ..integer.layers import FloatLayer, IntegerLayer
from ..integer.norms import Norm
from ..networks.dct import MAX_COEFFICIENT
from .stack import TensorStack

PX = 2**10
"""Units a pixel of knots and edges."""

REACH = MAX_COEFFICIENT * PX


def _knots() -> Tensor:
    """Return the places of the knots, int64: each px about 0, then 1/32 of itself apart."""
    places = [0]
    while places[-1] < REACH:
        places.append(min(REACH, places[-1] + max(PX, places[-1] // 32)))
    positive = torch.tensor(places)
    return torch.cat([-positive.flip(0)[:-1], positive])


class FloatDensities(FloatLayer):
    """The densities in training. Their unit is the coefficient's spread over the gain of its step.

    Raises:
        WeightsError: CompressAI is not installed.
    """

    spread: Tensor

    def __init__(self, channels: int):
        super().__init__()
        try:
            from compressai.entropy_models import EntropyBottleneck
        except ModuleNotFoundError as error:
            raise WeightsError(
                "the factorised prior is fitted with CompressAI, which is for Python below 3.13:"
                " pip install 'hvae-codec[bench]'"
            ) from error
        self.bottleneck = EntropyBottleneck(channels)
        self.register_buffer("spread", torch.ones(channels))

    def logits(self, px: Tensor) -> Tensor:
        """Return the logits of the cumulative masses below (C, n) px over the gain of the step."""
        scaled = px[:, None] / self.spread[:, None, None]
        return self.bottleneck._logits_cumulative(scaled, stop_gradient=False)[:, 0]

    def empty_integer(self) -> IntegerDensities:
        """See `FloatLayer`."""
        return IntegerDensities(len(self.spread))

    @torch.no_grad()
    def to_integer(self) -> IntegerDensities:
        """See `FloatLayer`."""
        integer = self.empty_integer()
        channels = len(self.spread)
        logits = self.logits((_knots() / PX).expand(channels, -1))
        below = torch.floor(torch.sigmoid(logits.double()) * TOTAL + 0.5).long()
        below[:, 0], below[:, -1] = 0, TOTAL
        integer.cumulative = below.cummax(dim=1).values
        integer.steps = torch.floor(step_of(torch.arange(QUALITIES)).double() * PX + 0.5).long()
        return integer


class IntegerDensities(IntegerLayer):
    """Cumulative masses of each coefficient at the knots, and the step of each quality."""

    cumulative: Tensor
    steps: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("cumulative", torch.zeros(channels, len(_knots()), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(QUALITIES, dtype=torch.int64))

    def check(self, name: str) -> None:
        """See `IntegerLayer`."""
        cumulative, steps = self.cumulative, self.steps
        whole = torch.equal(
            cumulative[:, [0, -1]], torch.tensor([0, TOTAL]).expand(len(cumulative), 2)
        )
        if not whole or bool((cumulative.diff(dim=1) < 0).any()):
            raise BoundError(f"{name}: cumulative masses do not rise from 0 to {TOTAL}")
        if steps.min() < PX or steps.max() > REACH:
            raise BoundError(f"{name}: a step is outside 1...4096 px")

    def masses(self, quality: int) -> Tensor:
        """Return the masses of the symbols -M...M of each coefficient: int64 (C, 2 M + 1).

        M is the largest that a coefficient of 4096 px gives. Every number is below 2^53.
        """
        step, knots = int(self.steps[quality]), _knots()
        largest = (2 * REACH + step) // (2 * step)
        edges = (2 * torch.arange(-largest, largest + 2) - 1) * step // 2
        edges = edges.clamp(-REACH, REACH)
        right = torch.searchsorted(knots, edges).clamp_min(1)
        left = right - 1
        low, high = self.cumulative[:, left], self.cumulative[:, right]
        part, width = edges - knots[left], knots[right] - knots[left]
        below = low + (high - low) * part // width
        below[:, 0], below[:, -1] = 0, TOTAL
        symbols = 2 * largest + 1  # each has one of the total for itself
        return (below * (TOTAL - symbols) // TOTAL).diff(dim=1) + 1


class Factorised(nn.Module):
    """Prior p(u) as a product over coefficients and patches."""

    def __init__(self, config: ModelConfig, densities: IntegerDensities | None = None):
        super().__init__()
        self.densities: FloatDensities | IntegerDensities
        self.densities = densities or FloatDensities(config.context_channels)

    @torch.no_grad()
    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Take `spread` as the unit of the densities; see `interface.ResearchPrior`."""
        assert isinstance(self.densities, FloatDensities)
        self.densities.spread.copy_(spread)

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return -log2 p(u), one term; see `interface.ContextPrior`."""
        if isinstance(self.densities, IntegerDensities):
            rows = [self._masses_of(x, int(q)) for x, q in zip(u, quality, strict=True)]
            return -torch.stack([torch.log2(m / TOTAL).sum() for m in rows])[None]
        centre = (u * step_of(quality)[:, None, None, None]).transpose(0, 1)  # (C, B, h, w)
        half = 0.5 * step_of(quality)[:, None, None].expand(centre.shape[1:])
        below = self.densities.logits((centre - half).flatten(1))
        above = self.densities.logits((centre + half).flatten(1))
        # differences of the smaller tails, which keep their digits where 1 - tail would not
        sign = -torch.sign(below + above).detach()
        mass = (torch.sigmoid(sign * above) - torch.sigmoid(sign * below)).abs()
        bits = -torch.log2(mass.clamp_min(1e-9))
        return bits.view(centre.shape).sum(dim=(0, 2, 3))[None]

    def push(
        self, stack: TensorStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        """See `interface.ResearchPrior`."""
        masses = self._masses(quality)
        entries = u[0].flatten(1).long() + masses.shape[1] // 2
        for channel in reversed(mask.nonzero()[:, 0].tolist()):
            stack.push_under(masses[channel].expand(entries.shape[1], -1), entries[channel])

    def pop(
        self,
        stack: TensorStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        mask: Tensor,
    ) -> Tensor:
        """See `interface.ResearchPrior`."""
        masses = self._masses(quality)
        u = torch.zeros(1, len(mask), *size, dtype=torch.float64)
        for channel in mask.nonzero()[:, 0].tolist():
            popped = stack.pop_under(masses[channel].expand(size[0] * size[1], -1))
            u[0, channel] = (popped - masses.shape[1] // 2).view(size)
        return u

    def _masses(self, quality: Tensor) -> Tensor:
        assert isinstance(self.densities, IntegerDensities)
        return self.densities.masses(int(quality))

    def _masses_of(self, u: Tensor, quality: int) -> Tensor:
        """Masses of the symbols of one context: (C, h, w) -> (C, h w)."""
        assert isinstance(self.densities, IntegerDensities)
        masses = self.densities.masses(quality)
        return masses.gather(1, u.flatten(1).long() + masses.shape[1] // 2).double()
