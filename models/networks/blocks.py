"""Residual blocks: one for float networks, one for networks that run on integers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..integer.fixed_point import saturate
from ..integer.layers import FloatConv, FloatGain


class FixedBlock(nn.Module):
    """Residual block of the trunk and the prior: every value stays an activation in Q4.6."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = FloatConv(channels, channels, 3)
        self.gain = FloatGain(channels)
        self.conv2 = FloatConv(channels, channels, 3, input_min=0)
        self.conv2.weight.data.mul_(0.3)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        inner = saturate(self.gain(self.conv1(x), quality), low=0)
        return saturate(x + self.conv2(inner))


def zero_conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """Return a convolution that starts at zero: what it corrects starts uncorrected."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


class Block(nn.Module):
    """Residual block of the analysis and the synthesis, conditioned on quality."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.gain = FloatGain(channels)
        self.conv2 = zero_conv(channels, channels)

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.conv2(F.leaky_relu(self.gain(self.conv1(x), quality), 0.1))
