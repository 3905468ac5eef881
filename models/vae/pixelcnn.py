"""A gated PixelCNN that is conditioned on features of z (van den Oord 2016; PixelVAE).

It has one stack of masked convolutions, so a pixel sees most of those before it, not all: those far
to the right in the rows above are in its blind spot.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FIRST_SIDE = 5


class MaskedConv(nn.Conv2d):
    """A convolution that sees, in raster order, the pixels before and perhaps the same one.

    All channels of a pixel are one place in the order.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, itself: bool, side: int = 3):
        super().__init__(inputs, outputs, side, padding=side // 2)
        mask = torch.zeros(side, side)
        mask[: side // 2] = 1
        mask[side // 2, : side // 2 + int(itself)] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class GatedBlock(nn.Module):
    """x + 1x1(tanh(a) sigmoid(b)), a and b from a masked convolution and the features."""

    def __init__(self, width: int):
        super().__init__()
        self.masked = MaskedConv(width, 2 * width, itself=True)
        self.condition = nn.Conv2d(width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """H and features, (B, width, H, W) each -> the same shape."""
        a, b = (self.masked(h) + self.condition(features)).chunk(2, dim=1)
        return h + self.out(torch.tanh(a) * torch.sigmoid(b))


class PixelCnn(nn.Module):
    """Parameters of each pixel from the pixels before it, in raster order, and from z."""

    def __init__(self, image: tuple[int, int, int], width: int, layers: int, outputs: int):
        super().__init__()
        self.first = MaskedConv(image[0], width, itself=False, side=FIRST_SIDE)
        self.blocks = nn.ModuleList(GatedBlock(width) for _ in range(layers))
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """X (B, C, H, W) in [0, 1], features of z (B, width, H, W) -> (B, outputs, H, W)."""
        h = self.first(2 * x - 1)
        for block in self.blocks:
            h = block(h, features)
        return self.head(functional.elu(h))
