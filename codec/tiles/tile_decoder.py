"""Words to tiles: both walks, coarse to fine, and the checks of what they give.

`tile_encoder` is the way there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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

    def cut(self, window: Window) -> DecodedTile:
        """Return what a window that touches the tile holds of it, and let the rest go."""
        shared = self.window.cut(window)
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

    Raises:
        Truncated: levels are missing.
        TileDamaged: the symbols are not what was pushed.
    """
    there = [_levels_there(tile, wanted) for tile in tiles]
    if len(tiles) > 1 and len(set(there)) == 1:
        attempt = _Attempt(codec, index, tiles, there[0], wanted)
        if attempt.reason is None and all(good == there[0] for good in attempt.intact):
            return [attempt.tile(n, damaged=False) for n in range(len(tiles))]
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
        attempt = _Attempt(codec, index, [tile], levels, wanted)
        if attempt.reason is None and attempt.intact == [levels]:
            return attempt.tile(0, damaged=levels < there)
        if not wanted.keep_going:
            raise TileDamaged(tile.number, *([attempt.reason] if attempt.reason else []))
        levels = min(attempt.intact[0], levels - 1)


class _Attempt:
    """Some levels of tiles, popped.

    Attributes:
        reason: what an entropy decoder noticed, None where it noticed nothing.
        intact: of each tile, how many levels have the checks that were stored.
    """

    def __init__(
        self,
        codec: Codec,
        index: Index,
        tiles: Sequence[TileSource],
        levels: int,
        wanted: Wanted,
    ):
        self.codec, self.tiles, self.levels, self.wanted = codec, tiles, levels, wanted
        self.conditions = CodingConditions.of(index.header, codec.config, index.map)
        self.context: Floats | None = None
        self.latents: Floats | None = None
        self.reason: str | None = None
        self.intact = [0] * len(tiles)
        words = [tile.coded.words[: sum(tile.coded.level_words[:levels])] for tile in tiles]
        try:
            coders = [coder_of(each) for each in words]
        except StreamDamaged as error:
            self.reason = str(error)
            return
        stacks = [AnsStack(coder, codec.tables.pmfs) for coder in coders]
        decoder = self._decoder(stacks)
        try:
            self._pop(stacks, decoder, index.header.prior)
            if levels == len(tiles[0].coded.level_words):
                for coder in coders:
                    check_empty(coder)
        except StreamDamaged as error:
            self.reason = str(error)
        self.intact = [self._intact(n, decoder) for n in range(len(tiles))]

    def _decoder(self, stacks: Sequence[SymbolStack]) -> LatentDecoder:
        mask, skips = self.conditions.latent_mask, self.conditions.skips
        return LatentDecoder(stacks, self.codec.tables, mask, skips=skips)

    def _pop(self, stacks: Sequence[AnsStack], decoder: LatentDecoder, prior: Prior) -> None:
        """Pop the context, then the latents.

        Raises:
            StreamDamaged: an entropy decoder notices something.
        """
        conditions, sampling = self.conditions, self.wanted.sampling
        windows = [tile.window for tile in self.tiles]
        self.context = pop_contexts(self.codec, conditions, prior, stacks, windows, self.levels)
        if self.wanted.context_only:
            return
        rest = None
        if sampling:
            pmfs = self.codec.tables.pmfs
            rest = self._decoder([SamplingStack(pmfs, sampling, t.number) for t in self.tiles])
        coder = FirstLevels(decoder, max(0, self.levels - 1), rest)
        network = self.codec.runtime.latent_pass(self.context, conditions.at(windows))
        self.latents = conditions.without_uncoded(walk(network, coder).latents)

    def _intact(self, place: int, decoder: LatentDecoder) -> int:
        tile = self.tiles[place]
        coded: list[list[NDArray[np.int32]]] = []
        if self.context is not None and self.levels:
            coded.append([self.context[place].astype(np.int32)])
        coded += decoder.coded[place].values()
        return tile.coded.intact_levels(level_checks(tile.number, coded))

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


def pop_contexts(
    codec: Codec,
    conditions: CodingConditions,
    prior: Prior,
    stacks: Sequence[SymbolStack],
    windows: Sequence[Window],
    levels: int = 1,
) -> Floats:
    """Pop the contexts (B, C, h, w) of tiles of one size; zeros where no level is there."""
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
