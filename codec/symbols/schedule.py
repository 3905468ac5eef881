"""In which steps the context and the latents are coded: which channels, at which positions.

A step codes some channels at every position, or at some squares of the grid. Its channels may be
coded slice by slice, each slice with the slices before it known.

    context (stride 32): by zones of frequency, each in three steps
        E . E .        E even rows and columns first,
        . D . D        D those diagonally between them next,
        E . E .        . the rest last
        . D . D
    latents (stride 8): by levels of frequency; the first levels in two steps on a checkerboard
        A n A n        A anchors first,
        n A n A        n non-anchors last (He et al. 2021)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from ..config import ModelConfig
from .frequencies import context_order, latent_order

Squares = frozenset[tuple[int, int]]
"""Positions of a grid, as the (row, column) of those in its first 4x4."""

EVERYWHERE: Squares = frozenset((row, column) for row in range(4) for column in range(4))
ANCHORS: Squares = frozenset((row, column) for row, column in EVERYWHERE if (row + column) % 2 == 0)
NON_ANCHORS: Squares = EVERYWHERE - ANCHORS
EVEN: Squares = frozenset((row, column) for row, column in ANCHORS if row % 2 == 0)
CORNERS: Squares = frozenset({(0, 0)})  # every fourth position a side

# The squares of the steps of the first zone and of the others, and whether a residual block looks
# at the state first. The first step has nothing to look at. The step of the diagonal squares does
# without: the 3x3 embedding of the even squares already reaches them.
_FIRST_ZONE = (
    (CORNERS, False),
    (EVEN - CORNERS, True),
    (ANCHORS - EVEN, True),
    (NON_ANCHORS, True),
)
_OTHER_ZONES = ((EVEN, True), (ANCHORS - EVEN, False), (NON_ANCHORS, True))


@dataclass(frozen=True)
class CodingStep:
    """One step of a top-down pass.

    Attributes:
        number: of the step, from 0 on.
        level: the zone of the context, or the level of the latents.
        start, stop: the channels that it codes.
        squares: where it codes them.
        has_block: whether a residual block updates the state first.
        slices: (start, stop) of the channels that are coded together, in order.
    """

    number: int
    level: int
    start: int
    stop: int
    squares: Squares
    has_block: bool
    slices: tuple[tuple[int, int], ...]


@cache
def context_schedule(config: ModelConfig) -> tuple[CodingStep, ...]:
    """Return the steps of the context prior, coarse to fine."""
    inner = [end for end in config.prior_zones if end < config.context_channels]
    steps: list[CodingStep] = []
    for zone, (start, stop) in enumerate(pairwise([0, *inner, config.context_channels])):
        count = min(config.prior_slices, stop - start)
        ends = [start + (stop - start) * number // count for number in range(count + 1)]
        for squares, has_block in _OTHER_ZONES if zone else _FIRST_ZONE:
            slices = tuple(pairwise(ends))
            steps.append(CodingStep(len(steps), zone, start, stop, squares, has_block, slices))
    return tuple(steps)


@cache
def latent_schedule(config: ModelConfig) -> tuple[CodingStep, ...]:
    """Return the steps of the trunk, coarse to fine."""
    steps: list[CodingStep] = []
    for level, (start, stop) in enumerate(pairwise(accumulate(config.level_channels, initial=0))):
        halves = (ANCHORS, NON_ANCHORS) if level < config.checkerboard_levels else (EVERYWHERE,)
        for squares in halves:
            steps.append(
                CodingStep(len(steps), level, start, stop, squares, True, ((start, stop),))
            )
    return tuple(steps)


@cache
def context_mask(config: ModelConfig, is_grey: bool) -> NDArray[np.bool_]:
    """Tell which context channels are coded: all, or luma's alone. bool (C,), read-only."""
    return _mask([plane == 0 or not is_grey for plane, _, _ in context_order(config)])


@cache
def latent_mask(config: ModelConfig, is_grey: bool) -> NDArray[np.bool_]:
    """Tell which latent channels are coded: all, or luma's alone. bool (C,), read-only."""
    order = latent_order(config.latent_channels)
    return _mask([plane == 0 or not is_grey for plane, _, _ in order])


def _mask(values: list[bool]) -> NDArray[np.bool_]:
    mask = np.array(values)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=64)
def positions(height: int, width: int, squares: Squares) -> NDArray[np.int64]:
    """Return the flat positions of some squares in row-major order: int64 (n,), n may be 0."""
    flat = np.arange(height * width, dtype=np.int64).reshape(height, width)
    chosen = [flat[row::4, column::4].ravel() for row, column in squares]
    found = np.sort(np.concatenate(chosen))
    found.setflags(write=False)
    return found


def pick(x: NDArray, squares: Squares) -> NDArray:
    """Gather what lies on some squares: (B, C, H, W) -> (B, C, n)."""
    flat = x.reshape(*x.shape[:2], -1)
    return flat if squares == EVERYWHERE else flat[..., positions(*x.shape[2:], squares)]


def place(x: NDArray, squares: Squares, size: tuple[int, int]) -> NDArray:
    """Undo `pick`, with zeros on the other squares: (B, C, n) -> (B, C, H, W)."""
    if squares == EVERYWHERE:
        return x.reshape(*x.shape[:2], *size)
    board = np.zeros((*x.shape[:2], size[0] * size[1]), x.dtype)
    board[..., positions(*size, squares)] = x
    return board.reshape(*x.shape[:2], *size)
