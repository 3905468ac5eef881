"""What can happen at a level of the top-down pass: the coders that it is given.

The pass (`trunk.Trunk.walk`) is written once. Validation rounds and counts bits, training does so
with a gradient; encoder and decoder, which write and read real symbols, live in `codec.symbols`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

SCALES = 64
"""Number of scales; scale i is SCALE_MIN * (SCALE_MAX / SCALE_MIN) ** (i / 63)."""

SCALE_MIN = 0.1
SCALE_MAX = 256.0

CURVATURE = 6 / math.log(2)
"""Bits that a symbol a step away costs by the curvature of the distortion, for an orthonormal
transform (`quality.step_of`)."""


class LatentCoder(Protocol):
    """Turns the posterior of a level into symbols, or finds symbols without one."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """Return the symbols of a level, or of half of its positions: then the rest comes next.

        Args:
            level: number of the level, coarse to fine.
            scale_index: (B, C, n) in 0...63, at the n positions that the level codes; multiples
                of 1/4 where it is to be exact. (The context prior passes numbers of tables
                instead, 0...511.)
            posterior: gives the residual q - mu in steps, (B, C, n). Only coders that have an
                image call it.

        Returns:
            (B, C, n) symbols: integers, or their differentiable stand-ins.
        """
        ...


def scale_of(index: Tensor) -> Tensor:
    """Return the standard deviation, in steps, that a (real) scale index stands for."""
    return SCALE_MIN * torch.exp(index.float() * (math.log(SCALE_MAX / SCALE_MIN) / (SCALES - 1)))


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


class _BitCounter:
    """Adds up the bits of each sample, level by level."""

    def __init__(self) -> None:
        self.level_bits: list[Tensor] = []  # one (B,) a level

    def _count(self, level: int, bits: Tensor) -> None:
        """Add the bits (B, C, n) of a call; a level may be coded in several."""
        bits = bits.sum(dim=(1, 2))
        if level < len(self.level_bits):
            self.level_bits[level] = self.level_bits[level] + bits
        else:
            self.level_bits.append(bits)

    @property
    def bits(self) -> Tensor:
        """(B,) bits of each sample over all levels."""
        return torch.stack(self.level_bits).sum(0)


class Learner(_BitCounter):
    """Training: rounds as an encoder does, with a gradient that sees the decisions.

    The loss of rounded symbols changes in two ways: smoothly at fixed symbols, and by a jump where
    a residual crosses a threshold between two integers. The gradient of its mean has both; the
    second is density at the threshold times jump, which a kernel estimates (`_crossing`). So
    symbols move with their residuals by that weight, latents with their means by the rest, and
    bits by their exact difference between both sides of the threshold. Rounding straight through is
    a weight of one everywhere: it teaches as if all symbols followed their residuals, though most
    are zero and stay so (docs/design.md).

    What is behind the symbols, distortion above all, has a gradient at the symbol, not at the
    threshold: it always says that half a step towards the residual would be better, and forgets
    that a whole step is what it takes. `CURVATURE` makes good for that.

    Args:
        curvature: how much of it to count. For one picture all; the mean over many pictures is
            best learned with half (docs/experiments.md).
        shared: share of its own bits that a crossing does not cost, where scales are small: a
            symbol tells of others. Without it dead zones come out wider than the loss wants them.
    """

    def __init__(self, curvature: float = 0.5, shared: float = 0.2):
        super().__init__()
        self.curvature, self.shared = curvature * CURVATURE, shared

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        residual, scale = posterior().float(), scale_of(scale_index)
        at, spread = residual.detach(), scale.detach()
        symbols = torch.round(at)
        across = torch.where(at < symbols, -1.0, 1.0)  # to the nearest threshold's other side
        moved = _crossing(at, symbols, across, spread) * (residual - at)  # 0, a gradient
        bits = gaussian_bits(symbols, scale)
        jump = gaussian_bits(symbols + across, spread) - bits.detach()
        jump = jump * (1 - self.shared * torch.exp(-((spread / 0.6) ** 2)))
        jump = jump + 2 * self.curvature * (at - symbols).abs()
        self._count(level, bits + jump * across * moved)
        return symbols + moved


def _crossing(residual: Tensor, symbols: Tensor, across: Tensor, scale: Tensor) -> Tensor:
    """Return by how much a residual stands for those at the threshold nearest to it.

    The kernel 2 |2 (r - s)| has an integral of one from an integer to the next. Where scales are
    small the density changes much in its width: there residuals count by the Gaussian's density at
    the threshold over that at their place, at most double. Where scales are larger residuals are
    not Gaussian enough for that, as finite differences show (docs/experiments.md).
    """
    threshold = symbols + 0.5 * across
    log_ratio = (residual.square() - threshold.square()) / (2 * scale.square())
    fade = torch.exp(-((scale / 0.45) ** 4))
    return 4 * (residual - symbols).abs() * torch.exp((fade * log_ratio).clamp_max(math.log(2)))


class Rounder(_BitCounter):
    """Validation: what an encoder would write, counted instead of written."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        symbols = torch.round(posterior().float())
        bits = gaussian_bits(symbols, scale_of(scale_index))
        self._count(level, bits)
        return symbols
