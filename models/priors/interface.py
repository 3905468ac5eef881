"""What a prior of the context is.

A prior is fitted by minimising `bits`. The masked diffusion codes by `codec.symbols.walk`. The
others are modules that start anew, code by `push` and `pop`, and are sampled by popping from a
stack that draws at random.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..integer.norms import Norm
from .stack import TensorStack


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
    """A prior that codes on a `TensorStack`."""

    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Start from training images, before the first step of fitting.

        Args:
            patches: (n, C) coefficients of patches in pixels, over the gain of their steps.
            spread: (C,) their standard deviations.
        """
        ...

    def push(
        self, stack: TensorStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        """Push the context (1, C, h, w) of a tile; `mask` (C,) bool tells which channels.

        `u` is zero in the other channels, which `pop` knows as well (grey images).
        """
        ...

    def pop(
        self,
        stack: TensorStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        mask: Tensor,
    ) -> Tensor:
        """Pop the context (1, C, h, w), float64 integers, of `size` (h, w) patches."""
        ...
