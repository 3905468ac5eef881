"""One step of a top-down walk, as the trunk and the masked diffusion take it, on integers only.

    h -> block -> head -> mean, scale index -> (a coder) -> what was coded -> way back -> h

A step codes some channels at all positions, or on some squares of a checkerboard (He et al.
2021, "Checkerboard context model for efficient learned image compression"). It may do so slice by
slice of its channels, each knowing how far those before it were from their means, at its own
position: 1x1 convolutions, which cost next to nothing (`Refinement`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import FixedBlock
from .coders import SCALE_MAX, SCALE_MIN, SCALES
from .fixed_point import KNOTS, UNIT, saturate, two_scales
from .leaves import FloatConv, FloatGain, Leaves
from .quality import QUALITIES, step_of

INDEX_UNIT = 4
"""A scale index is a head's output divided by 4."""


Squares = frozenset[tuple[int, int]]
"""Some positions of a grid, as the (row, column) of those in its first 4x4."""

EVERYWHERE: Squares = frozenset((row, column) for row in range(4) for column in range(4))
BLACK: Squares = frozenset((row, column) for row, column in EVERYWHERE if (row + column) % 2 == 0)
WHITE: Squares = EVERYWHERE - BLACK
CORNERS: Squares = frozenset({(0, 0)})  # every fourth position a side
# every second position a side
EVEN: Squares = frozenset((row, column) for row, column in BLACK if row % 2 == 0)


class Part(NamedTuple):
    """What one step codes: the channels of a level, at all positions or at some of them.

    Where `looks`, a block looks at the state first: it brings together what is known around each
    position. What the step before coded one position away is in the state without it.
    """

    level: int
    start: int
    stop: int
    squares: Squares
    looks: bool = True


@lru_cache(maxsize=64)
def _positions(height: int, width: int, squares: Squares, device: torch.device) -> Tensor:
    """Return the (n,) flat positions of some squares in their order; n may be 0.

    Their number follows from the size, so that a compiler need not look at them to count them.
    """
    with torch.inference_mode(False):  # who asks next may need a gradient
        flat = torch.arange(height * width, device=device).view(height, width)
        chosen = [flat[row::4, column::4].flatten() for row, column in sorted(squares)]
        return torch.cat(chosen).sort().values


def pick(x: Tensor, squares: Squares) -> Tensor:
    """Gather what lies on some squares: (B, C, H, W) -> (B, C, n)."""
    if squares == EVERYWHERE:
        return x.flatten(2)
    return x.flatten(2)[..., _positions(x.shape[2], x.shape[3], squares, x.device)]


def place(x: Tensor, squares: Squares, height: int, width: int) -> Tensor:
    """The inverse of `pick`, with zeros on other squares: (B, C, n) -> (B, C, H, W)."""
    if squares == EVERYWHERE:
        return x.unflatten(2, (height, width))
    board = x.new_zeros(*x.shape[:2], height * width)
    board[..., _positions(height, width, squares, x.device)] = x
    return board.unflatten(2, (height, width))


class Refinement(nn.Module):
    """Corrects what a step foresees of a slice of its channels, once those before it are known.

    h, coded - mean of the channels before -> 1x1 convolutions -> means and indices before the gain

    Outputs of two convolutions are added, here and in `Step.refine`: each has been shifted by a bit
    at least, so that their sums are exact as well.
    """

    def __init__(self, width: int, hidden: int, known: int, channels: int, leaves: Leaves):
        super().__init__()
        self.state = leaves.conv(width, hidden, 1)
        self.surprise = leaves.conv(2 * known, hidden, 1)
        self.head = leaves.conv(hidden, 2 * channels, 1, input_min=0)
        for conv, std in ((self.state, 0.5), (self.surprise, 1.0), (self.head, 0.0)):
            if isinstance(conv, FloatConv):
                nn.init.normal_(conv.weight, std=std / math.sqrt(conv.weight.shape[1]))

    def forward(self, h: Tensor, surprise: Tensor) -> Tensor:
        """(B, width, n, 1), (B, 2 known, n, 1) of `two_scales` -> (B, 2 channels, n, 1)."""
        return self.head(saturate(self.state(h) + self.surprise(surprise), low=0))


class Step(nn.Module):
    """The networks of one step over a state h, (B, width, H, W) activations.

    All but the block and the way back see only the n positions that the step codes.

    Args:
        width: channels of the state.
        part: what the step codes.
        last: nothing follows that could learn of it.
        leaves: float or integer layers.
        scales: of what was coded, (left, right) of `two_scales`, for the way back.
        slices: in how many slices of channels it is coded, at most.
        hidden: channels of a `Refinement`.

    Attributes:
        ends: where the slices begin and end, of the part's channels.
    """

    def __init__(
        self,
        width: int,
        part: Part,
        last: bool,
        leaves: Leaves,
        scales: tuple[int, int],
        slices: int = 1,
        hidden: int = 0,
    ):
        super().__init__()
        channels = part.stop - part.start
        count = min(slices, channels)
        self.ends = [channels * number // count for number in range(count + 1)]
        self.squares, self.scales = part.squares, scales
        self.block = FixedBlock(width, leaves) if part.looks else None
        self.head = leaves.conv(width, 2 * channels, 1)
        self.head_gain = leaves.gain(2 * channels)
        self.refinements = nn.ModuleList(
            Refinement(width, hidden, start, stop - start, leaves)
            for start, stop in pairwise(self.ends[1:])
        )
        self.embed = None if last else leaves.conv(2 * channels, width, 3)
        if isinstance(self.head, FloatConv):
            _start_head(self.head)
        if isinstance(self.embed, FloatConv):
            nn.init.normal_(self.embed.weight, std=0.5 / math.sqrt(channels * 9))

    def begin(self, h: Tensor, quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the new state, it where the step codes, and what it foresees there.

        Args:
            h: (B, width, H, W).
            quality: (B,).

        Returns:
            (B, width, H, W); (B, width, n, 1); (B, 2C, n, 1), see `foresee`.
        """
        if self.block is not None:
            h = self.block(h, quality)
        here = pick(h, self.squares)[..., None]
        return h, here, self.head(here)

    def foresee(self, raw: Tensor, quality: Tensor, number: int = 0) -> tuple[Tensor, Tensor]:
        """Return means (activations) and scale indices (0...63) of a slice, (B, c, n) each.

        Args:
            raw: (B, 2C, n, 1), both before their gain, of all channels.
            quality: (B,).
            number: of the slice.
        """
        mean, index = self.head_gain(raw, quality)[..., 0].chunk(2, dim=1)
        channels = slice(self.ends[number], self.ends[number + 1])
        mean, index = saturate(mean[:, channels]), _within_scales(index[:, channels])
        return mean.float(), index.float() / INDEX_UNIT

    def refine(self, raw: Tensor, here: Tensor, number: int, surprise: Tensor) -> Tensor:
        """Return `raw` with what is known of slices before slice `number`, from 1 on.

        Args:
            raw: (B, 2C, n, 1), see `foresee`.
            here: (B, width, n, 1), the state where the step codes.
            number: of the slice that comes next.
            surprise: (B, c, n), of the channels before it what was coded less its mean.
        """
        seen = two_scales(surprise[..., None].to(here.dtype), *self.scales)
        better = self.refinements[number - 1](here, seen).unflatten(1, (2, -1))
        around = self.ends[number], self.ends[-1] - self.ends[number + 1]
        return raw + F.pad(better, (0, 0, 0, 0, *around)).flatten(1, 2)

    def learn(self, h: Tensor, coded: Tensor) -> Tensor:
        """Return the state that knows what was coded.

        Args:
            h: (B, width, H, W).
            coded: (B, C, n), activations.
        """
        if self.embed is None:
            return h
        board = place(coded.to(h.dtype), self.squares, *h.shape[2:])
        return saturate(h + self.embed(two_scales(board, *self.scales)))


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
    steps = step_of(torch.linspace(0, QUALITIES - 1, KNOTS, device=spread.device))
    index = torch.log(spread / steps[:, None] / SCALE_MIN) / math.log(SCALE_MAX / SCALE_MIN)
    index = (index * (SCALES - 1)).clamp(4, SCALES - 4)
    gain.knots[:, 1, len(spread) :] = index * (INDEX_UNIT / UNIT)
