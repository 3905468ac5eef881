"""Words to tiles: both walks, coarse to fine, and the checks of what they give.

`tile_encoder` is the way there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...bitstream import (
    Index,
    Prior,
    StreamDamaged,
    Tile,
    TileDamaged,
    Truncated,
    check_empty,
    coder_of,
    level_checks,
)
from ..config import LATENTS_A_SIDE
from ..networks.runtime import Floats
from ..networks.weights import Codec
from ..symbols.coders import ContextDecoder, FirstLevels, LatentDecoder
from ..symbols.stack import AnsStack, Sampling, SamplingStack, SymbolStack
from ..symbols.walk import walk
from .conditions import CodingConditions
from .tiling import Window


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
    context: Floats
    latents: Floats | None
    intact: int
    damaged: bool

    def crop(self, window: Window) -> DecodedTile:
        """Return what a window that touches the tile holds of it, and let the rest go."""
        shared = self.window.intersection(window)
        if shared == self.window:
            return self
        context = self.context[(..., *shared.slices(self.window, 1))].copy()
        latents = self.latents
        if latents is not None:
            latents = latents[(..., *shared.slices(self.window, LATENTS_A_SIDE))].copy()
        return replace(self, window=shared, context=context, latents=latents)


@dataclass(frozen=True, eq=False)
class TileSource:
    """A tile that is to be decoded: its number, its patches, and what was read of it."""

    number: int
    window: Window
    coded: Tile


@dataclass(frozen=True)
class Wanted:
    """What of a tile is decoded.

    Attributes:
        levels: of the file, from the context on; the rest is left at the model's means.
        keep_going: leave out levels that are missing or damaged, and those behind them.
        context_only: leave the latents alone.
        sampling: how to draw the levels that are left out; None leaves them at their means.
    """

    levels: int
    keep_going: bool = False
    context_only: bool = False
    sampling: Sampling | None = None


def pop_tiles(
    codec: Codec, index: Index, tiles: Sequence[TileSource], wanted: Wanted
) -> list[DecodedTile]:
    """Pop the symbols of tiles of one size, and check that they are what was pushed.

    Args:
        codec: the weights.
        index: of the file.
        tiles: of one size; those of a batch whose checks fail are popped once more, one by one.
        wanted: what of them.

    Raises:
        Truncated: levels are missing.
        TileDamaged: the symbols are not what was pushed.
    """
    there = [_levels_there(tile, wanted) for tile in tiles]
    if len(tiles) > 1 and len(set(there)) == 1:
        popped = _popped(codec, index, tiles, there[0], wanted)
        if popped.is_sound:
            return [popped.tile(place, damaged=False) for place in range(len(tiles))]
    return [
        _pop_tile(codec, index, tile, levels, wanted)
        for tile, levels in zip(tiles, there, strict=True)
    ]


def _levels_there(tile: TileSource, wanted: Wanted) -> int:
    levels = min(wanted.levels, len(tile.coded.level_words))
    there = min(levels, tile.coded.whole_levels)
    if there < levels and not wanted.keep_going:
        raise Truncated(f"the file is cut: level {there} of tile {tile.number} is not there")
    return there


def _pop_tile(
    codec: Codec, index: Index, tile: TileSource, there: int, wanted: Wanted
) -> DecodedTile:
    """Pop one tile: all levels that are there, or fewer and fewer until their checks hold."""
    levels = there
    while True:
        popped = _popped(codec, index, [tile], levels, wanted)
        if popped.is_sound:
            return popped.tile(0, damaged=levels < there)
        if not wanted.keep_going:
            raise TileDamaged(tile.number, *([popped.reason] if popped.reason else []))
        levels = min(popped.intact[0], levels - 1)


@dataclass(frozen=True, eq=False)
class _Popped:
    """Levels of tiles, as they were popped.

    Attributes:
        tiles: whose they are.
        levels: how many of each.
        context: (B, C, h, w); None where an entropy decoder noticed something before.
        latents: (B, C, 4h, 4w); None there, and where only the context was wanted.
        intact: of each tile, how many levels have the checks that were stored.
        reason: what an entropy decoder noticed, None where it noticed nothing.
    """

    tiles: Sequence[TileSource]
    levels: int
    context: Floats | None
    latents: Floats | None
    intact: list[int]
    reason: str | None

    @property
    def is_sound(self) -> bool:
        """Whether all levels are as they were coded."""
        return self.reason is None and all(intact == self.levels for intact in self.intact)

    def tile(self, place: int, *, damaged: bool) -> DecodedTile:
        """Return one of the tiles."""
        source, latents = self.tiles[place], self.latents
        assert self.context is not None
        return DecodedTile(
            source.window,
            source.coded,
            self.context[place : place + 1],
            None if latents is None else latents[place : place + 1],
            self.levels,
            damaged,
        )


def _popped(
    codec: Codec, index: Index, tiles: Sequence[TileSource], levels: int, wanted: Wanted
) -> _Popped:
    """Pop some levels of tiles, as far as an entropy decoder notices nothing."""
    conditions = CodingConditions.of(index.header, codec.config, index.quality_map)
    words = [tile.coded.words[: sum(tile.coded.level_words[:levels])] for tile in tiles]
    try:
        coders = [coder_of(each) for each in words]
    except StreamDamaged as error:
        return _Popped(tiles, levels, None, None, [0] * len(tiles), str(error))
    stacks = [AnsStack(coder, codec.tables.pmfs) for coder in coders]
    windows = [tile.window for tile in tiles]
    decoder = _latent_decoder(codec, conditions, stacks)
    context = latents = reason = None
    try:
        context = pop_contexts(codec, conditions, index.header.prior, stacks, windows, levels)
        if not wanted.context_only:
            rest = _drawn(codec, conditions, tiles, wanted.sampling)
            network = codec.runtime.latent_pass(context, conditions.at(windows))
            found = walk(network, FirstLevels(decoder, max(0, levels - 1), rest)).latents
            latents = conditions.without_uncoded(found)
        if levels == len(tiles[0].coded.level_words):
            for coder in coders:
                check_empty(coder)
    except StreamDamaged as error:
        reason = str(error)
    intact = []
    for place, tile in enumerate(tiles):
        coded = [] if context is None or not levels else [[context[place].astype(np.int32)]]
        checks = level_checks(tile.number, [*coded, *decoder.coded[place].values()])
        intact.append(tile.coded.intact_levels(checks))
    return _Popped(tiles, levels, context, latents, intact, reason)


def _latent_decoder(
    codec: Codec, conditions: CodingConditions, stacks: Sequence[SymbolStack]
) -> LatentDecoder:
    return LatentDecoder(stacks, codec.tables, conditions.latent_mask, skips=conditions.skips)


def _drawn(
    codec: Codec,
    conditions: CodingConditions,
    tiles: Sequence[TileSource],
    sampling: Sampling | None,
) -> LatentDecoder | None:
    """Return what draws the levels that are left out, if they are to be drawn."""
    if sampling is None:
        return None
    stacks = [SamplingStack(codec.tables.pmfs, sampling, tile.number) for tile in tiles]
    return _latent_decoder(codec, conditions, stacks)


def pop_contexts(
    codec: Codec,
    conditions: CodingConditions,
    prior: Prior,
    stacks: Sequence[SymbolStack],
    windows: Sequence[Window],
    levels: int = 1,
) -> Floats:
    """Pop the contexts of tiles of one size.

    Args:
        codec: the weights.
        conditions: of the file.
        prior: under which the contexts were pushed.
        stacks: one a tile; their pops take the contexts off.
        windows: the patches of each tile, (h, w) of them.
        levels: of the file that are there; with none, all is zero.

    Returns:
        (B, C, h, w) integers.

    Raises:
        StreamDamaged: a symbol is none.
    """
    size = windows[0].size
    if not levels:
        return np.zeros((len(stacks), codec.config.context_channels, *size), np.float32)
    if prior is not Prior.MASKED_DIFFUSION:
        research = codec.research_priors
        popped = [research.pop(prior.label, stack, size, conditions) for stack in stacks]
        return np.stack(popped)
    decoder = ContextDecoder(stacks, conditions.context_mask, size[0] * size[1])
    network = codec.runtime.context_pass((len(stacks), *size), conditions.at(windows))
    return walk(network, decoder).context
