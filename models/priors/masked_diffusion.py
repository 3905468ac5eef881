"""Masked diffusion over the context: an absorbing-state diffusion with a fixed order of reveals.

Hoogeboom et al. 2022, "Autoregressive diffusion models": each step reveals a part of the variables
given all that are known, at all patches at once. Here the order is fixed, by zones of frequency,
coarse to fine. Each zone takes three steps: every second patch a side, those between them
diagonally, and the rest; the means, which come first, begin at every fourth patch a side. Within a
step slices of the zone's channels know those before them (`steps.Refinement`). So there are few
steps, each one exact to code.

    quality -> h
    for each zone:   h -> block -> head -> mean, scale index -> coder -> coefficients of a slice
                            the next slice of the zone's channels  <- refinement <-
                     h <- h + embed(coefficients)

The state h sees a patch further round it with each convolution, so that later zones, which hold
most of the bits, are predicted by the deepest network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..coders import CURVATURE, LatentCoder, gaussian_bits, scale_of
from ..config import ModelConfig
from ..corrections import choose, corrected, tables_of
from ..fixed_point import OFFSETS, saturate
from ..leaves import FloatGain, Leaves
from ..steps import BLACK, CORNERS, EVEN, WHITE, Part, Squares, Step, pick, place, start_scales
from .interface import Norm, SymbolStack, pop_rows

_FIRST = ((CORNERS, False), (EVEN - CORNERS, True), (BLACK - EVEN, True), (WHITE, True))
_OTHERS = ((EVEN, True), (BLACK - EVEN, False), (WHITE, True))
"""On which squares the steps of the first zone and of the others code, and whether a block looks
first: there is nothing to look at in the beginning, and what EVEN squares say of those diagonally
between them the way back tells."""


ERROR_PRICE = 14.0
"""How much dearer an error of the context is than the curvature of the distortion says: all that
comes later is foreseen from it. Found on validation images (docs/experiments.md)."""


Slice = tuple[Tensor, Tensor, Tensor]
"""What is coded of a slice: numbers of its channels (c,), tables and symbols (c, n)."""


def steps_of(config: ModelConfig) -> list[Part]:
    """Return the schedule of reveals: channels, on which squares, and where a block looks first."""
    inner = [end for end in config.prior_zones if end < config.context_channels]
    parts = []
    for zone, (start, stop) in enumerate(pairwise([0, *inner, config.context_channels])):
        parts += [Part(zone, start, stop, *turn) for turn in (_OTHERS if zone else _FIRST)]
    return parts


def _residual(context: Tensor | None, channels: Tensor, squares: Squares, whole: Tensor) -> Tensor:
    assert context is not None, "this coder needs a context"
    return pick(context[:, channels].double(), squares) - whole


class _Recorder:
    """Finds what each slice codes, tables and symbols (c, n), for it is pushed in reverse."""

    def __init__(self) -> None:
        self.slices: list[tuple[Tensor, Tensor]] = []

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        symbols = posterior()
        self.slices.append((scale_index[0], symbols[0]))
        return symbols


class _Decider(_Recorder):
    """Rounds, but to the other side where that saves more bits than its error is worth."""

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        at, index = posterior(), torch.floor(scale_index / OFFSETS)
        mean, scale = scale_index / OFFSETS - index, scale_of(index)
        near = torch.floor(at + 0.5)
        other = torch.where(at < near, near - 1, near + 1)
        saved = gaussian_bits(near - mean, scale) - gaussian_bits(other - mean, scale)
        worth = ERROR_PRICE * CURVATURE * (1 - 2 * (at - near).abs())
        decided = torch.where(saved > worth, other, near)
        return super().code(level, scale_index, lambda: decided)


class Popper:
    """Pops each slice of some tiles, each off its own stack."""

    def __init__(self, stacks: Sequence[SymbolStack]):
        self.stacks = stacks

    def code(self, level: int, scale_index: Tensor, posterior: Callable[[], Tensor]) -> Tensor:
        """See `LatentCoder`."""
        popped = pop_rows(self.stacks, scale_index.flatten(1))
        return popped.to(scale_index).view(scale_index.shape)


class MaskedDiffusion(nn.Module):
    """Prior p(u) of the context, in the steps of `steps_of`."""

    def __init__(self, config: ModelConfig, leaves: Leaves):
        super().__init__()
        self.channels, self.width = config.context_channels, config.prior_width
        self.schedule = steps_of(config)
        self.start = leaves.gain(self.width)
        if isinstance(self.start, FloatGain):
            nn.init.normal_(self.start.knots.data[:, 1], std=0.3)
        last = len(self.schedule) - 1
        self.steps = nn.ModuleList(
            Step(
                self.width,
                part,
                i == last,
                leaves,
                scales=(2, 2),
                slices=config.prior_slices,
                hidden=config.prior_hidden,
            )
            for i, part in enumerate(self.schedule)
        )

    def start_from(self, coefficients: Tensor, spread: Tensor) -> None:
        """Start scales at each coefficient's standard deviation (C,), in pixels over the gain."""
        for part, step in zip(self.schedule, self.steps, strict=True):
            assert isinstance(step, Step)
            start_scales(step.head_gain, spread[part.start : part.stop])

    def _begin(self, like: Tensor, quality: Tensor) -> Tensor:
        """Return the state that knows nothing but the quality: (B, width, h, w)."""
        nothing = like.new_zeros(like.shape[0], self.width, *like.shape[2:])
        return saturate(self.start(nothing, quality))

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return -log2 p(u), one term a slice; see `interface.ContextPrior`."""
        known = norm.inward(u, quality)
        h = self._begin(known, quality)
        sums = []
        for part, step in zip(self.schedule, self.steps, strict=True):
            assert isinstance(step, Step)
            h, here, raw = step.begin(h, quality)
            at, surprises = pick(known[:, part.start : part.stop], part.squares), []
            for number, (start, stop) in enumerate(pairwise(step.ends)):
                if number:
                    raw = step.refine(raw, here, number, torch.cat(surprises, dim=1))
                mean, index = step.foresee(raw, quality, number)
                channels = slice(part.start + start, part.start + stop)
                centre = norm.outward(mean, quality, channels) / OFFSETS
                residual = pick(u[:, channels], part.squares) - centre
                sums.append(gaussian_bits(residual, scale_of(index)).sum(dim=(1, 2)))
                surprises.append(at[:, start:stop] - mean)
            h = step.learn(h, at)
        return torch.stack(sums)

    def push(
        self, stack: SymbolStack, u: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> None:
        """See `interface.ContextPrior`."""
        self.push_slices(stack, self._walked(_Recorder(), u, quality, norm, coded)[1], u, coded)

    def decide(
        self, exact: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> tuple[Tensor, list[Slice]]:
        """Round a context (1, C, h, w), where bits are worth it not to the nearest integer.

        Returns:
            (1, C, h, w) integers, float64, and what `push_slices` pushes of them.
        """
        return self._walked(_Decider(), exact, quality, norm, coded)

    def push_slices(
        self, stack: SymbolStack, slices: list[Slice], u: Tensor, coded: Tensor
    ) -> None:
        """Push the slices of a context u (1, C, h, w), and on top what corrects their scales."""
        own = self._own_tables((u.shape[2], u.shape[3]))
        channels, tables, symbols = (
            torch.cat([part.flatten() for part in parts])
            for parts in zip(*((c[:, None].expand_as(t), t, x) for c, t, x in slices), strict=True)
        )
        corrections = choose(channels, tables, symbols, corrected, own, stack.cost)
        for which, tables, symbols in reversed(slices):
            better = corrected(tables, corrections[which, None])
            stack.push(better.flatten(), symbols.flatten())
        stack.push(own[coded], corrections[coded])

    def _walked(
        self, recorder: _Recorder, context: Tensor, quality: Tensor, norm: Norm, coded: Tensor
    ) -> tuple[Tensor, list[Slice]]:
        size = (1, context.shape[2], context.shape[3])
        u = self.walk(size, quality, norm, recorder, coded, context=context)
        known = zip(self._slices(coded), recorder.slices, strict=True)
        return u, [(channels, *pair) for channels, pair in known]

    def pop(
        self,
        stack: SymbolStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        coded: Tensor,
    ) -> Tensor:
        """See `interface.ContextPrior`."""
        corrections = self.pop_corrections(stack, size, coded)[None]
        return self.walk((1, *size), quality, norm, Popper([stack]), coded, corrections=corrections)

    def pop_corrections(self, stack: SymbolStack, size: tuple[int, int], coded: Tensor) -> Tensor:
        """Pop what comes first: the corrections (C,) of a tile's scales, zero where not coded."""
        corrections = torch.zeros(self.channels, dtype=torch.long)
        corrections[coded] = stack.pop(self._own_tables(size)[coded]).long()
        return corrections

    def _own_tables(self, size: tuple[int, int]) -> Tensor:
        """Return the tables (C,) for corrections of a tile of `size` (h, w) patches."""
        return tables_of(torch.full((self.channels,), size[0] * size[1]))

    def _slices(self, coded: Tensor) -> Iterator[Tensor]:
        """Yield the coded channels of each slice in the order of a walk."""
        for part, step in zip(self.schedule, self.steps, strict=True):
            assert isinstance(step, Step)
            for start, stop in pairwise(step.ends):
                channels = torch.arange(part.start + start, part.start + stop)
                yield channels[coded[channels]]

    def walk(
        self,
        size: tuple[int, int, int],
        quality: Tensor,
        norm: Norm,
        coder: LatentCoder,
        coded: Tensor,
        context: Tensor | None = None,
        corrections: Tensor | None = None,
    ) -> Tensor:
        """Code the context of `size` (B, h, w) patches step by step, on integers.

        Args:
            size: tiles, and patches of each.
            quality: (B,) integers.
            norm: the norm shared with the trunk.
            coder: gets table numbers, scale index times eight plus eighths of the mean, and the
                context less the whole part of the mean.
            coded: (C,) bool, the channels that are coded; the others are zero.
            context: (B, C, h, w) integers, or what is to become them, for coders that ask.
            corrections: (B, C) of their scales; none yet where they are to be found.

        Returns:
            (B, C, h, w) integer context, float64.
        """
        b, rows, columns = size
        u = torch.zeros(b, self.channels, rows, columns, dtype=torch.float64, device=quality.device)
        first = self.steps[0]
        assert isinstance(first, Step)
        h = self._begin(u.to(first.head.weight.dtype), quality)
        for part, step in zip(self.schedule, self.steps, strict=True):
            assert isinstance(step, Step)
            h, here, raw = step.begin(h, quality)
            revealed, known, surprises = [], [], []
            for number, (start, stop) in enumerate(pairwise(step.ends)):
                if number:
                    raw = step.refine(raw, here, number, torch.cat(surprises, dim=1))
                mean, index = step.foresee(raw, quality, number)
                channels = slice(part.start + start, part.start + stop)
                some = coded[channels].nonzero()[:, 0]
                at = norm.outward(mean, quality, channels)[:, some]
                whole = torch.floor(at / OFFSETS)
                table = OFFSETS * torch.floor(index[:, some] + 0.5) + at - OFFSETS * whole
                if corrections is not None:
                    table = corrected(table, corrections[:, channels.start + some, None])
                residual = partial(_residual, context, channels.start + some, part.squares, whole)
                symbols = torch.zeros_like(mean, dtype=u.dtype)
                symbols[:, some] = coder.code(part.level, table, residual) + whole
                revealed.append(symbols)
                known.append(norm.inward(symbols, quality, channels))
                surprises.append(known[-1] - mean)
            board = place(torch.cat(revealed, dim=1), part.squares, rows, columns)
            u[:, part.start : part.stop] += board
            h = step.learn(h, torch.cat(known, dim=1))
        return u
