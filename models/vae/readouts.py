"""What p(x | z) sees of the walk, brought to the side of the image.

aggregate   sum of all z_l, interpolated to the largest side, / sqrt(L)   (DVP-VAE, eq. 18)
path        the features h_1 of the last block                            (eq. 22)
bottom      z_1 alone                                                     (eq. 21)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ResBlock, glorot, resize
from .config import VaeConfig


class ConvReadout(nn.Module):
    """Puts out features of each pixel, (B, width, H, W), for a convolutional model."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.kind, self.skips = config.readout, config.skips
        self.side, self.bottom = config.image[1], config.sides[0]
        seen = config.latent_channels * (2 if self.skips else 1)
        width = config.width
        if self.kind == "path":
            seen = width
        self.stem = nn.Conv2d(seen, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(width, config.hidden) for _ in range(2)))
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, latents: Sequence[Tensor], h: Tensor) -> Tensor:
        """Z_L ... z_1 and h_1 -> features (B, width, H, W)."""
        if self.kind == "aggregate":
            x = torch.stack([resize(z, self.bottom) for z in latents]).sum(0) / len(latents) ** 0.5
        elif self.kind == "path":
            x = h
        elif self.skips:
            x = torch.cat([resize(z, self.bottom) for z in latents[-2:]], dim=1)
        else:
            x = latents[-1]
        x = resize(self.blocks(self.stem(x)), self.side)
        return functional.silu(self.last(functional.silu(x)))


class MlpReadout(nn.Module):
    """Two hidden tanh layers before the pixels (OU-VAE, sec. 5.1)."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        seen = sum(config.units[: 2 if config.skips else 1])
        hidden = config.mlp_hidden[0]
        self.net = nn.Sequential(
            nn.Linear(seen, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()
        )
        glorot(self.net)

    def forward(self, latents: Sequence[Tensor], h: Tensor) -> Tensor:
        """What p(x | ...) sees, (B, units) -> (B, hidden)."""
        return self.net(h)
