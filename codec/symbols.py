"""The coders that write and read real symbols, for the walks of `models.trunk` and the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Coder, PmfTables, pop
from ..models.coders import LatentCoder


class SymbolWriter:
    """Encoder: rounds the posterior's residual, and records it with its table.

    Attributes:
        levels: a pair a call, table numbers uint16 and symbols int32, both (tiles, n).
    """

    def __init__(self, tables_per_index: int):
        self.tables_per_index = tables_per_index
        self.levels: list[tuple[np.ndarray, np.ndarray]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        symbols = torch.round(posterior())
        tables = _tables(scale_index, self.tables_per_index)
        self.levels.append((tables, symbols.flatten(1).to(torch.int32).cpu().numpy()))
        return symbols


class SymbolReader:
    """Decoder: pops the symbols of each tile off its own stack.

    Attributes:
        levels: the symbols of each call, int32 (tiles, n).
    """

    def __init__(self, stacks: Sequence[Coder], tables: PmfTables, tables_per_index: int):
        self.stacks, self.tables, self.tables_per_index = stacks, tables, tables_per_index
        self.levels: list[np.ndarray] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`; never asks for the posterior."""
        rows = _tables(scale_index, self.tables_per_index)
        popped = [pop(s, row, self.tables) for s, row in zip(self.stacks, rows, strict=True)]
        self.levels.append(np.stack(popped))
        return torch.from_numpy(self.levels[-1]).to(scale_index).view(scale_index.shape)


class Limiter:
    """Lets another coder code the first levels; the rest are zero, and so at their means."""

    def __init__(self, coder: LatentCoder, levels: int):
        self.coder, self.levels = coder, levels

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `models.coders.LatentCoder`."""
        if level < self.levels:
            return self.coder.code(level, scale_index, posterior)
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


def _tables(scale_index: Tensor, tables_per_index: int) -> np.ndarray:
    """Round indices to whole ones and number their tables: (B, C, n) -> uint16 (B, C n)."""
    whole = torch.floor(scale_index.flatten(1) + 0.5) * tables_per_index
    return whole.to(torch.int32).cpu().numpy().astype(np.uint16)
