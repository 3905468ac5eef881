"""Where symbols are written and read: stacks for the context, coders for the walk of the trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Coder, PmfTables, bulk_words, pop, pop_under, push, push_under
from ..models.coders import LatentCoder
from ..models.priors.interface import TOTAL
from .tables import latent_tables


class AnsStack:
    """The entropy coder's stack of a tile, as a prior of the context sees it.

    Attributes:
        lowest: the fewest words that popping left untouched since this stack was made, see
            `bitstream.level_words`.
    """

    def __init__(self, coder: Coder, tables: PmfTables):
        self.coder, self.tables = coder, tables
        self.lowest = bulk_words(coder)

    def push(self, tables: Tensor, symbols: Tensor) -> None:
        """See `models.priors.interface.SymbolStack`."""
        push(self.coder, _integers(tables), _integers(symbols), self.tables)

    def pop(self, tables: Tensor) -> Tensor:
        """See `SymbolStack`."""
        return self._popped(pop(self.coder, _integers(tables), self.tables))

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """See `SymbolStack`."""
        push_under(self.coder, _masses(pmf), _integers(symbols))

    def pop_under(self, pmf: Tensor) -> Tensor:
        """See `SymbolStack`."""
        return self._popped(pop_under(self.coder, _masses(pmf), len(pmf)))

    def _popped(self, symbols: np.ndarray) -> Tensor:
        self.lowest = min(self.lowest, bulk_words(self.coder))
        return torch.from_numpy(symbols.astype(np.int64))


class Ledger:
    """A stack that only notes what is pushed, and what it costs.

    Attributes:
        pairs: numbers of tables and symbols, (n,) each, of every push under tables.
        bits: of all pushes.
    """

    def __init__(self, tables: PmfTables):
        self.tables = tables
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []
        self.bits = 0.0

    def push(self, tables: Tensor, symbols: Tensor) -> None:
        """See `SymbolStack`."""
        self.pairs.append((_integers(tables), _integers(symbols)))
        self.bits += float(self.tables.bits(*self.pairs[-1]).sum())

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """See `SymbolStack`."""
        mass = pmf.gather(1, symbols.long()[:, None]).double()
        self.bits -= float(torch.log2(mass / TOTAL).sum())

    def pop(self, tables: Tensor) -> Tensor:
        """Refuse: nothing lies here."""
        raise NotImplementedError("a prior with bits-back is counted by a real stack")

    def pop_under(self, pmf: Tensor) -> Tensor:
        """Refuse: nothing lies here."""
        raise NotImplementedError("a prior with bits-back is counted by a real stack")


class SymbolWriter:
    """Encoder: rounds the posterior's residual, and records it with its table.

    Args:
        number: gives the numbers of tables, of scale indices.

    Attributes:
        levels: of each level a pair a call, table numbers uint16 and symbols int32, both
            (tiles, n).
    """

    def __init__(self, number: Callable[[Tensor], Tensor] = latent_tables):
        self.number = number
        self.levels: list[list[tuple[np.ndarray, np.ndarray]]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        symbols = torch.round(posterior())
        tables = _integers(self.number(scale_index).flatten(1)).astype(np.uint16)
        _record(self.levels, level, (tables, _integers(symbols.flatten(1))))
        return symbols


class SymbolReader:
    """Decoder: pops the symbols of each tile off its own stack.

    Args:
        stacks: one a tile.
        tables: all of them.
        number: see `SymbolWriter`.

    Attributes:
        levels: of each level the symbols of each call, int32 (tiles, n).
    """

    def __init__(
        self,
        stacks: Sequence[Coder],
        tables: PmfTables,
        number: Callable[[Tensor], Tensor] = latent_tables,
    ):
        self.stacks, self.tables, self.number = stacks, tables, number
        self.levels: list[list[np.ndarray]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`; never asks for the posterior."""
        rows = _integers(self.number(scale_index).flatten(1))
        popped = [pop(s, row, self.tables) for s, row in zip(self.stacks, rows, strict=True)]
        symbols = np.stack(popped)
        _record(self.levels, level, symbols)
        return torch.from_numpy(symbols).to(scale_index).view(scale_index.shape)


class Limiter:
    """Lets another coder code the first levels, and a third the rest.

    Without a third the rest are zero, and so at their means.
    """

    def __init__(self, coder: LatentCoder, levels: int, rest: LatentCoder | None = None):
        self.coder, self.levels, self.rest = coder, levels, rest

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        if level < self.levels:
            return self.coder.code(level, scale_index, posterior)
        if self.rest is not None:
            return self.rest.code(level, scale_index, posterior)
        return torch.zeros_like(scale_index)


class Selector:
    """Lets another coder code some channels of each level; the rest are zero on both sides.

    Args:
        coder: sees (B, c, n) of the chosen channels.
        chosen: bool (C,) for each level.
    """

    def __init__(self, coder: LatentCoder, chosen: Sequence[Tensor]):
        self.coder, self.chosen = coder, chosen

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        chosen = self.chosen[level]
        coded = self.coder.code(level, scale_index[:, chosen], lambda: posterior()[:, chosen])
        symbols = coded.new_zeros(scale_index.shape)
        symbols[:, chosen] = coded
        return symbols


def _record(levels: list[list[Any]], level: int, coded: object) -> None:
    """Note what a call coded of a level, which its first call begins."""
    if level == len(levels):
        levels.append([])
    levels[level].append(coded)


def _integers(values: Tensor) -> np.ndarray:
    """Integers in any carrier -> int32."""
    return values.to(torch.int32).cpu().numpy()


def _masses(pmf: Tensor) -> np.ndarray:
    """Masses (n, K) -> int64; a single row where it was expanded, which needs one model only."""
    return (pmf[:1] if pmf.stride(0) == 0 else pmf).cpu().numpy()
