"""Where symbols are written and read: stacks for the context, coders for the walk of the trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Coder, PmfTables, bulk_words, pop, pop_under, push, push_under
from ..models.coders import LatentCoder
from ..models.corrections import TELLING, choose, tables_of
from ..models.priors.interface import TOTAL, SymbolStack, pop_rows
from ..models.steps import INDEX_UNIT
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

    def cost(self, tables: Tensor, symbols: Tensor) -> Tensor:
        """See `SymbolStack`."""
        return _cost(self.tables, tables, symbols)

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

    def cost(self, tables: Tensor, symbols: Tensor) -> Tensor:
        """See `SymbolStack`."""
        return _cost(self.tables, tables, symbols)

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
    """Encoder: rounds the posterior's residual, and finds corrections once a level is known.

    Attributes:
        coded: of each level a pair a call, scale indices in quarters and symbols, both int32
            (tiles, C, n).
    """

    def __init__(self, tables: PmfTables):
        self.tables = tables
        self.coded: list[list[tuple[Tensor, Tensor]]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        symbols = torch.round(posterior())
        _record(self.coded, level, (_quarters(scale_index), symbols.int()))
        return symbols

    def levels(self, tile: int = 0) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Return what is pushed of a tile.

        Returns:
            Of each level pairs (n,) of table numbers and symbols: its corrections, then those of
            each call.
        """
        return [self._level([(q[tile], x[tile]) for q, x in calls]) for calls in self.coded]

    def _level(self, calls: list[tuple[Tensor, Tensor]]) -> list[tuple[np.ndarray, np.ndarray]]:
        quarters = torch.cat([quarters for quarters, _ in calls], dim=1)
        symbols = torch.cat([symbols for _, symbols in calls], dim=1)
        channels = torch.arange(len(symbols))[:, None].expand_as(symbols)
        flat = channels.flatten(), quarters.flatten(), symbols.flatten()
        own = _own_tables(calls[0][0])
        corrections = choose(*flat, latent_tables, own, partial(_cost, self.tables))
        pairs = [(own, corrections)]
        pairs += [(latent_tables(q, corrections[:, None]), x) for q, x in calls]
        return [(_integers(numbers.flatten()), _integers(x.flatten())) for numbers, x in pairs]


class SymbolReader:
    """Decoder: pops the symbols of each tile off its own stack.

    Args:
        stacks: one a tile.

    Attributes:
        levels: of each level the corrections, then the symbols of each call, int32 (tiles, n).
    """

    def __init__(self, stacks: Sequence[SymbolStack]):
        self.stacks = stacks
        self.levels: list[list[np.ndarray]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`; never asks for the posterior."""
        quarters = _quarters(scale_index)
        if level == len(self.levels):
            self.levels.append([_integers(pop_rows(self.stacks, _own_tables(quarters)))])
        corrections = torch.from_numpy(self.levels[level][0])[..., None]
        symbols = pop_rows(self.stacks, latent_tables(quarters, corrections).flatten(1))
        self.levels[level].append(_integers(symbols))
        return symbols.to(scale_index).view(scale_index.shape)


class Limiter:
    """Lets another coder code the first levels, and a third the rest, which it counts from 0.

    Without a third the rest are zero, and so at their means.
    """

    def __init__(self, coder: LatentCoder, levels: int, rest: LatentCoder | None = None):
        self.coder, self.levels, self.rest = coder, levels, rest

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        if level < self.levels:
            return self.coder.code(level, scale_index, posterior)
        if self.rest is not None:
            return self.rest.code(level - self.levels, scale_index, posterior)
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


def _quarters(scale_index: Tensor) -> Tensor:
    return (INDEX_UNIT * scale_index).int()


def _own_tables(quarters: Tensor) -> Tensor:
    """Return the tables (..., C) for corrections, by a level's first scale indices (..., C, n)."""
    return tables_of((quarters >= INDEX_UNIT * TELLING).sum(-1))


def _cost(tables: PmfTables, numbers: Tensor, symbols: Tensor) -> Tensor:
    """Return the bits (n,) of symbols under tables with these numbers."""
    return torch.from_numpy(tables.bits(_integers(numbers), _integers(symbols)))


def _integers(values: Tensor) -> np.ndarray:
    """Integers in any carrier -> int32."""
    return values.to(torch.int32).cpu().numpy()


def _masses(pmf: Tensor) -> np.ndarray:
    """Masses (n, K) -> int64; a single row where it was expanded, which needs one model only."""
    return (pmf[:1] if pmf.stride(0) == 0 else pmf).cpu().numpy()
