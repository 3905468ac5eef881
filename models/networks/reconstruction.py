"""Where in the interval that a symbol stands for its latent is reconstructed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...codec.symbols.scales import QUARTERS

INDICES_A_BIN = 2
BINS = 12
"""Of scale indices; the last one also has all beyond."""

SIZES = 3
"""Of symbols: 1, 2, and more."""


class Reconstruction(nn.Module):
    """Offsets from the middle, in steps away from the mean, by scale and size of the symbol.

    What lies in an interval is not spread evenly over it, and the posterior has moved it. Only what
    the synthesis sees is offset; the trunk, which both sides run on integers, knows nothing of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Parameter(torch.zeros(BINS, SIZES))

    def forward(self, quarters: Tensor, symbols: Tensor) -> Tensor:
        """Return the offsets of symbols, by quarters of their scale indices; any one shape."""
        symbols = symbols.detach().round()
        bins = (quarters.detach() / (INDICES_A_BIN * QUARTERS)).long().clamp(0, BINS - 1)
        sizes = symbols.abs().clamp(1, SIZES).long() - 1
        return symbols.sign() * self.offsets[bins, sizes]
