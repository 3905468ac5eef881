"""A gated PixelCNN that is conditioned on features of z (van den Oord 2016; PixelVAE)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .flows import MaskedConv

FIRST_SIDE = 5


class GatedBlock(nn.Module):
    """x + 1x1(tanh(a) sigmoid(b)), a and b from a masked convolution and the features."""

    def __init__(self, width: int, seen: int):
        super().__init__()
        self.masked = MaskedConv(width, 2 * width, itself=True)
        self.condition = nn.Conv2d(seen, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """H (B, width, H, W), features (B, seen, H, W) or (B, seen, 1, 1) -> (B, width, H, W)."""
        a, b = (self.masked(h) + self.condition(features)).chunk(2, dim=1)
        return h + self.out(torch.tanh(a) * torch.sigmoid(b))


class PixelCnn(nn.Module):
    """Parameters of each pixel from the pixels before it, in raster order, and from z."""

    def __init__(
        self, image: tuple[int, int, int], seen: int, width: int, layers: int, outputs: int
    ):
        super().__init__()
        self.first = MaskedConv(image[0], width, itself=False, side=FIRST_SIDE)
        self.blocks = nn.ModuleList(GatedBlock(width, seen) for _ in range(layers))
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """X (B, C, H, W) in [0, 1] and features of z -> (B, outputs, H, W)."""
        if features.dim() == 2:
            features = features[:, :, None, None]
        h = self.first(2 * x - 1)
        for block in self.blocks:
            h = block(h, features)
        return self.head(functional.elu(h))
