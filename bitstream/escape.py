"""How far an escaped symbol lies beyond the support of its table: Elias' gamma code.

A symbol outside the support [start, stop) becomes a positive integer v: 1, 3, 5, ... upwards from
stop, and 2, 4, 6, ... downwards from start - 1. It is coded as its bit length less one, k, with
P(k) = 2**-(k + 1), and then its k bits below the leading one: 2 k + 1 bits in all. Because symbols
are bounded, so is v, and the code never runs on however damaged the data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOTAL = 1 << 24  # every pmf sums to this; constriction's fixed precision

MAX_SYMBOL = 1 << 20
# |symbol| and |start|, |stop - 1| <= 2**20, so a distance is at most 2**21 and v < 2**23: k <= 22.
_MAX_K = 22
# 2**23, 2**22, ..., 2: short by two of TOTAL, which the last k gets.
LENGTH_PMF: NDArray[np.uint32] = (1 << np.arange(23, 23 - _MAX_K - 1, -1)).astype(np.uint32)
LENGTH_PMF[-1] += 2
_LENGTH_BITS: NDArray[np.float64] = np.log2(TOTAL / LENGTH_PMF)

Int64Array = NDArray[np.int64]


def fold(symbols: Int64Array, start: Int64Array, stop: Int64Array) -> Int64Array:
    """Number the symbols outside [start, stop), all int64 `(n,)`: 1, 2, ... < 2**23."""
    return np.where(symbols >= stop, 2 * (symbols - stop) + 1, 2 * (start - symbols))


def unfold(values: Int64Array, start: Int64Array, stop: Int64Array) -> Int64Array:
    """Undo `fold`. Values of damaged data may give symbols beyond `MAX_SYMBOL`."""
    return np.where(values & 1, stop + (values >> 1), start - (values >> 1))


def bit_lengths(values: Int64Array) -> Int64Array:
    """Return k = floor(log2(values)), int64 `(n,)`, for values in 1...2**23 - 1."""
    # frexp is exact: values have at most 23 bits.
    return np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1


def cost_bits(values: Int64Array) -> NDArray[np.float64]:
    """Return the cost of coding each value, float64 `(n,)`, in bits."""
    k = bit_lengths(values)
    return _LENGTH_BITS[k] + k
