"""The network of the diffusion over contexts: residual blocks at one scale (DVP-VAE, app. C.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..diffusion import alpha_sigma

TIME_FEATURES = 32
HIGHEST = 1000.0


class TimedBlock(nn.Module):
    """A residual block of two 3x3 convolutions that the time shifts and scales."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norm = nn.GroupNorm(min(4, width), width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(4 * width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        """H (B, width, d, d) and time (B, 4 width) -> (B, width, d, d)."""
        scale, shift = self.time(functional.silu(time))[:, :, None, None].chunk(2, dim=1)
        y = self.first(functional.silu(self.norm(h)))
        return h + self.second(self.dropout(functional.silu(y * (1 + scale) + shift)))


class Denoiser(nn.Module):
    """Puts out the noise in y_t, or u itself, from y_t and its log-SNR.

    The place in the grid is an input as well: a coefficient of the DCT is not like its neighbour.
    """

    def __init__(self, channels: int, side: int, width: int, blocks: int, predict: str):
        super().__init__()
        self.predict = predict
        self.place = nn.Parameter(torch.zeros(1, width, side, side))
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, 4 * width), nn.SiLU())
        self.mix = nn.Linear(4 * width, 4 * width)
        self.blocks = nn.ModuleList(TimedBlock(width, dropout=0.1) for _ in range(blocks))
        self.head = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, y: Tensor, log_snr: Tensor) -> Tensor:
        """Return the noise in y (B, c, d, d) at log_snr (B,)."""
        time = self.mix(self.time(time_features(log_snr)))
        h = self.stem(y) + self.place
        for block in self.blocks:
            h = block(h, time)
        raw = self.head(functional.silu(h)).to(y.dtype)
        alpha, sigma = alpha_sigma(log_snr, y)
        if self.predict == "noise":
            return sigma * y + raw  # the best guess for u ~ N(0, I), where raw is zero
        return (y - alpha * raw) / sigma


def time_features(log_snr: Tensor) -> Tensor:
    """Return sines and cosines of the log-SNR, (B,) -> (B, TIME_FEATURES)."""
    half = TIME_FEATURES // 2
    exponents = torch.arange(half).to(log_snr) / half
    angles = log_snr[:, None] * torch.exp(-math.log(HIGHEST) * exponents) * 2
    return torch.cat([angles.sin(), angles.cos()], dim=1)
