"""What a prior of the context is, and the stack that the research priors code on.

A prior is fitted by minimising `bits`. The masked diffusion codes by `codec.walk`. The others code
by `push` and `pop`, and are sampled by popping from a stack that draws at random.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..layers import Norm


class SymbolStack(Protocol):
    """A stack of symbols: what is pushed last is popped first.

    Popping before pushing (bits-back) takes from what lies there already.
    """

    def push(self, eighths: Tensor, index: Tensor, values: Tensor) -> None:
        """Push integers (n,), each under a Gaussian: means (n,) in eighths, scale indices (n,)."""
        ...

    def pop(self, eighths: Tensor, index: Tensor) -> Tensor:
        """Pop what was pushed under the same Gaussians: (n,) integers."""
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


class ResearchPrior(ContextPrior, Protocol):
    """A prior that codes on a `SymbolStack`."""

    def push(
        self, stack: SymbolStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        """Push the context (1, C, h, w) of a tile; `mask` (C,) bool tells which channels.

        `u` is zero in the other channels, which `pop` knows as well (grey images).
        """
        ...

    def pop(
        self,
        stack: SymbolStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        mask: Tensor,
    ) -> Tensor:
        """Pop the context (1, C, h, w), float64 integers, of `size` (h, w) patches."""
        ...
