"""The coders of a codec: what decides the values of a slice when a tile is written or read.

Encoder and decoder of one kind of variable stand one under the other. Both handle a batch of tiles
of one size, each with a stack of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..quality.curve import CURVATURE
from .fixed_point import CONTEXT_UNIT
from .scale_offsets import choose_offsets
from .scales import QUARTERS
from .schedule import CodingStep, pick
from .stack import SymbolStack
from .tables import (
    Tables,
    context_index,
    latent_index,
    offset_context_index,
    offset_index,
)
from .walk import Prediction, SymbolCoder

ERROR_PRICE = 14.0
"""How much dearer an error of the context is than the curvature of the distortion says: all that
comes later is predicted from it. Found on validation images (docs/experiments.csv)."""

Residual = Callable[[], NDArray]
Pairs = list[tuple[NDArray[np.int32], NDArray[np.int32]]]
"""What is coded of a level, in the order of popping: pmf indices and symbols, (n,) each."""


def push_pairs(stack: SymbolStack, pairs: Pairs) -> None:
    """Push a level, so that its first pair is popped first."""
    for index, symbols in reversed(pairs):
        stack.push(index, symbols)


def _gaussians(prediction: Prediction) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return pmf indices and whole parts of means of a slice of the context, (B, c, n) each."""
    eighths = np.rint(prediction.mean * CONTEXT_UNIT).astype(np.int32)
    scale_index = (prediction.quarters.astype(np.int32) + QUARTERS // 2) // QUARTERS
    return context_index(eighths, scale_index)


class ContextEncoder:
    """Rounds the context, to the other integer where that saves more bits than its error is worth.

    Args:
        tables: of the weights.
        mask: bool (C,), the channels that are coded; the others are zero.
        decides: whether it rounds at all; the context may be whole numbers already.
    """

    def __init__(self, tables: Tables, mask: NDArray[np.bool_], *, decides: bool = True):
        self.tables, self.mask, self.decides = tables, mask, decides
        self._slices: list[tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]] = []

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        start, stop = step.slices[number]
        mask = self.mask[start:stop]
        index, whole = _gaussians(prediction)
        values = residual() + prediction.mean
        symbols = self._rounded(index, values - whole) if self.decides else values - whole
        symbols = np.where(mask[:, None], np.rint(symbols).astype(np.int32), -whole)
        channels = start + np.flatnonzero(mask)
        self._slices.append((channels, index[:, mask], symbols[:, mask]))
        return whole + symbols - prediction.mean

    def _rounded(self, index: NDArray[np.int32], values: NDArray) -> NDArray:
        """Return integers, all but for rates the nearest ones."""
        near = np.floor(values + 0.5)
        other = np.where(values < near, near - 1, near + 1)
        saved = self.tables.context_bits(index, near) - self.tables.context_bits(index, other)
        worth = ERROR_PRICE * CURVATURE * (1 - 2 * np.abs(values - near))
        return np.where(saved > worth, other, near)

    def pairs(self, place: int = 0) -> Pairs:
        """Return what is coded of a tile: its scale offsets, then each slice."""
        slices = [(channels, t[place], s[place]) for channels, t, s in self._slices]
        channels = np.concatenate([np.repeat(channels, t.shape[1]) for channels, t, _ in slices])
        own = offset_index(np.bincount(channels, minlength=self.mask.size))
        offsets = choose_offsets(
            channels,
            np.concatenate([t.ravel() for _, t, _ in slices]),
            np.concatenate([s.ravel() for _, _, s in slices]),
            offset_context_index,
            own,
            self.tables.pmfs,
        )
        pairs = [(own[self.mask], offsets[self.mask])]
        for channels, index, symbols in slices:
            index = offset_context_index(index, offsets[channels, None])
            pairs.append((index.ravel(), symbols.ravel()))
        return pairs


class ContextDecoder:
    """Pops the context of each tile off its stack.

    Args:
        stacks: one a tile, on which what `ContextEncoder.pairs` gave lies on top.
        mask: see `ContextEncoder`.
        patches: of a tile.
    """

    def __init__(self, stacks: Sequence[SymbolStack], mask: NDArray[np.bool_], patches: int):
        self.stacks, self.mask = stacks, mask
        own = offset_index(np.full(mask.size, patches))[mask]
        self.offsets = np.zeros((len(stacks), mask.size), np.int32)
        for place, stack in enumerate(stacks):
            self.offsets[place, mask] = stack.pop(own)

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        start, stop = step.slices[number]
        mask = self.mask[start:stop]
        index, whole = _gaussians(prediction)
        symbols = -whole
        if mask.any():
            index = offset_context_index(index, self.offsets[:, start:stop, None])[:, mask]
            for place, stack in enumerate(self.stacks):
                popped = stack.pop(index[place].ravel())
                symbols[place, mask] = popped.reshape(index.shape[1:])
        return whole + symbols - prediction.mean


@dataclass(frozen=True)
class _Coded:
    """What a step codes of a tile: channels, quarters and symbols, (n,) each.

    `width` is the number of channels of the step.
    """

    channels: NDArray[np.intp]
    quarters: NDArray[np.uint8]
    symbols: NDArray[np.int32]
    width: int

    @property
    def count(self) -> NDArray[np.intp]:
        """How many symbols each channel codes: (width,)."""
        return np.bincount(self.channels, minlength=self.width)


def _is_coded(
    is_skipped: NDArray[np.bool_] | None,
    mask: NDArray[np.bool_],
    step: CodingStep,
    prediction: Prediction,
) -> NDArray[np.bool_]:
    """Tell which latents of a step are coded, (B, C, n); the others are zero on both sides.

    Args:
        is_skipped: bool (quarters,), the scales whose symbols are not coded; None for none.
        mask: bool (C,), the channels that are coded.
        step: the step.
        prediction: of the step.
    """
    coded = np.broadcast_to(mask[step.start : step.stop, None], prediction.quarters.shape)
    return coded if is_skipped is None else coded & ~is_skipped[prediction.quarters]


class LatentEncoder:
    """Rounds the residuals of the latents, and finds scale offsets once a level is known.

    Args:
        tables: of the weights.
        mask: bool (C,), the channels that are coded; the others are zero.
        tiles: in the batch.
        skips: whether what is all but surely zero is not coded.
    """

    def __init__(
        self, tables: Tables, mask: NDArray[np.bool_], tiles: int = 1, *, skips: bool = True
    ):
        self.tables, self.mask = tables, mask
        self.is_skipped = tables.is_skipped if skips else None
        self._calls: list[list[list[_Coded]]] = [[] for _ in range(tiles)]  # place, level, step

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        symbols = np.rint(residual())
        coded = _is_coded(self.is_skipped, self.mask, step, prediction)
        symbols = np.where(coded, symbols, np.float32(0))
        for place, levels in enumerate(self._calls):
            if step.level == len(levels):
                levels.append([])
            where = np.flatnonzero(coded[place])
            levels[step.level].append(
                _Coded(
                    channels=where // coded.shape[2],
                    quarters=prediction.quarters[place].ravel()[where],
                    symbols=symbols[place].ravel()[where].astype(np.int32),
                    width=step.stop - step.start,
                )
            )
        return symbols

    def levels(self, place: int = 0) -> list[Pairs]:
        """Return what is coded of a tile: of each level its scale offsets, then each step."""
        return [self._level(calls) for calls in self._calls[place]]

    def _level(self, calls: list[_Coded]) -> Pairs:
        own = offset_index(calls[0].count)
        offsets = choose_offsets(
            np.concatenate([call.channels for call in calls]),
            np.concatenate([call.quarters for call in calls]),
            np.concatenate([call.symbols for call in calls]),
            latent_index,
            own,
            self.tables.pmfs,
        )
        pairs = [(own, offsets)]
        for call in calls:
            index = latent_index(call.quarters, offsets[call.channels])
            pairs.append((index, call.symbols))
        return pairs


class LatentDecoder:
    """Pops the latents of each tile off its stack.

    Args:
        stacks: one a tile.
        tables: of the weights.
        mask, skips: see `LatentEncoder`.

    Attributes:
        coded: of each tile and level, the offsets, then the symbols of each step: what the checks
            of a tile are of.
    """

    def __init__(
        self,
        stacks: Sequence[SymbolStack],
        tables: Tables,
        mask: NDArray[np.bool_],
        *,
        skips: bool = True,
    ):
        self.stacks, self.mask = stacks, mask
        self.is_skipped = tables.is_skipped if skips else None
        self.coded: list[dict[int, list[NDArray[np.int32]]]] = [{} for _ in stacks]

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        coded = _is_coded(self.is_skipped, self.mask, step, prediction)
        symbols = np.zeros(coded.shape, np.float32)
        for place, (stack, levels) in enumerate(zip(self.stacks, self.coded, strict=True)):
            where = np.flatnonzero(coded[place])
            channels = where // coded.shape[2]
            quarters = prediction.quarters[place].ravel()[where]
            if step.level not in levels:
                count = np.bincount(channels, minlength=step.stop - step.start)
                levels[step.level] = [stack.pop(offset_index(count))]
            offsets = levels[step.level][0]
            popped = stack.pop(latent_index(quarters, offsets[channels]))
            levels[step.level].append(popped)
            symbols[place].reshape(-1)[where] = popped
        return symbols


class FirstLevels:
    """Leaves the levels beyond the first ones to another coder, or at their means.

    Args:
        coder: codes the first levels.
        levels: how many.
        rest: codes the others; None leaves them at their means.
    """

    def __init__(self, coder: SymbolCoder, levels: int, rest: SymbolCoder | None = None):
        self.coder, self.levels, self.rest = coder, levels, rest

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        coder = self.coder if step.level < self.levels else self.rest
        if coder is None:
            return np.zeros(prediction.quarters.shape, np.float32)
        return coder.code(step, number, prediction, residual)


class TargetResidual:
    """Codes target latents in place of what the posterior gives: (B, C, H, W) in steps."""

    def __init__(self, targets: NDArray, coder: SymbolCoder):
        self.targets, self.coder = targets, coder

    def code(
        self, step: CodingStep, number: int, prediction: Prediction, residual: Residual
    ) -> NDArray:
        """See `walk.SymbolCoder`."""
        wanted = pick(self.targets[:, step.start : step.stop], step.squares)
        return self.coder.code(step, number, prediction, lambda: wanted - prediction.mean)
