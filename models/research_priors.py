"""The priors of the context that need PyTorch, as the codec calls them.

Gaussian diffusion, factorised, mixture and VampPrior: the papers' priors, for research. They code
tile by tile on the CPU, by `push` and `pop` on a stack of symbols.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..codec.conditions import CodingConditions
from ..codec.stack import SymbolStack
from ..codec.tables import context_tables
from ..codec.weight_file import WeightFile
from .priors.interface import ResearchPrior
from .settings import own_settings
from .weights import models_of


class ResearchPriors:
    """The priors of a weight file."""

    @own_settings()
    def __init__(self, file: WeightFile):
        self.context = models_of(file).context

    def _prior(self, name: str) -> ResearchPrior:
        return cast(ResearchPrior, self.context.priors[name])

    @own_settings()
    @torch.inference_mode()
    def push(
        self, name: str, stack: SymbolStack, u: NDArray[np.int32], conditions: CodingConditions
    ) -> None:
        """Push the context (C, h, w) of a tile."""
        context = torch.from_numpy(u.astype(np.float64))[None]
        mask = torch.from_numpy(conditions.context_mask.copy())
        at = torch.tensor([conditions.quality])
        self._prior(name).push(TensorStack(stack), context, at, self.context.norm, mask)

    @own_settings()
    @torch.inference_mode()
    def pop(
        self, name: str, stack: SymbolStack, size: tuple[int, int], conditions: CodingConditions
    ) -> NDArray[np.float32]:
        """Pop the context (C, h, w) of a tile of `size` (h, w) patches."""
        mask = torch.from_numpy(conditions.context_mask.copy())
        at = torch.tensor([conditions.quality])
        popped = self._prior(name).pop(TensorStack(stack), size, at, self.context.norm, mask)
        return popped[0].numpy().astype(np.float32)


class TensorStack:
    """A stack of the codec for networks that think in tensors; see `interface.SymbolStack`."""

    def __init__(self, stack: SymbolStack):
        self.stack = stack

    def push(self, eighths: Tensor, index: Tensor, values: Tensor) -> None:
        """See `interface.SymbolStack`."""
        tables, whole = context_tables(_integers(eighths), _integers(index))
        self.stack.push(tables, _integers(values) - whole)

    def pop(self, eighths: Tensor, index: Tensor) -> Tensor:
        """See `interface.SymbolStack`."""
        tables, whole = context_tables(_integers(eighths), _integers(index))
        return torch.from_numpy((self.stack.pop(tables) + whole).astype(np.int64))

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """See `interface.SymbolStack`."""
        self.stack.push_under(_masses(pmf), _integers(symbols))

    def pop_under(self, pmf: Tensor) -> Tensor:
        """See `interface.SymbolStack`."""
        return torch.from_numpy(self.stack.pop_under(_masses(pmf), len(pmf)).astype(np.int64))


def _integers(values: Tensor) -> NDArray[np.int32]:
    """Integers in any carrier -> int32."""
    return values.to(torch.int32).numpy()


def _masses(pmf: Tensor) -> NDArray[np.int64]:
    """Masses (n, K) -> int64; a single row where it was expanded, which needs one model only."""
    return (pmf[:1] if len(pmf) and pmf.stride(0) == 0 else pmf).numpy()
