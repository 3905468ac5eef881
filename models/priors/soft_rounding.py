"""The mean of an integer of which a Gaussian is known: what a context's being discrete is worth.

A network predicts a coefficient as a real number y, in steps, and how far off it may be, s. But
coefficients are integers: the mean of k under exp(-(k - y)^2 / (2 s^2)) is a better prediction, and
nearly exact where s is small. From s = 0.7 on it is y itself.
"""

from __future__ import annotations

import functools
from decimal import Context, Decimal, localcontext

import torch
from torch import Tensor

from ..integer.fixed_point import leaky_clamp, saturate

WIDTHS = 32
WIDTH_MIN = 0.05
WIDTHS_AN_OCTAVE = 8
"""Width j is 0.05 * 2 ** (j / 8) steps, up to 0.73."""

WIDTH_UNIT = 16
"""Activations between two widths."""

_REACH = 3  # integers a side
_PLACES = 256  # y is a multiple of 1/256 step
MEAN_BITS = 10
"""The mean is a multiple of 2**-10 step."""


def soft_round(y: Tensor, width: Tensor) -> Tensor:
    """Return the mean of the integer.

    Args:
        y: in steps.
        width: s, as the network puts it out, in activations; see `WIDTH_UNIT`.
    """
    inside = leaky_clamp(width, 0, (WIDTHS - 1) * WIDTH_UNIT)
    s = WIDTH_MIN * torch.exp2(inside / (WIDTH_UNIT * WIDTHS_AN_OCTAVE))
    nearest = torch.floor(y + 0.5).detach()
    k = torch.arange(-_REACH, _REACH + 1, device=y.device).view(-1, *(1,) * y.ndim)
    half = 0.5 / s.square()
    off = y - nearest
    weight = torch.softmax(k * (2 * off - k) * half, dim=0)  # but for what all k share
    return nearest + (weight * k).sum(0)


def soft_round_integers(y: Tensor, width: Tensor) -> Tensor:
    """The same on int64: y in 1/256 step, width in activations -> mean in 2**-10 step."""
    row = saturate((width + WIDTH_UNIT // 2) // WIDTH_UNIT, low=0).clamp_max(WIDTHS - 1)
    whole = (y + _PLACES // 2) // _PLACES
    part = y - whole * _PLACES + _PLACES // 2
    return (whole << MEAN_BITS) + _table()[row, part]


@functools.cache
def _table() -> Tensor:
    """Return the mean less the nearest integer, int64 (widths, places from -1/2 on)."""
    rows = []
    with localcontext(Context(prec=16)):
        for j in range(WIDTHS):
            s = Decimal(WIDTH_MIN) * Decimal(2) ** (Decimal(j) / WIDTHS_AN_OCTAVE)
            half = 1 / (2 * s * s)
            row = []
            for place in range(-_PLACES // 2, 1):
                y = Decimal(place) / _PLACES
                # one factor e^(y^2 / 2 s^2) less, which all weights share
                weights = [((2 * k * y - k * k) * half).exp() for k in range(-_REACH, _REACH + 1)]
                mean = sum(k * w for k, w in zip(range(-_REACH, _REACH + 1), weights, strict=True))
                row.append(round(mean / sum(weights) * 2**MEAN_BITS))
            rows.append(row + [-m for m in row[-2:0:-1]])
    return torch.tensor(rows)
