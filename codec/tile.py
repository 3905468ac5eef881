"""A tile's words to its context and latents: all levels, some, or those that are intact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..bitstream import (
    Coder,
    Header,
    StreamDamaged,
    Tile,
    TileDamaged,
    Truncated,
    check_empty,
    coder_of,
    level_checks,
)
from ..models.fixed_point import OFFSETS
from .grey import luma_of
from .symbols import Limiter, Selector, SymbolReader
from .tiling import Window
from .weights import Codec


@dataclass(frozen=True, eq=False)
class DecodedTile:
    """A tile's place, its context (1, C, h, w) and its latents (1, C, 4h, 4w).

    Attributes:
        coded: what it was decoded from.
        latents: None where only the context was wanted.
        damaged: whether levels are left out that are there, but not as they were coded.
        empty: whether nothing is left of it, not even the context.
    """

    window: Window
    coded: Tile
    context: Tensor
    latents: Tensor | None
    damaged: bool
    empty: bool


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
        stacks: list[Coder] = []
        prior = SymbolReader(stacks, codec.tables, 1)
        trunk = SymbolReader(stacks, codec.tables, OFFSETS)
        found = reason = None
        try:
            stacks.append(coder_of(tile.words[: sum(tile.level_words[:intact])]))
            found = _walk(codec, header, window, prior, trunk, intact, context_only)
            if intact == every:
                check_empty(stacks[0])
        except StreamDamaged as error:
            reason = str(error)
        steps = len(codec.model.entropy.prior.schedule)
        popped = [prior.levels] if len(prior.levels) == steps else []
        popped += [[level] for level in trunk.levels]
        good = tile.intact_levels(level_checks(number, popped))
        if found and reason is None and good == intact:
            return DecodedTile(window, tile, *found, damaged=intact < there, empty=intact == 0)
        if not keep_going:
            raise TileDamaged(number, reason) if reason else TileDamaged(number)
        intact = min(good, intact - 1)


def _walk(
    codec: Codec,
    header: Header,
    window: Window,
    prior: SymbolReader,
    trunk: SymbolReader,
    levels: int,
    context_only: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return context and latents of the first levels of a file, the rest at the model's means."""
    model, entropy = codec.model, codec.model.entropy
    at = torch.full((1,), header.quality)
    luma = luma_of(model) if header.color.is_grey else None
    coder = Selector(prior, luma.prior) if luma else prior
    steps = len(entropy.prior.schedule) if levels else 0
    context = entropy.prior.walk((1, *window.size), at, entropy.norm, Limiter(coder, steps))
    context = context * luma.context_mask if luma else context
    if context_only:
        return context, None
    coder = Selector(trunk, luma.trunk) if luma else trunk
    latents = model.latents(context, at, Limiter(coder, levels - 1))
    return context, latents * luma.latents_mask if luma else latents
