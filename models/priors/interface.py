"""What a prior of the context is: the one interface of them all.

A prior is fitted by minimising `bits`, codes by `push` and `pop`, and is sampled by popping from a
stack that draws at random what it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..leaves import FloatNorm, IntegerNorm

Norm = FloatNorm | IntegerNorm

TOTAL = 2**24
"""Of the integer masses of a pmf."""


class SymbolStack(Protocol):
    """A stack of symbols: what is pushed last is popped first. The entropy coder's side of a tile.

    Popping before pushing (bits-back) takes from what lies there already.
    """

    def push(self, tables: Tensor, symbols: Tensor) -> None:
        """Push symbols (n,), each under the frozen table whose number (n,) goes with it.

        Table 8 i + f, up to 511, is scale i (`coders.scale_of`) about a mean of f eighths. Behind
        these stand the tables of `corrections`.
        """
        ...

    def cost(self, tables: Tensor, symbols: Tensor) -> Tensor:
        """Return the bits (n,) that symbols would take."""
        ...

    def pop(self, tables: Tensor) -> Tensor:
        """Pop what was pushed with the same tables: (n,) integers."""
        ...

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """Push symbols (n,) in 0...K-1 under masses of their own.

        Args:
            pmf: int64 (n, K), each >= 1, of sum 2**24 in a row.
            symbols: (n,) integers.
        """
        ...

    def pop_under(self, pmf: Tensor) -> Tensor:
        """Pop what was pushed under the same masses: (n,) integers in 0...K-1."""
        ...


def pop_rows(stacks: Sequence[SymbolStack], tables: Tensor) -> Tensor:
    """Pop symbols (tiles, n) under tables (tiles, n), a row off each tile's own stack."""
    return torch.stack([stack.pop(row) for stack, row in zip(stacks, tables, strict=True)])


class ContextPrior(Protocol):
    """p(u) of the integer context of a grid of patches, at a quality."""

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return -log2 p(u), or a bound from above, which fitting minimises.

        Args:
            u: (B, C, h, w) integers.
            quality: (B,).
            norm: brings symbols to activations and back.

        Returns:
            (terms, B) bits; their sum over terms is the bound.
        """
        ...

    def push(
        self, stack: SymbolStack, u: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> None:
        """Push the context (1, C, h, w) of a tile; `coded` (C,) bool tells which channels.

        `u` is zero in the other channels, which `pop` knows as well (grey images).
        """
        ...

    def pop(
        self,
        stack: SymbolStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        coded: Tensor,
    ) -> Tensor:
        """Pop the context (1, C, h, w), float64 integers, of `size` (h, w) patches."""
        ...
