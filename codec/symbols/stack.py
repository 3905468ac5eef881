"""Stacks of symbols: the entropy coder's, one that only counts, and one that draws at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...bitstream import (
    ArgumentError,
    EntropyCoder,
    PmfTables,
    bulk_words,
    pop,
    pop_under,
    push,
    push_under,
)
from ...bitstream.escape import TOTAL
from ..errors import PayloadTooShort
from ..numbers import whole

Integers = NDArray[np.integer]


class SymbolStack(Protocol):
    """A stack: what is pushed last is popped first.

    Popping before pushing (bits-back) takes from what lies there already.
    """

    def push(self, index: Integers, symbols: Integers) -> None:
        """Push symbols (n,), each under the frozen table whose number (n,) goes with it."""
        ...

    def pop(self, index: Integers) -> NDArray[np.int32]:
        """Pop what was pushed under the same tables: (n,)."""
        ...

    def push_under(self, pmf: Integers, symbols: Integers) -> None:
        """Push symbols (n,) in 0...K-1 under masses of their own.

        Args:
            pmf: (n, K), each >= 1, of sum 2**24 in a row; (1, K) serves all symbols.
            symbols: (n,).
        """
        ...

    def pop_under(self, pmf: Integers, count: int) -> NDArray[np.int32]:
        """Pop `count` symbols that were pushed under the same masses."""
        ...


class AnsStack:
    """The entropy coder's stack of a tile.

    A stack that runs dry makes up what is popped. An encoder whose prior takes bits back must not
    let it: no pop may reach the last 64 bits. If none did when a tile was encoded, none does when
    it is decoded, where the stack goes through the same states.

    Args:
        coder: holds the words.
        pmfs: the tables of the weights.
        is_encoder: whether to refuse such a pop.

    Attributes:
        lowest: the fewest words that popping left untouched (`bitstream.level_words`).
    """

    def __init__(self, coder: EntropyCoder, pmfs: PmfTables, *, is_encoder: bool = False):
        self.coder, self.pmfs, self.is_encoder = coder, pmfs, is_encoder
        self.lowest = bulk_words(coder)
        self._bits = coder.num_valid_bits()

    def push(self, index: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""
        push(self.coder, index, symbols, self.pmfs)

    def pop(self, index: Integers) -> NDArray[np.int32]:
        """See `SymbolStack`."""
        return self._popped(pop(self.coder, index, self.pmfs))

    def push_under(self, pmf: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""
        push_under(self.coder, pmf, symbols)

    def pop_under(self, pmf: Integers, count: int) -> NDArray[np.int32]:
        """See `SymbolStack`."""
        return self._popped(pop_under(self.coder, pmf, count))

    def _popped(self, symbols: NDArray[np.int32]) -> NDArray[np.int32]:
        left = bulk_words(self.coder)
        if self.is_encoder and left == 0:
            raise PayloadTooShort(
                f"the latents of a tile take {-(-self._bits // 8)} bytes, fewer than this prior of "
                "the context borrows from them: encode a larger image, at a higher quality, or "
                "with another prior"
            )
        self.lowest = min(self.lowest, left)
        return symbols


class CountingStack:
    """Adds up what is pushed.

    Attributes:
        bits: of all pushes.
    """

    def __init__(self, pmfs: PmfTables):
        self.pmfs = pmfs
        self.bits = 0.0

    def push(self, index: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""
        self.bits += float(self.pmfs.bits(index, symbols).sum())

    def push_under(self, pmf: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""
        rows = np.arange(len(symbols)) if len(pmf) > 1 else 0
        self.bits -= float(np.log2(pmf[rows, symbols] / TOTAL).sum())

    def pop(self, index: Integers) -> NDArray[np.int32]:
        """Refuse: nothing lies here."""
        raise NotImplementedError("a prior with bits-back is counted by a real stack")

    def pop_under(self, pmf: Integers, count: int) -> NDArray[np.int32]:
        """Refuse: nothing lies here."""
        raise NotImplementedError("a prior with bits-back is counted by a real stack")


@dataclass(frozen=True)
class Sampling:
    """How symbols are drawn.

    Attributes:
        seed: >= 0; the same one gives the same symbols.
        temperature: masses are raised to the power of its inverse; 1 draws from the model, 0
            takes what is most likely.

    Raises:
        ArgumentError: one is outside its range.
    """

    seed: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole("seed", self.seed))
        if self.seed < 0:
            raise ArgumentError(f"seed {self.seed} is negative")
        if isinstance(self.temperature, int):
            whole("temperature", self.temperature)  # not too large for a float
        if not isinstance(self.temperature, Real) or not 0 <= float(self.temperature) < math.inf:
            raise ArgumentError(f"temperature {self.temperature} is not 0 or above")


class SamplingStack:
    """Gives drawn symbols to whoever pops, and forgets what is pushed.

    Args:
        pmfs: the tables of the weights.
        sampling: how to draw.
        number: of the tile; each has its own sequence.
    """

    def __init__(self, pmfs: PmfTables, sampling: Sampling, number: int = 0):
        self.pmfs, self.temperature = pmfs, sampling.temperature
        self.rng = np.random.default_rng((sampling.seed, number))

    def push(self, index: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""

    def push_under(self, pmf: Integers, symbols: Integers) -> None:
        """See `SymbolStack`."""

    def pop(self, index: Integers) -> NDArray[np.int32]:
        """See `SymbolStack`."""
        symbols = np.empty(index.size, np.int32)
        for table in np.unique(index):
            inside = self.pmfs.table(int(table))[:-1]  # without the escape
            here = index == table
            symbols[here] = self.pmfs.start[table] + self._drawn(inside, int(here.sum()))
        return symbols

    def pop_under(self, pmf: Integers, count: int) -> NDArray[np.int32]:
        """See `SymbolStack`."""
        if len(pmf) == 1:
            return self._drawn(pmf[0], count)
        drawn = [self._drawn(row, 1) for row in pmf]
        return np.concatenate([np.empty(0, np.int32), *drawn])

    def _drawn(self, masses: Integers, count: int) -> NDArray[np.int32]:
        """Draw from masses (K,): int32 (count,) in 0...K-1."""
        if self.temperature == 0:
            return np.full(count, masses.argmax(), np.int32)
        relative = (masses / masses.max()) ** (1 / self.temperature)
        below = np.cumsum(relative)
        drawn = np.searchsorted(below, self.rng.random(count) * below[-1], side="right")
        return drawn.clip(max=masses.size - 1).astype(np.int32)
