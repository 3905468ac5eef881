"""The coders that write and read real symbols, for the walks of `models.trunk` and the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..bitstream import Coder, PmfTables, pop


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


def _tables(scale_index: Tensor, tables_per_index: int) -> np.ndarray:
    """Round indices to whole ones and number their tables: (B, C, n) -> uint16 (B, C n)."""
    whole = torch.floor(scale_index.flatten(1) + 0.5) * tables_per_index
    return whole.to(torch.int32).cpu().numpy().astype(np.uint16)
