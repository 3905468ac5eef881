"""A tile's words to its context and latents: all levels, some, or those that are intact."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..bitstream import (
    Header,
    StreamDamaged,
    Tile,
    TileDamaged,
    Truncated,
    check_empty,
    coder_of,
    level_checks,
)
from ..models.coders import LatentCoder
from ..models.config import LATENTS_A_SIDE
from .encoder import context_integers
from .grey import coded_context, walk_latents
from .sampling import Draws, Sampling
from .symbols import AnsStack, Limiter, SymbolReader
from .tiling import Window
from .weights import Codec


@dataclass(frozen=True, eq=False)
class DecodedTile:
    """A tile's place, its context (1, C, h, w) and its latents (1, C, 4h, 4w).

    Attributes:
        coded: what it was decoded from.
        latents: None where only the context was wanted.
        intact: levels that are as they were coded, from the context on, of those asked for.
        damaged: whether levels are left out that are there, but not as they were coded.
    """

    window: Window
    coded: Tile
    context: Tensor
    latents: Tensor | None
    intact: int
    damaged: bool

    def cut(self, window: Window) -> DecodedTile:
        """Return what a window that touches the tile holds of it, and let the rest go."""
        shared = self.window.cut(window)
        if shared == self.window:
            return self
        context = self.context[(..., *shared.slices(self.window, 1))].clone()
        latents = self.latents
        if latents is not None:
            latents = latents[(..., *shared.slices(self.window, LATENTS_A_SIDE))].clone()
        return replace(self, window=shared, context=context, latents=latents)


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def decode_tile(
    codec: Codec,
    header: Header,
    tile: Tile,
    number: int,
    window: Window,
    *,
    levels: int | None = None,
    keep_going: bool = False,
    context_only: bool = False,
    sampling: Sampling | None = None,
) -> DecodedTile:
    """Pop a tile's symbols, coarse to fine, and check that they are what was pushed.

    Args:
        codec: the weights that wrote it.
        header: of the file.
        tile: what was read of it.
        number: of the tile, row by row.
        window: its patches.
        levels: of the file, to decode; the rest is left at the model's means. None for all.
        keep_going: leave out levels that are missing or damaged, and those behind them.
        context_only: leave the latents alone.
        sampling: how to draw the levels that are left out; None leaves them at their means.

    Raises:
        Truncated: levels are missing.
        TileDamaged: the symbols are not what was pushed.
    """
    every = len(tile.level_words)
    wanted = every if levels is None else min(levels, every)
    there = intact = min(wanted, tile.whole_levels)
    if there < wanted and not keep_going:
        raise Truncated(f"the file ends before level {there} of tile {number}, from 0 on")
    while True:
        stacks: list[AnsStack] = []
        trunk = SymbolReader(stacks)
        context = latents = reason = None
        try:
            coder = coder_of(tile.words[: sum(tile.level_words[:intact])])
            stacks.append(AnsStack(coder, codec.tables))
            context = _context(codec, header, window, stacks[0] if intact else None)
            if not context_only:
                drawn = SymbolReader([Draws(codec.tables, sampling, number)]) if sampling else None
                limited = Limiter(trunk, max(0, intact - 1), drawn)
                latents = _latents(codec, header, context, limited)
            if intact == every:
                check_empty(coder)
        except StreamDamaged as error:
            reason = str(error)
        first = [] if context is None or not intact else [[context_integers(context)]]
        checks = level_checks(number, [*first, *trunk.levels])
        good = tile.intact_levels(checks)
        if context is not None and reason is None and good == intact:
            return DecodedTile(window, tile, context, latents, intact, damaged=intact < there)
        if not keep_going:
            raise TileDamaged(number, reason) if reason else TileDamaged(number)
        intact = min(good, intact - 1)


def _context(codec: Codec, header: Header, window: Window, stack: AnsStack | None) -> Tensor:
    """Pop the context (1, C, h, w) of a tile; zeros where it has no words left."""
    if stack is None:
        return torch.zeros(1, codec.config.context_channels, *window.size)
    at = torch.full((1,), header.quality)
    coded = coded_context(codec.config, header.color.is_grey)
    return codec.prior(header.prior).pop(stack, window.size, at, codec.norm, coded)


def _latents(codec: Codec, header: Header, context: Tensor, coder: LatentCoder) -> Tensor:
    """Walk down the levels of the latents; returns them, (1, C, 4h, 4w)."""
    model, at = codec.model_at(header.quality), torch.full((1,), header.quality)
    return walk_latents(model, context, at, coder, is_grey=header.color.is_grey)
