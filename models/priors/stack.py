"""The stack of symbols that the research priors code on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...codec.symbols.stack import SymbolStack
from ...codec.symbols.tables import context_index


class TensorStack:
    """A stack of the codec for networks that think in tensors: what is pushed last is popped first.

    Popping before pushing (bits-back) takes from what lies there already.
    """

    def __init__(self, stack: SymbolStack):
        self.stack = stack

    def push(self, eighths: Tensor, scale_index: Tensor, values: Tensor) -> None:
        """Push integers (n,), each under a Gaussian: means (n,) in eighths, scale indices (n,)."""
        index, whole = context_index(_integers(eighths), _integers(scale_index))
        self.stack.push(index, _integers(values) - whole)

    def pop(self, eighths: Tensor, scale_index: Tensor) -> Tensor:
        """Pop what was pushed under the same Gaussians: (n,) integers."""
        index, whole = context_index(_integers(eighths), _integers(scale_index))
        return torch.from_numpy((self.stack.pop(index) + whole).astype(np.int64))

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """Push symbols (n,) in 0...K-1 under masses of their own.

        Args:
            pmf: int64 (n, K), each >= 1, of sum 2**24 in a row.
            symbols: (n,) integers.
        """
        self.stack.push_under(_masses(pmf), _integers(symbols))

    def pop_under(self, pmf: Tensor) -> Tensor:
        """Pop what was pushed under the same masses: (n,) integers in 0...K-1."""
        return torch.from_numpy(self.stack.pop_under(_masses(pmf), len(pmf)).astype(np.int64))


def _integers(values: Tensor) -> NDArray[np.int32]:
    """Integers in any carrier -> int32."""
    return values.to(torch.int32).numpy()


def _masses(pmf: Tensor) -> NDArray[np.int64]:
    """Masses (n, K) -> int64; a single row where it was expanded, which needs one model only."""
    return (pmf[:1] if len(pmf) and pmf.stride(0) == 0 else pmf).numpy()
