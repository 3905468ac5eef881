"""The coders of training and validation: they round, and add up bits instead of writing them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...codec.quality.curve import CURVATURE
from ...codec.symbols.scales import LOG_RATIO, QUARTERS, SCALE_MIN
from ...codec.symbols.schedule import CodingStep
from ...codec.symbols.walk import Prediction


def scale_of(index: Tensor) -> Tensor:
    """Return the standard deviation, in steps, that a (real) scale index stands for."""
    return SCALE_MIN * torch.exp(index.float() * LOG_RATIO)


def gaussian_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """Return -log2 of a Gaussian's mass on [residual - 0.5, residual + 0.5], elementwise.

    Far in the tail, where the mass underflows, Mills' ratio stands in, so that gradients live on.
    """
    distance = residual.abs()
    inner, outer = (0.5 - distance) / scale, (-0.5 - distance) / scale
    mass = 0.5 * (torch.erfc(-inner * math.sqrt(0.5)) - torch.erfc(-outer * math.sqrt(0.5)))
    t = (-inner).clamp_min(4.0)
    tail = (0.5 * t * t + torch.log(t * math.sqrt(2 * math.pi))) / math.log(2)
    width = 1 / scale  # of the bin; its mass is Q(t) - Q(t + width), not all of the tail
    tail = tail - torch.log2(-torch.expm1(-width * (t + 0.5 * width)))
    return torch.where(inner < -4.0, tail, -torch.log2(mass.clamp_min(1e-12)))


class BitCounter:
    """Takes values as they are, and adds up their bits.

    Attributes:
        slice_bits: one (B,) a slice of a step.
    """

    def __init__(self) -> None:
        self.slice_bits: list[Tensor] = []
        self._levels: list[int] = []

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Tensor],
    ) -> Tensor:
        """See `codec.symbols.walk.SymbolCoder`."""
        offset = residual()
        self._count(step, gaussian_bits(offset, scale_of(prediction.quarters / QUARTERS)))
        return offset

    def _count(self, step: CodingStep, bits: Tensor) -> None:
        """Add the bits (B, C, n) of a slice."""
        self.slice_bits.append(bits.sum(dim=(1, 2)))
        self._levels.append(step.level)

    @property
    def level_bits(self) -> list[Tensor]:
        """The bits of each level, (B,) each."""
        levels = range(self._levels[-1] + 1)
        pairs = list(zip(self._levels, self.slice_bits, strict=True))
        return [torch.stack([b for at, b in pairs if at == level]).sum(0) for level in levels]

    @property
    def bits(self) -> Tensor:
        """(B,) bits of each sample."""
        return torch.stack(self.slice_bits).sum(0)


class Rounder(BitCounter):
    """Validation: rounds as an encoder would, and counts."""

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Tensor],
    ) -> Tensor:
        """See `codec.symbols.walk.SymbolCoder`."""
        symbols = torch.round(residual().float())
        self._count(step, gaussian_bits(symbols, scale_of(prediction.quarters / QUARTERS)))
        return symbols


class TrainingQuantizer(BitCounter):
    """Training: rounds as an encoder does, with a gradient that sees the decisions.

    The loss of rounded symbols changes in two ways: smoothly at fixed symbols, and by a jump where
    a residual crosses a threshold between two integers. The gradient of its mean has both; the
    second is density at the threshold times jump, which a kernel estimates (`_crossing`). So
    symbols move with their residuals by that weight, latents with their means by the rest, and
    bits by their exact difference between both sides of the threshold. Rounding straight through is
    a weight of one everywhere: it teaches as if all symbols followed their residuals, though most
    are zero and stay so (docs/lessons.md).

    The distortion's gradient is taken at the rounded value. Near a threshold it is biased by half a
    step. `curvature` adds the second-order term.

    Args:
        curvature: how much of it to count. For one picture all; the mean over many pictures is
            best learned with half (docs/experiments.csv).
        shared: share of its own bits that a crossing does not cost, where scales are small: a
            symbol tells of others. Without it dead zones come out wider than the loss wants them.
    """

    def __init__(self, curvature: float = 0.5, shared: float = 0.2):
        super().__init__()
        self.curvature, self.shared = curvature * CURVATURE, shared

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Tensor],
    ) -> Tensor:
        """See `codec.symbols.walk.SymbolCoder`."""
        wanted, scale = residual().float(), scale_of(prediction.quarters / QUARTERS)
        at, spread = wanted.detach(), scale.detach()
        symbols = torch.round(at)
        across = torch.where(at < symbols, -1.0, 1.0)  # to the nearest threshold's other side
        moved = _crossing(at, symbols, across, spread) * (wanted - at)  # 0, a gradient
        bits = gaussian_bits(symbols, scale)
        jump = gaussian_bits(symbols + across, spread) - bits.detach()
        jump = jump * (1 - self.shared * torch.exp(-((spread / 0.6) ** 2)))
        jump = jump + 2 * self.curvature * (at - symbols).abs()
        self._count(step, bits + jump * across * moved)
        return symbols + moved


def _crossing(residual: Tensor, symbols: Tensor, across: Tensor, scale: Tensor) -> Tensor:
    """Return by how much a residual stands for those at the threshold nearest to it.

    The kernel 2 |2 (r - s)| has an integral of one from an integer to the next. Where scales are
    small the density changes much in its width: there residuals count by the Gaussian's density at
    the threshold over that at their place, at most double. Where scales are larger residuals are
    not Gaussian enough for that, as finite differences show (docs/experiments.csv).
    """
    threshold = symbols + 0.5 * across
    log_ratio = (residual.square() - threshold.square()) / (2 * scale.square())
    fade = torch.exp(-((scale / 0.45) ** 4))
    return 4 * (residual - symbols).abs() * torch.exp((fade * log_ratio).clamp_max(math.log(2)))
