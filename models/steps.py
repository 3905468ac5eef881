"""One step of a top-down walk, as the trunk and the masked diffusion take it, on integers only.

    h -> block -> head -> mean, scale index -> (a coder) -> what was coded -> way back -> h

A step codes a slice of channels at all positions, or at one colour of a checkerboard (He et al.
2021, "Checkerboard context model for efficient learned image compression").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .blocks import FixedBlock
from .coders import SCALE_MAX, SCALE_MIN, SCALES
from .fixed_point import KNOTS, UNIT, saturate, two_scales
from .leaves import FloatConv, FloatGain, Leaves
from .quality import QUALITIES, step_of

INDEX_UNIT = 4
"""A scale index is a head's output divided by 4."""


class Part(NamedTuple):
    """What one step codes: the channels of a level, at all positions or at half of them."""

    level: int
    start: int
    stop: int
    parity: int | None


def parts_between(ends: Sequence[int], halved: int) -> list[Part]:
    """Return what the steps over some levels code, coarse to fine, the first levels in halves.

    Args:
        ends: where the channels of levels begin and end, from 0 on.
        halved: how many of the first levels are coded in two half steps.
    """
    parts = []
    for level, (start, stop) in enumerate(pairwise(ends)):
        parities = (0, 1) if level < halved else (None,)
        parts += [Part(level, start, stop, parity) for parity in parities]
    return parts


def _squares(height: int, width: int, parity: int, device: torch.device) -> Tensor:
    """Return the (n,) flat positions of one colour of the checkerboard; n may be 0."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return ((rows[:, None] + columns) % 2 == parity).flatten().nonzero()[:, 0]


def pick(x: Tensor, parity: int | None) -> Tensor:
    """Gather one colour of the checkerboard, or all: (B, C, H, W) -> (B, C, n)."""
    if parity is None:
        return x.flatten(2)
    return x.flatten(2)[..., _squares(x.shape[2], x.shape[3], parity, x.device)]


def place(x: Tensor, parity: int | None, height: int, width: int) -> Tensor:
    """The inverse of `pick`, with zeros on the other colour: (B, C, n) -> (B, C, H, W)."""
    if parity is None:
        return x.unflatten(2, (height, width))
    board = x.new_zeros(*x.shape[:2], height * width)
    board[..., _squares(height, width, parity, x.device)] = x
    return board.unflatten(2, (height, width))


class Step(nn.Module):
    """The networks of one step over a state h, (B, width, H, W) activations.

    Args:
        width: channels of the state.
        part: what the step codes.
        last: nothing follows that could learn of it.
        leaves: float or integer layers.
        scales: of what was coded, (left, right) of `two_scales`, for the way back.
    """

    def __init__(self, width: int, part: Part, last: bool, leaves: Leaves, scales: tuple[int, int]):
        super().__init__()
        channels = part.stop - part.start
        self.scales = scales
        self.block = FixedBlock(width, leaves)
        self.head = leaves.conv(width, 2 * channels, 1)
        self.head_gain = leaves.gain(2 * channels)
        self.embed = None if last else leaves.conv(2 * channels, width, 3)
        if isinstance(self.head, FloatConv):
            _start_head(self.head)
        if isinstance(self.embed, FloatConv):
            nn.init.normal_(self.embed.weight, std=0.5 / math.sqrt(channels * 9))

    def predict(self, h: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new state, means (activations) and scale indices (0...63) of the slice."""
        h = self.block(h, quality)
        mean, index = self.head_gain(self.head(h), quality).chunk(2, dim=1)
        return h, saturate(mean).float(), _within_scales(index).float() / INDEX_UNIT

    def learn(self, h: Tensor, coded: Tensor) -> Tensor:
        """Return the state that knows what was coded: (B, C, H, W), zero where nothing was."""
        if self.embed is None:
            return h
        return saturate(h + self.embed(two_scales(coded.to(h.dtype), *self.scales)))


def _start_head(head: FloatConv) -> None:
    """Start a head at means of zero, and at scales that hardly depend on its input."""
    means, indices = head.weight.data.chunk(2)
    nn.init.zeros_(means)
    nn.init.normal_(indices, std=0.002)


def _within_scales(index: Tensor) -> Tensor:
    """Saturate scale indices, in units of 1/4.

    In training a tenth of the gradient passes a saturated index, or it could never come back.
    """
    inside = index.clamp(0, (SCALES - 1) * INDEX_UNIT)
    if index.requires_grad:
        beyond = 0.1 * (index - inside)
        inside = inside + (beyond - beyond.detach())
    return inside


@torch.no_grad()
def start_scales(gain: nn.Module, spread: Tensor) -> None:
    """Start a head's scales at `spread` (C,) pixels over the step, at every quality."""
    assert isinstance(gain, FloatGain)
    steps = step_of(torch.linspace(0, QUALITIES - 1, KNOTS))
    index = torch.log(spread / steps[:, None] / SCALE_MIN) / math.log(SCALE_MAX / SCALE_MIN)
    index = (index * (SCALES - 1)).clamp(4, SCALES - 4)
    gain.knots[:, 1, len(spread) :] = index * (INDEX_UNIT / UNIT)
