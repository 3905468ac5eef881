"""The network of the diffusion over contexts: residual blocks at one scale (DVP-VAE, app. C.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..diffusion import alpha_sigma
from ..distributions import Normal

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


class Network(nn.Module):
    """Sees y_t and its log-SNR, and puts out `outputs` channels, which are zero at first.

    The place in the grid is an input as well: a coefficient of the DCT is not like its neighbour.
    """

    def __init__(self, channels: int, side: int, width: int, blocks: int, outputs: int):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, width, side, side))
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, 4 * width), nn.SiLU())
        self.mix = nn.Linear(4 * width, 4 * width)
        self.blocks = nn.ModuleList(TimedBlock(width, dropout=0.1) for _ in range(blocks))
        self.head = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def raw(self, y: Tensor, log_snr: Tensor) -> Tensor:
        """Y (B, channels, d, d) and log_snr (B,) -> (B, outputs, d, d)."""
        time = self.mix(self.time(time_features(log_snr)))
        h = self.stem(y) + self.place
        for block in self.blocks:
            h = block(h, time)
        return self.head(functional.silu(h))


class NoiseNetwork(Network):
    """Finds the noise in y_t (DVP-VAE, app. A)."""

    def __init__(self, channels: int, side: int, width: int, blocks: int):
        super().__init__(channels, side, width, blocks, outputs=channels)

    def forward(self, y: Tensor, log_snr: Tensor) -> Tensor:
        """Return the noise in y (B, c, d, d) at log_snr (B,)."""
        _, sigma = alpha_sigma(log_snr, y)
        return sigma * y + self.raw(y, log_snr)  # the best guess for u ~ N(0, I), where raw is 0


class InputNetwork(Network):
    """Finds u without the noise, and its variance (DCT-VAE, app. C).

    Raw outputs of zero give what is known of u ~ N(0, I): mean alpha y and deviation sigma.
    """

    def __init__(self, channels: int, side: int, width: int, blocks: int):
        super().__init__(channels, side, width, blocks, outputs=2 * channels)

    def forward(self, y: Tensor, log_snr: Tensor) -> Normal:
        """Return what is believed of u, for y (B, c, d, d) at log_snr (B,)."""
        alpha, sigma = alpha_sigma(log_snr, y)
        shift, log_scale = self.raw(y, log_snr).chunk(2, dim=1)
        return Normal(alpha * y + sigma * shift, sigma.log() + log_scale)


def time_features(log_snr: Tensor) -> Tensor:
    """Return sines and cosines of the log-SNR, (B,) -> (B, TIME_FEATURES)."""
    half = TIME_FEATURES // 2
    exponents = torch.arange(half).to(log_snr) / half
    angles = log_snr[:, None] * torch.exp(-math.log(HIGHEST) * exponents) * 2
    return torch.cat([angles.sin(), angles.cos()], dim=1)
