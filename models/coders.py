"""What can happen at a level of the top-down pass: the coders that it is given.

The pass (`trunk.Trunk.walk`) is written once. Training adds noise and counts bits, validation
rounds and counts bits; encoder and decoder, which write and read real symbols, live in
`codec.symbols`.
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


class LatentCoder(Protocol):
    """Turns the posterior of a level into symbols, or finds symbols without one."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """Return the symbols of a level, or of half of its positions: then the rest comes next.

        Args:
            level: number of the level, coarse to fine.
            scale_index: (B, C, n) in 0...63, at the n positions that the level codes. (The context
                prior passes numbers of tables instead, 0...511.)
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


class Noiser(_BitCounter):
    """Training: differentiable stand-ins for what an encoder does.

    Symbols are rounded with a straight-through gradient: noise in them would undo the linear
    skeleton. Scales learn from the bits of these symbols. Residuals learn from the bits under
    uniform noise, which are smooth; but scales must not learn from those, which charge 1.4 times
    the scale for a coefficient that is always zero (see docs/design.md).
    """

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        residual, scale = posterior().float(), scale_of(scale_index)
        symbols = residual + (torch.round(residual) - residual).detach()
        noisy = residual + torch.rand_like(residual) - 0.5
        smooth = gaussian_bits(noisy, scale.detach())
        bits = gaussian_bits(symbols.detach(), scale) + (smooth - smooth.detach())
        self._count(level, bits)
        return symbols


class Rounder(_BitCounter):
    """Validation: what an encoder would write, counted instead of written."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        symbols = torch.round(posterior().float())
        bits = gaussian_bits(symbols, scale_of(torch.floor(scale_index + 0.5)))
        self._count(level, bits)
        return symbols
