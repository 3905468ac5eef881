"""Tiles: pixels to symbols to words, and back.

    encode_tiles     pixels -> context, latents: the networks of the encoder, and both walks
    push_tile        symbols -> words, fine to coarse
    pop_tiles        words -> context, latents: the same walks, coarse to fine

A tile stands alone: its words need no other tile. Several tiles of one size may share a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ..bitstream import (
    Index,
    Prior,
    StreamDamaged,
    Tile,
    TileCoder,
    TileDamaged,
    Truncated,
    bulk_words,
    check_empty,
    coder_of,
    level_checks,
    level_words,
    part_check,
    words_of,
)
from .coders import (
    AimedAt,
    ContextDecoder,
    ContextEncoder,
    FirstLevels,
    LatentDecoder,
    LatentEncoder,
    Pairs,
)
from .conditions import CodingConditions
from .config import LATENTS_A_SIDE
from .exact import of_pixels
from .images import Pixels, continue_edges, fill_hidden
from .runtime import Floats, torch_side
from .stack import AnsStack, Sampling, SamplingStack, SymbolStack
from .tiling import PATCH_PX, Window, analysis_halo, patch_grid
from .walk import walk
from .weights import Codec


@dataclass(frozen=True, eq=False)
class TileSymbols:
    """What is coded of a tile.

    Attributes:
        conditions: of the file.
        context: (C, h, w) integers.
        encoder: of the context under the masked diffusion.
        place: of the tile in the encoder's batch.
        latents: of each level, coarse to fine, tables and symbols: of its scale offsets, then of
            each step.
        decoded: what a decoder has of them: (C, 4h, 4w), in steps.
    """

    conditions: CodingConditions
    context: NDArray[np.int32]
    encoder: ContextEncoder
    place: int
    latents: list[Pairs]
    decoded: Floats

    @property
    def levels(self) -> list[list[NDArray[np.int32]]]:
        """The integers of the levels of the file, coarse to fine: what its checks are of."""
        return [[self.context], *([values for _, values in level] for level in self.latents)]


def encode_tiles(
    codec: Codec,
    pixels: Pixels,
    tiles: Sequence[Window],
    conditions: CodingConditions,
    effort: int = 0,
    exact_patches: NDArray[np.bool_] | None = None,
) -> list[TileSymbols]:
    """Analyse tiles of one size in their surroundings, and walk down context and latents.

    Args:
        codec: the weights.
        pixels: the whole image.
        tiles: the patches of each.
        conditions: of the file.
        effort: how long symbols are searched for a smaller loss; needs PyTorch.
        exact_patches: (h, w), those of the one tile that another coder codes: here they go on
            as their surroundings.
    """
    runtime = codec.runtime
    grid = patch_grid(*pixels.size)
    seen = [tile.grown(analysis_halo(codec.config), grid) for tile in tiles]
    colours = [_rgb(pixels, window, tiles[0], exact_patches) for window in seen]
    around = [conditions.at([window]) for window in seen]
    exact = [runtime.exact_context(rgb, q) for rgb, q in zip(colours, around, strict=True)]
    exact = [x * conditions.context_mask[:, None, None] for x in exact]
    inside = [(..., *tile.slices(window, 1)) for tile, window in zip(tiles, seen, strict=True)]
    own = np.concatenate([x[part] for x, part in zip(exact, inside, strict=True)])
    size, quality = (len(tiles), *tiles[0].size), conditions.at(tiles)
    encoder = ContextEncoder(codec.tables, conditions.context_mask)
    u = walk(runtime.context_pass(size, quality, own), encoder).context
    targets = None
    if effort:
        search = torch_side("search", f"effort {effort}")
        found = [
            search.search(codec.file, rgb, u[n : n + 1], seen[n], tiles[n], conditions, effort)
            for n, rgb in enumerate(colours)
        ]
        u, targets = (np.concatenate(each) for each in zip(*found, strict=True))
        encoder = ContextEncoder(codec.tables, conditions.context_mask, decides=False)
        walk(runtime.context_pass(size, quality, u), encoder)
    coder = LatentEncoder(codec.tables, conditions.latent_mask, len(tiles), skips=conditions.skips)
    if targets is not None:
        decoded = walk(runtime.latent_pass(u, quality), AimedAt(targets, coder)).latents
    else:
        features = []
        for number, (rgb, x, part) in enumerate(zip(colours, exact, inside, strict=True)):
            context = np.floor(x + 0.5)
            context[part] = u[number]
            here = tiles[number].slices(seen[number], LATENTS_A_SIDE)
            features.append(runtime.analyse(rgb, context, around[number]).crop(*here))
        decoded = walk(runtime.latent_pass(u, quality, features), coder).latents
    integers = u.astype(np.int32)
    return [
        TileSymbols(conditions, integers[n], encoder, n, coder.levels(n), decoded[n])
        for n in range(len(tiles))
    ]


def _rgb(pixels: Pixels, window: Window, tile: Window, exact: NDArray[np.bool_] | None) -> Floats:
    """Cut a window out of an image, its last row and column repeated.

    Hidden colour and exact patches are replaced, and 16 bits become fractions of 8-bit levels.

    Args:
        pixels: the whole image.
        window: what is cut out.
        tile: within it.
        exact: patches of the tile.

    Returns:
        float32 (1, 3, h, w) in 0...255.
    """
    height, width = (side * PATCH_PX for side in window.size)
    part = pixels.cut(*window.px)
    missing = ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0))
    if any(after for _, after in missing):
        part = np.pad(part, missing, mode="edge")
    samples = np.ascontiguousarray(part.transpose(2, 0, 1), np.float32)
    if pixels.largest_sample != 255:
        samples *= 255 / pixels.largest_sample
    if pixels.color.has_alpha:
        samples = fill_hidden(samples[:-1], samples[-1:] > 0)
    if exact is not None:
        visible = np.ones((1, height, width), bool)
        rows, columns = tile.slices(window, PATCH_PX)
        visible[0, rows, columns] = ~of_pixels(exact, (height, width))
        samples = continue_edges(samples, visible)
    return np.ascontiguousarray(np.broadcast_to(samples, (3, height, width)))[None]


def push_tile(
    codec: Codec,
    number: int,
    symbols: TileSymbols,
    alpha: bytes = b"",
    prior: Prior = Prior.MASKED_DIFFUSION,
    exact: bytes = b"",
) -> Tile:
    """Push a tile's symbols, fine to coarse, so that a decoder pops them coarse to fine.

    Args:
        codec: the weights.
        number: of the tile.
        symbols: of the tile.
        alpha: of the tile, coded.
        prior: of the context.
        exact: its exact patches, coded, where it has any.

    Raises:
        PayloadTooShort: the prior takes back more bits than the latents have.
    """
    ans = coder_of()
    stack = AnsStack(ans, codec.tables.pmfs, is_encoder=True)
    bulk = []
    for level in reversed(symbols.latents):
        bulk.append(bulk_words(ans))
        for tables, values in reversed(level):
            stack.push(tables, values)
    stack = AnsStack(ans, codec.tables.pmfs, is_encoder=True)
    push_context(codec, symbols, stack, prior)
    words = words_of(ans)
    # a context that pops on its way (bits-back) needs what lies below it, and so its words
    needed = list(accumulate([stack.lowest, *reversed(bulk)], min))
    checks = level_checks(number, symbols.levels)
    counts = level_words(needed, words.size)
    coder = TileCoder.BOTH if exact else TileCoder.LEARNED
    parts = alpha, part_check(number, alpha), coder, exact, part_check(number, exact)
    return Tile(words, counts, checks, *parts)


def push_context(
    codec: Codec, symbols: TileSymbols, stack: SymbolStack, prior: Prior = Prior.MASKED_DIFFUSION
) -> None:
    """Push the context of a tile under one of the weights' priors."""
    if prior is Prior.MASKED_DIFFUSION:
        patches = symbols.context[0].size
        symbols.encoder.push(stack, patches, symbols.place)
    else:
        codec.research_priors.push(prior.label, stack, symbols.context, symbols.conditions)


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
        raise Truncated(f"the file ends before level {there} of tile {tile.number}, from 0 on")
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
        self.tiles, self.levels = tiles, levels
        self.context: Floats | None = None
        self.latents: Floats | None = None
        self.reason: str | None = None
        conditions = CodingConditions.of(index.header, codec.config, index.map)
        windows = [tile.window for tile in tiles]
        pmfs = codec.tables.pmfs
        words = [tile.coded.words[: sum(tile.coded.level_words[:levels])] for tile in tiles]
        try:
            coders = [coder_of(each) for each in words]
        except StreamDamaged as error:
            self.reason, self.intact = str(error), [0] * len(tiles)
            return
        stacks = [AnsStack(coder, pmfs) for coder in coders]
        decoder = LatentDecoder(
            stacks, codec.tables, conditions.latent_mask, skips=conditions.skips
        )
        try:
            self.context = pop_contexts(
                codec, conditions, index.header.prior, stacks, windows, levels
            )
            if not wanted.context_only:
                rest = None
                if wanted.sampling:
                    draws = [SamplingStack(pmfs, wanted.sampling, tile.number) for tile in tiles]
                    rest = LatentDecoder(
                        draws, codec.tables, conditions.latent_mask, skips=conditions.skips
                    )
                coder = FirstLevels(decoder, max(0, levels - 1), rest)
                network = codec.runtime.latent_pass(self.context, conditions.at(windows))
                mask = conditions.latent_mask[:, None, None].astype(np.float32)
                latents = walk(network, coder).latents
                self.latents = latents if mask.all() else latents * mask
            if levels == len(tiles[0].coded.level_words):
                for coder in coders:
                    check_empty(coder)
        except StreamDamaged as error:
            self.reason = str(error)
        self.intact = [self._intact(n, decoder) for n in range(len(tiles))]

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
