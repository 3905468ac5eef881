"""Integer layers at one quality, with all done that needs no input.

`layers` and `norms` make them. Graphs run them; on a GPU convolutions alone are prepared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fixed_point import PRE_GAIN_MAX, multiply_and_add, saturate

Channels = slice | Tensor
"""Some channels of a layer: a slice, or an int64 tensor of their numbers."""

EVERY = slice(None)


class PreparedConv(nn.Module):
    """An `IntegerConv` whose shifts are taken into its weights."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """See `IntegerConv`."""
        return multiply_and_add(x, self.weight, self.bias).floor()


class PreparedGain(nn.Module):
    """An `IntegerGain` at one quality, of the channels that it is given.

    Args:
        factor: (1, C, 1, 1), the scale over 64.
        offset: (1, C, 1, 1), the shift and the half for rounding.
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, factor: Tensor, offset: Tensor):
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """See `IntegerGain`; its channels are those of x."""
        return torch.floor(x.clamp(-PRE_GAIN_MAX, PRE_GAIN_MAX) * self.factor + self.offset)


class PreparedNorm(nn.Module):
    """An `IntegerNorm` at one quality, of the channels that it is given.

    Args:
        inward_row: (1, c, 1...) float64, times 2^-8.
        outward_row: (1, c', 1...) float64, times 2^-12.
    """

    inward_row: Tensor
    outward_row: Tensor

    def __init__(self, inward_row: Tensor, outward_row: Tensor):
        super().__init__()
        self.register_buffer("inward_row", inward_row)
        self.register_buffer("outward_row", outward_row)

    def inward(self, symbols: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """See `IntegerNorm`; its channels are those of the symbols."""
        return saturate(torch.floor(symbols.double() * self.inward_row + 0.5))

    def outward(self, x: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """See `IntegerNorm`; its channels are those of x."""
        return torch.floor(x.double() * self.outward_row + 0.5)
