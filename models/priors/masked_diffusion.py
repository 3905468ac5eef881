"""Masked diffusion over the context: an absorbing-state diffusion with a fixed order of reveals.

Hoogeboom et al. 2022, "Autoregressive diffusion models": each step reveals a part of the variables
given all that are known, at all patches at once. Here the order is fixed, by zones of frequency,
coarse to fine, the lowest zone on a checkerboard: few steps, each one exact to code.

    known coefficients, here and in neighbouring patches -> network of the step -> mean, scale
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..blocks import FixedBlock
from ..coders import LatentCoder, gaussian_bits, scale_of
from ..config import ModelConfig
from ..fixed_point import OFFSETS, saturate, two_scales
from ..leaves import FloatConv, Leaves
from ..trunk import Level, pick, place, split_head, start_head, start_scales
from .interface import Norm, SymbolStack


def steps_of(config: ModelConfig) -> list[Level]:
    """Return the schedule of reveals: channels, and the colour of the checkerboard if halved."""
    inner = [end for end in config.prior_zones if end < config.context_channels]
    steps = []
    for zone, (start, stop) in enumerate(pairwise([0, *inner, config.context_channels])):
        parities = (0, 1) if zone < config.prior_checkerboards else (None,)
        steps += [Level(start, stop, parity) for parity in parities]
    return steps


class PriorStep(nn.Module):
    """The network of one reveal."""

    def __init__(self, config: ModelConfig, level: Level, leaves: Leaves):
        super().__init__()
        width, channels = config.prior_width, level.stop - level.start
        self.stem = leaves.conv(2 * config.context_channels, width, 3)
        self.block = FixedBlock(width, leaves)
        self.head = leaves.conv(width, 2 * channels, 1)
        self.head_gain = leaves.gain(2 * channels)
        if isinstance(self.head, FloatConv):
            start_head(self.head)

    def forward(self, known: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised known context (B, C, h, w) -> means (activations) and scale indices."""
        h = self.block(
            saturate(self.stem(two_scales(known.to(self.stem.weight.dtype), 2, 2))), quality
        )
        mean, index = split_head(self.head_gain(self.head(h), quality))
        return mean.float(), index.float()


def _residual(
    context: Tensor | None, channels: Tensor, parity: int | None, whole: Tensor
) -> Tensor:
    assert context is not None, "this coder needs a context"
    return pick(context[:, channels].double(), parity) - whole


class _Recorder:
    """Finds what each step codes, for it is pushed in reverse."""

    def __init__(self) -> None:
        self.steps: list[tuple[Tensor, Tensor]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        symbols = posterior()
        self.steps.append((scale_index.flatten(), symbols.flatten()))
        return symbols


class _Popper:
    """Pops each step off a stack."""

    def __init__(self, stack: SymbolStack):
        self.stack = stack

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        return self.stack.pop(scale_index.flatten()).to(scale_index).view(scale_index.shape)


class MaskedDiffusion(nn.Module):
    """Prior p(u) of the context, in the steps of `steps_of`."""

    def __init__(self, config: ModelConfig, leaves: Leaves):
        super().__init__()
        self.channels = config.context_channels
        self.schedule = steps_of(config)
        self.steps = nn.ModuleList(PriorStep(config, s, leaves) for s in self.schedule)

    @torch.no_grad()
    def start_from(self, spread: Tensor) -> None:
        """Start scales at each coefficient's standard deviation (C,), in pixels."""
        for level, step in zip(self.schedule, self.steps, strict=True):
            assert isinstance(step, PriorStep)
            start_scales(step.head_gain, spread[level.start : level.stop])

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return -log2 p(u), one term a step; see `interface.ContextPrior`."""
        known = torch.zeros_like(u)
        sums = []
        for level, step in zip(self.schedule, self.steps, strict=True):
            channels = slice(level.start, level.stop)
            mean, index = step(norm.inward(known, quality), quality)
            mean = norm.outward(mean, quality, channels) / OFFSETS
            residual = pick(u[:, channels] - mean, level.parity)
            bits = gaussian_bits(residual, scale_of(pick(index, level.parity)))
            sums.append(bits.sum(dim=(1, 2)))
            known = known.clone()
            known[:, channels] += place(
                pick(u[:, channels], level.parity), level.parity, *u.shape[2:]
            )
        return torch.stack(sums)

    def push(
        self, stack: SymbolStack, u: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> None:
        """See `interface.ContextPrior`."""
        recorder = _Recorder()
        self.walk((1, u.shape[2], u.shape[3]), quality, norm, recorder, coded, u)
        for tables, symbols in reversed(recorder.steps):
            stack.push(tables, symbols)

    def pop(
        self,
        stack: SymbolStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        coded: Tensor,
    ) -> Tensor:
        """See `interface.ContextPrior`."""
        return self.walk((1, *size), quality, norm, _Popper(stack), coded)

    def walk(
        self,
        size: tuple[int, int, int],
        quality: Tensor,
        norm: Norm,
        coder: LatentCoder,
        coded: Tensor,
        context: Tensor | None = None,
    ) -> Tensor:
        """Code the context of `size` (B, h, w) patches step by step, on integers.

        Args:
            size: tiles, and patches of each.
            quality: (B,) integers.
            norm: the norm shared with the trunk.
            coder: gets table numbers, scale index times eight plus eighths of the mean, and the
                context less the whole part of the mean.
            coded: (C,) bool, the channels that are coded; the others are zero.
            context: (B, C, h, w) integers, for coders that ask.

        Returns:
            (B, C, h, w) integer context, float64.
        """
        b, h, w = size
        known = torch.zeros(b, self.channels, h, w, dtype=torch.float64, device=quality.device)
        for number, (level, step) in enumerate(zip(self.schedule, self.steps, strict=True)):
            channels = slice(level.start, level.stop)
            chosen = coded[channels]
            mean, index = step(norm.inward(known, quality), quality)
            mean = pick(norm.outward(mean, quality, channels)[:, chosen], level.parity)
            index = torch.floor(pick(index[:, chosen], level.parity) + 0.5)
            whole = torch.floor(mean / OFFSETS)
            table = OFFSETS * index + mean - OFFSETS * whole
            here = level.start + chosen.nonzero()[:, 0]
            residual = partial(_residual, context, here, level.parity, whole)
            symbols = coder.code(number, table, residual)
            known[:, here] += place(symbols + whole, level.parity, h, w)
        return known
