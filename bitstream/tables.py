"""Frozen integer pmfs, chosen by index: all that the entropy coder knows of the model.

The network puts out integers (an index, symbols), the weight file holds the tables, and so no
float stands between the weights and the bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import escape
from .errors import ArgumentError, InvalidTables, SymbolOutOfRange
from .escape import MAX_SYMBOL, TOTAL

# What a Gaussian table leaves to the escape, both sides together. At 20 bits and more for an
# escape's flag this costs 2e-5 bits a symbol, and the supports are +-4.9 scales.
TAIL_MASS = 2.0**-20


@dataclass(frozen=True, eq=False)
class PmfTables:
    """A family of T integer pmfs, each of total 2**24, its last entry the escape's.

    The arrays are what the weight file holds. They are copied and made read-only.

    Args:
        pmf: uint32 `(sum(length + 1),)`, the tables one behind the other, all entries >= 1.
            Entry j < length of a table is the mass of symbol start + j; entry `length` is the
            mass of all symbols outside the support together (the escape).
        start: int32 `(T,)`, first symbol of each support; may be negative.
        length: int32 `(T,)`, number of symbols in each support, >= 1.

    Raises:
        InvalidTables: an array breaks the above, or a support exceeds +-2**20.
    """

    pmf: NDArray[np.uint32]
    start: NDArray[np.int32]
    length: NDArray[np.int32]
    offset: NDArray[np.int64] = field(init=False, repr=False)  # (T,) where each table begins

    def __post_init__(self) -> None:
        for name, dtype in (("pmf", np.uint32), ("start", np.int32), ("length", np.int32)):
            array = np.array(getattr(self, name))
            if array.dtype != dtype or array.ndim != 1:
                raise InvalidTables(
                    f"{name} is {array.dtype} of {array.ndim} dimensions, "
                    f"not {np.dtype(dtype)} of one"
                )
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        offset = _checked_offsets(self.pmf, self.start, self.length)
        offset.setflags(write=False)
        object.__setattr__(self, "offset", offset)

    def __len__(self) -> int:
        return self.start.size

    def table(self, index: int) -> NDArray[np.uint32]:
        """Return one pmf, uint32 `(length[index] + 1,)`, the escape's mass last."""
        begin = int(self.offset[index])
        return self.pmf[begin : begin + int(self.length[index]) + 1]

    def bits(self, index: NDArray[np.integer], symbols: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the exact cost of each symbol, escapes included, float64 `(n,)`, in bits.

        Args:
            index: integers `(n,)` in 0...T - 1.
            symbols: integers `(n,)` in -2**20...2**20.

        Raises:
            ArgumentError: shape, dtype or an index is wrong.
            SymbolOutOfRange: a symbol is outside that range.
        """
        entry = self.entries(index, symbols)
        bits: NDArray[np.float64] = np.log2(TOTAL / self.pmf[entry])
        escaped = entry == self.offset[index] + self.length[index]
        if escaped.any():
            first = self.start[index[escaped]].astype(np.int64)
            stop = first + self.length[index[escaped]]
            bits[escaped] += escape.cost_bits(
                escape.fold(symbols[escaped].astype(np.int64), first, stop)
            )
        return bits

    def entries(
        self, index: NDArray[np.integer], symbols: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        """Return the entry of `pmf` that codes each symbol, int64 `(n,)`.

        It is the escape's where a symbol is outside its table's support.

        Raises:
            ArgumentError: shape, dtype or an index is wrong.
            SymbolOutOfRange: a symbol is outside -2**20...2**20.
        """
        index = checked_index(index, self)
        symbols = checked_symbols(symbols, index.size)
        length = self.length[index].astype(np.int64)
        entry = symbols - self.start[index]
        escaped = (entry < 0) | (entry >= length)
        return self.offset[index] + np.where(escaped, length, entry)

    def refined(self, counts: NDArray[np.integer], weight: float) -> PmfTables:
        """Return tables that follow what was counted, each worth `weight` counts beforehand.

        The posterior mean under a Dirichlet prior whose mean is the present table: tables that
        were seldom used stay as they are.

        Args:
            counts: `(pmf.size,)`, how often each entry coded a symbol.
            weight: of a present table, in symbols, > 0.
        """
        pmf = np.empty_like(self.pmf)
        for begin, length in zip(self.offset, self.length, strict=True):
            table = slice(int(begin), int(begin) + int(length) + 1)
            pmf[table] = _integers(counts[table] + self.pmf[table] * (weight / TOTAL))
        return PmfTables(pmf, self.start, self.length)


def joined(first: PmfTables, second: PmfTables) -> PmfTables:
    """Return the tables of one family, then those of another."""
    return PmfTables(
        pmf=np.concatenate([first.pmf, second.pmf]),
        start=np.concatenate([first.start, second.start]),
        length=np.concatenate([first.length, second.length]),
    )


def _checked_offsets(
    pmf: NDArray[np.uint32], start: NDArray[np.int32], length: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Validate the three arrays of a `PmfTables`; return where each table begins, int64 `(T,)`."""
    if not start.size or start.size != length.size:
        raise InvalidTables(f"{start.size} starts and {length.size} lengths: not as many, or none")
    if length.min() < 1:
        raise InvalidTables(f"a support has {length.min()} symbols, at least 1 is needed")
    first, stop = start.astype(np.int64), start.astype(np.int64) + length
    if first.min() < -MAX_SYMBOL or stop.max() > MAX_SYMBOL + 1:
        raise InvalidTables(
            f"supports span {first.min()}...{stop.max() - 1}, outside -{MAX_SYMBOL}...{MAX_SYMBOL}"
        )
    ends = np.cumsum(length.astype(np.int64) + 1)
    if ends[-1] != pmf.size:
        raise InvalidTables(f"the lengths ask for {ends[-1]} entries, pmf has {pmf.size}")
    if pmf.min() < 1:
        raise InvalidTables("an entry of a pmf is 0, at least 1 is needed")
    offset = ends - length - 1
    totals = np.add.reduceat(pmf.astype(np.int64), offset)
    if np.any(totals != TOTAL):
        wrong = int(np.argmax(totals != TOTAL))
        raise InvalidTables(f"table {wrong} sums to {totals[wrong]}, not to {TOTAL}")
    return offset


def checked_index(index: NDArray[np.integer], pmfs: PmfTables) -> NDArray[np.integer]:
    """Return `index` if it is `(n,)`, of integers, and within the tables; raise ArgumentError."""
    index = np.asarray(index)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise ArgumentError(f"index is {index.dtype} of shape {index.shape}, not integers (n,)")
    if index.size and not (index.min() >= 0 and index.max() < len(pmfs)):
        raise ArgumentError(
            f"index {index.min()}...{index.max()} is outside the tables 0...{len(pmfs) - 1}"
        )
    return index


def checked_symbols(symbols: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return `symbols` as int64 if they are `(count,)`, integers and codable.

    Raises:
        ArgumentError: shape or dtype is wrong.
        SymbolOutOfRange: a symbol is outside -2**20...2**20.
    """
    symbols = np.asarray(symbols)
    if symbols.shape != (count,) or symbols.dtype.kind not in "iu":
        raise ArgumentError(
            f"symbols are {symbols.dtype} of shape {symbols.shape}, not integers ({count},)"
        )
    if count and not (symbols.min() >= -MAX_SYMBOL and symbols.max() <= MAX_SYMBOL):
        raise SymbolOutOfRange(
            f"symbols {symbols.min()}...{symbols.max()} are outside -{MAX_SYMBOL}...{MAX_SYMBOL}"
        )
    return symbols.astype(np.int64)


def gaussian_pmfs(scales: NDArray[np.float64], offsets: NDArray[np.float64]) -> PmfTables:
    """Build the pmfs of N(offset, scale**2) over the bins [k - 1/2, k + 1/2].

    Table `scale_index * len(offsets) + offset_index`. Run once, when weights are exported: the
    result is stored, for `erfc` may differ in its last bit between C libraries.

    Args:
        scales: float64 `(S,)`, standard deviations, > 0.
        offsets: float64 `(F,)`, means.

    Raises:
        InvalidTables: a scale or an offset is not finite, a scale is not positive, or a support
            exceeds +-2**20.
    """
    scales, offsets = np.asarray(scales, np.float64), np.asarray(offsets, np.float64)
    if not (np.isfinite(scales).all() and np.isfinite(offsets).all() and (scales > 0).all()):
        raise InvalidTables("scales must be finite and positive, offsets finite")
    if np.any(10 * scales.max(initial=0) + np.abs(offsets).max(initial=0) + 2 > MAX_SYMBOL):
        raise InvalidTables(f"the supports would exceed -{MAX_SYMBOL}...{MAX_SYMBOL}")
    built = [_gaussian_pmf(float(scale), float(mean)) for scale in scales for mean in offsets]
    if not built:
        raise InvalidTables("no scales or no offsets")
    return PmfTables(
        pmf=np.concatenate([pmf for _, pmf in built]),
        start=np.array([start for start, _ in built], np.int32),
        length=np.array([pmf.size - 1 for _, pmf in built], np.int32),
    )


def _gaussian_pmf(scale: float, mean: float) -> tuple[int, NDArray[np.uint32]]:
    """Return the first symbol and the integer pmf, uint32 `(length + 1,)`, of one Gaussian."""
    reach = math.ceil(6 * scale) + 1  # beyond 6 scales lies 2e-9, far below TAIL_MASS
    centre = round(mean)
    edges = centre - 0.5 + np.arange(-reach, reach + 2)  # of bins centre - reach...centre + reach
    z = (edges - mean) / (scale * math.sqrt(2))
    lower = 0.5 * np.array([math.erfc(-x) for x in z])  # mass below each edge
    upper = 0.5 * np.array([math.erfc(x) for x in z])  # mass above each edge
    # Differences of the smaller tails, which keep their digits where 1 - tail would not.
    mass = np.where(z[:-1] > 0, upper[:-1] - upper[1:], lower[1:] - lower[:-1])
    first = int(np.flatnonzero(lower <= TAIL_MASS / 2)[-1])  # the last edge with little below it
    stop = int(np.flatnonzero(upper <= TAIL_MASS / 2)[0])
    tail = float(lower[first] + upper[stop])
    return centre - reach + first, _integers(np.append(mass[first:stop], tail))


def _integers(mass: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Round masses `(n,)` to integers >= 1 of sum 2**24, the rest to the largest remainders."""
    free = TOTAL - mass.size  # what is left when each has its 1
    wanted = mass * (free / mass.sum())
    pmf = np.floor(wanted).astype(np.int64)
    rest = free - int(pmf.sum())
    order = np.argsort(pmf - wanted, kind="stable")  # largest remainder first, ties by position
    pmf[order[:rest]] += 1
    return (pmf + 1).astype(np.uint32)
