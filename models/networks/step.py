"""The networks of one step of a top-down pass, as the trunk and the masked diffusion take it.

    h -> block -> head -> mean, scale index -> (a coder) -> values -> embedding -> h

A step codes some channels, at every position or at some squares (`codec.symbols.schedule`). Where
it codes slice by slice, each slice knows how far those before it were from their means, at its own
position. The 1x1 convolutions for that cost next to nothing (`ChannelContext`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from ...codec.quality.curve import MAX_QUALITY, step_of
from ...codec.symbols.fixed_point import KNOTS, UNIT
from ...codec.symbols.scales import LOG_RATIO, QUARTERS, SCALE_MIN, SCALES
from ...codec.symbols.schedule import EVERYWHERE, CodingStep, Squares
from ..integer.fixed_point import leaky_clamp, saturate, two_scales
from ..integer.layers import FloatConv, FloatGain
from .blocks import FixedBlock


@lru_cache(maxsize=64)
def _positions(height: int, width: int, squares: Squares, device: torch.device) -> Tensor:
    """Return the (n,) flat positions of some squares in row-major order; n may be 0.

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


def pick_quality(quality: Tensor, squares: Squares) -> Tensor:
    """Gather the qualities of some squares: (B, 1, H, W) -> (B, 1, n); (B,) stays what it is."""
    return quality if quality.dim() == 1 else pick(quality, squares)


def place(x: Tensor, squares: Squares, height: int, width: int) -> Tensor:
    """Undo `pick`, with zeros on the other squares: (B, C, n) -> (B, C, H, W)."""
    if squares == EVERYWHERE:
        return x.unflatten(2, (height, width))
    board = x.new_zeros(*x.shape[:2], height * width)
    board[..., _positions(height, width, squares, x.device)] = x
    return board.unflatten(2, (height, width))


class ChannelContext(nn.Module):
    """Corrects the prediction of a slice of channels from the residuals of the slices before it.

    After Minnen & Singh 2020, "Channel-wise autoregressive entropy models".

    The outputs of two convolutions are added, here and to those of the head. Each has been shifted
    by a bit at least, so that their sums are exact as well.
    """

    def __init__(self, width: int, hidden: int, known: int, channels: int):
        super().__init__()
        self.state = FloatConv(width, hidden, 1)
        self.residual = FloatConv(2 * known, hidden, 1)
        self.head = FloatConv(hidden, 2 * channels, 1, input_min=0)
        for conv, std in ((self.state, 0.5), (self.residual, 1.0), (self.head, 0.0)):
            nn.init.normal_(conv.weight, std=std / math.sqrt(conv.weight.shape[1]))

    def forward(self, state: Tensor, residual: Tensor) -> Tensor:
        """(B, width, n, 1), (B, 2 known, n, 1) of `two_scales` -> (B, 2 channels, n, 1)."""
        return self.head(saturate(self.state(state) + self.residual(residual), low=0))


class StepNetwork(nn.Module):
    """The networks of one step over a state h, (B, width, H, W) activations.

    Args:
        width: channels of the state.
        step: what the step codes.
        is_last: nothing follows that could learn from it.
        scales: of `two_scales`, for what is embedded.
        hidden: channels of a `ChannelContext`.
    """

    def __init__(
        self,
        width: int,
        step: CodingStep,
        is_last: bool,
        scales: tuple[int, int],
        hidden: int = 0,
    ):
        super().__init__()
        channels = step.stop - step.start
        self.channels, self.scales = channels, scales
        self.block = FixedBlock(width) if step.has_block else None
        self.head = FloatConv(width, 2 * channels, 1)
        self.head_gain = FloatGain(2 * channels)
        self.channel_contexts = nn.ModuleList(
            ChannelContext(width, hidden, start - step.start, stop - start)
            for start, stop in step.slices[1:]
        )
        self.embed = None if is_last else FloatConv(2 * channels, width, 3)
        means, indices = self.head.weight.data.chunk(2)
        nn.init.zeros_(means)
        nn.init.normal_(indices, std=0.002)  # scales that hardly depend on the state
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=0.5 / math.sqrt(channels * 9))

    def advance(self, h: Tensor, quality: Tensor) -> Tensor:
        """Return the state that has looked at itself: (B, width, H, W)."""
        return h if self.block is None else self.block(h, quality)

    def outputs(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Return the numbers of the head's outputs for some channels: means, then indices."""
        means = torch.arange(start, stop, device=device)
        return torch.cat([means, self.channels + means])

    def predict(self, raw: Tensor, quality: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (activations) and quarters of scale indices of a slice, (B, c, n) each.

        Args:
            raw: (B, 2c, n, 1) outputs of the head, and of the channel context, before their gain.
            quality: (B,), or (B, 1, n).
            outputs: (2c,) their numbers, to which the gain belongs.
        """
        if quality.dim() == 3:
            quality = quality[..., None]
        pair = self.head_gain(raw, quality, outputs)[..., 0].unflatten(1, (2, -1))
        return self.within_range(pair[:, 0], pair[:, 1])

    def within_range(self, mean: Tensor, quarters: Tensor) -> tuple[Tensor, Tensor]:
        """Saturate means (activations) and quarters of scale indices, and return them in float."""
        return saturate(mean).float(), leaky_clamp(quarters, 0, (SCALES - 1) * QUARTERS).float()

    def correction(self, here: Tensor, number: int, residual: Tensor) -> Tensor:
        """Return what is added to the head's outputs for slice `number`, from 1 on.

        Args:
            here: (B, width, n, 1), the state where the step codes.
            number: of the slice.
            residual: (B, k, n) activations, the slices before it less their means.
        """
        seen = two_scales(residual[..., None].to(here.dtype), *self.scales)
        return self.channel_contexts[number - 1](here, seen)

    def learn(self, h: Tensor, values: Tensor) -> Tensor:
        """Return the state that knows what was coded.

        Args:
            h: (B, width, H, W).
            values: (B, C, H, W) activations, zero where the step does not code.
        """
        if self.embed is None:
            return h
        return saturate(h + self.embed(two_scales(values.to(h.dtype), *self.scales)))

    @torch.no_grad()
    def start_scales(self, spread: Tensor) -> None:
        """Start the scales at `spread` (C,) pixels over the step, at every quality."""
        gain = self.head_gain
        steps = step_of(torch.linspace(0, MAX_QUALITY, KNOTS, device=spread.device))
        index = torch.log(spread / steps[:, None] / SCALE_MIN) / LOG_RATIO
        index = index.clamp(4, SCALES - 4)
        gain.knots[:, 1, len(spread) :] = index * (QUARTERS / UNIT)
