"""Per-channel scale offsets: chosen by rate for one picture, and sent as side information.

Networks predict scales for photographs in general. In one picture a channel may be livelier
throughout, or quieter. The encoder offsets the scales of a channel by whole scale indices, where
that saves more bits than the offset costs. Most offsets are zero, and cost a fraction of a bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...bitstream import PmfTables
from .tables import FIRST_OFFSET_TABLE, MAX_OFFSET

_REACH = 16
_SYMBOLS = 2 * _REACH
_SCALES = FIRST_OFFSET_TABLE  # quarters are fewer than the pmfs of the context

Integers = NDArray[np.integer]


def choose_offsets(
    channels: Integers,
    scales: Integers,
    symbols: Integers,
    index_of: Callable[[NDArray[np.int32], int], NDArray[np.int32]],
    own: NDArray[np.int32],
    pmfs: PmfTables,
) -> NDArray[np.int32]:
    """Find the offsets that make symbols and the offsets themselves cheapest.

    Args:
        channels: (n,) 0...C-1, whose symbols they are.
        scales: (n,) what `index_of` takes: pmf indices of the context, or quarters of latents.
        symbols: (n,).
        index_of: returns pmf indices, from scales and an offset.
        own: (C,) the pmf indices of the offsets.
        pmfs: the tables of the weights.

    Returns:
        (C,) -MAX_OFFSET...MAX_OFFSET.
    """
    channels, unique, symbols, times = _unique(channels, scales, symbols)
    totals = []
    for offset in range(-MAX_OFFSET, MAX_OFFSET + 1):
        cost = times * pmfs.bits(index_of(unique, offset), symbols)
        total = np.bincount(channels, cost, minlength=own.size)
        totals.append(total + pmfs.bits(own, np.full(own.size, offset)))
    return (np.argmin(totals, axis=0) - MAX_OFFSET).astype(np.int32)


def _unique(
    channels: Integers, scales: Integers, symbols: Integers
) -> tuple[Integers, NDArray[np.int32], Integers, NDArray[np.float64]]:
    """Return each combination that occurs, and how often; large symbols one by one."""
    near = (symbols >= -_REACH) & (symbols < _REACH)
    key = (channels[near].astype(np.int64) * _SCALES + scales[near]) * _SYMBOLS
    counts = np.bincount(key + symbols[near].astype(np.int64) + _REACH)
    found = np.flatnonzero(counts)
    rest, symbol = np.divmod(found, _SYMBOLS)
    channel, scale = np.divmod(rest, _SCALES)
    far = ~near
    return (
        np.concatenate([channel, channels[far]]).astype(np.int64),
        np.concatenate([scale, scales[far]]).astype(np.int32),
        np.concatenate([symbol - _REACH, symbols[far]]).astype(np.int64),
        np.concatenate([counts[found], np.ones(np.count_nonzero(far))]).astype(np.float64),
    )
