"""By how much the scales of a channel are corrected for one picture: what it costs, and the best.

Networks foresee scales for photographs in general. In one picture a channel may be livelier
throughout, or quieter: the encoder sees it and says so, in whole scale indices, ahead of the
channel's symbols. Most corrections are zero, and cost a fraction of a bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .coders import SCALES
from .fixed_point import OFFSETS

REACH = 3
"""Largest correction, up and down: a factor of 1.45."""

CLASSES = 8
"""Of channels, by how many symbols can tell of their scales: the more, the rarer is a zero."""

TELLING = 4
"""From this scale index on, 0.16 steps, a latent tells of its scale."""

FIRST_TABLE = SCALES * OFFSETS
"""The table of the first class; those of the context stand before it."""

Cost = Callable[[Tensor, Tensor], Tensor]
"""The bits (n,) of symbols (n,) under the tables with the numbers (n,)."""


def tables_of(count: Tensor) -> Tensor:
    """Return the numbers of the tables for corrections of channels with so many telling symbols."""
    bit_length = torch.frexp(count.double()).exponent
    return FIRST_TABLE + (bit_length // 2).clamp_max(CLASSES - 1)


def corrected(tables: Tensor, corrections: Tensor | int) -> Tensor:
    """Correct numbers of tables of the context, 8 scale indices and eighths of a mean."""
    index = torch.floor(tables / OFFSETS)
    return tables + OFFSETS * ((index + corrections).clamp(0, SCALES - 1) - index)


def choose(
    channels: Tensor,
    scales: Tensor,
    symbols: Tensor,
    number: Callable[[Tensor, int], Tensor],
    own: Tensor,
    cost: Cost,
) -> Tensor:
    """Find the corrections that make symbols and themselves cheapest.

    Args:
        channels: (n,) integers 0...C-1, whose symbols they are.
        scales: (n,) integers 0...1023 that stand for their scales.
        symbols: (n,) integers.
        number: gives the numbers of tables of corrected scales.
        own: (C,), see `tables_of`.
        cost: of symbols under tables.

    Returns:
        (C,) integers -REACH...REACH.
    """
    # in a picture the same is coded many times
    near = symbols.long().clamp(-(2**20), 2**20) + 2**20
    key = (channels.long() << 32) + (scales.long() << 22) + near
    unique, counts = np.unique(key.numpy(), return_counts=True)
    key, times = torch.from_numpy(unique), torch.from_numpy(counts).double()
    scales, symbols = key >> 22 & 1023, (key & (1 << 22) - 1) - 2**20
    totals = []
    for choice in range(-REACH, REACH + 1):
        total = cost(own, torch.full_like(own, choice)).double()
        totals.append(total.index_add(0, key >> 32, times * cost(number(scales, choice), symbols)))
    return torch.stack(totals).argmin(0) - REACH
