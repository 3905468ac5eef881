"""Networks: residual blocks, and networks that put out a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..distributions import Normal

LOG_STD = (-5.0, 1.0)
"""Range of log standard deviations; in the public code of DVP-VAE it is -5 to 0.5."""


class ResBlock(nn.Module):
    """1x1, 3x3, 3x3 and 1x1 convolutions, each after SiLU (VDVAE; DVP-VAE, fig. 2c).

    The input is added where it has as many channels as the output.
    """

    def __init__(self, width: int, hidden: int, out: int | None = None, damping: float = 1.0):
        super().__init__()
        out = width if out is None else out
        self.residual = out == width
        self.first = nn.Conv2d(width, hidden, 1)
        self.second = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.third = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, out, 1)
        with torch.no_grad():
            self.last.weight.mul_(damping)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, out, h, w)."""
        y = x
        for layer in (self.first, self.second, self.third, self.last):
            y = layer(functional.silu(y))
        return x + y if self.residual else y


def resize(x: Tensor, side: int) -> Tensor:
    """Bring (B, c, h, h) to (B, c, side, side): means where it shrinks, bilinear where it grows."""
    if x.shape[-1] == side:
        return x
    if x.shape[-1] > side:
        return functional.adaptive_avg_pool2d(x, side)
    return functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def gaussian_of(raw: Tensor) -> Normal:
    """Read a Gaussian from (B, 2 c, ...): means, then log deviations, clamped."""
    mean, log_std = raw.chunk(2, dim=1)
    return Normal(mean, log_std.clamp(*LOG_STD))


def glorot(network: nn.Module) -> None:
    """Initialise dense layers by Glorot's uniform distribution (2010), and their biases by 0.

    The public code of IWAE does the same. PyTorch's default has less variance: signals fade on
    their way through many layers.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class MlpGaussian(nn.Module):
    """Two hidden tanh layers, and a Gaussian (OU-VAE, sec. 5.1)."""

    def __init__(self, inputs: Sequence[int], hidden: int, units: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(sum(inputs), hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 2 * units),
        )
        glorot(self.net)

    def forward(self, inputs: Sequence[Tensor]) -> Normal:
        """Inputs (B, ...), flattened and joined, -> a Gaussian of (B, units)."""
        joined = torch.cat([x.flatten(1) for x in inputs], dim=1)
        return gaussian_of(self.net(joined))


class ConvGaussian(nn.Module):
    """A stem, residual blocks at the side of the output, and a Gaussian (OU-VAE, sec. 5.2)."""

    def __init__(
        self,
        inputs: Sequence[tuple[int, ...]],
        shape: tuple[int, ...],
        width: int,
        hidden: int,
        blocks: int,
    ):
        super().__init__()
        self.side = shape[-1]
        self.stem = nn.Conv2d(sum(c for c, *_ in inputs), width, 3, padding=1)
        damping = max(blocks, 1) ** -0.5
        self.blocks = nn.Sequential(
            *(ResBlock(width, hidden, damping=damping) for _ in range(blocks))
        )
        self.head = nn.Conv2d(width, 2 * shape[0], 1)

    def forward(self, inputs: Sequence[Tensor]) -> Normal:
        """Inputs (B, c, h, h) of any sides -> a Gaussian of (B, C, side, side)."""
        largest = max(x.shape[-1] for x in inputs)
        joined = torch.cat([resize(x, largest) for x in inputs], dim=1)
        h = resize(self.stem(joined), self.side)
        return gaussian_of(self.head(functional.silu(self.blocks(h))))
