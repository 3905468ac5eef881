"""The decoded tiles that the networks need, and what a view shows of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from ...bitstream import (
    Index,
    InvalidField,
    Source,
    StreamDamaged,
    TileCoder,
    TileDamaged,
    check_weights,
    part_check,
    read_tile,
)
from ..config import LATENTS_A_SIDE, PATCH_PX
from ..networks.runtime import Floats
from ..networks.weights import Codec
from ..options import THUMBNAIL_SCALE, DecodeOptions
from .alpha import decode_alpha
from .conditions import CodingConditions
from .fill import fill_hidden
from .thumbnail import context_thumbnail
from .tile_decoder import DecodedTile, TileSource, Wanted, pop_tiles
from .tiling import TilePlace, Window, patch_grid, synthesis_halo, tiles_in
from .view import View


class TileCache:
    """Decoded tiles, as long as a tile still to be shown sees something of them.

    Attributes:
        lost: numbers of tiles of which something is damaged, or nothing is there.
        whole_levels: levels that are intact in every tile so far, the context included.
    """

    def __init__(
        self,
        codec: Codec,
        source: Source,
        index: Index,
        view: View,
        options: DecodeOptions,
        order: Sequence[TilePlace],
    ):
        """Check that the weights fit the file.

        Args:
            codec: the weights.
            source: the file.
            index: of it.
            view: what is shown of it.
            options: what of it is decoded.
            order: the tiles that the view touches, as they are shown.
        """
        check_weights(index.header, codec.file.digest)
        _check_known(codec, index)
        self.order = order
        self.codec, self.source, self.index, self.view = codec, source, index, view
        self.header = header = index.header
        self.conditions = CodingConditions.of(header, codec.config, index.quality_map)
        self.is_thumbnail = view.scale >= THUMBNAIL_SCALE
        # a thumbnail sees around itself only to fill what is lost
        self.halo = int(options.keep_going) if self.is_thumbnail else synthesis_halo(codec.config)
        levels = index.levels
        if options.levels is not None:
            levels = min(1 + options.levels, levels)
        self.wanted = Wanted(
            levels=1 if self.is_thumbnail else levels,
            keep_going=options.keep_going,
            context_only=self.is_thumbnail,
            sampling=options.sampling,
        )
        self.near: dict[int, DecodedTile] = {}
        self.lost: set[int] = set()
        self.whole_levels = self.wanted.levels

    def colour(self, number: int, part: Window) -> Floats:
        """Return what the view shows of some patches of a tile: (1 or 3, h, w) in 0...255."""
        view = self.view
        seen = part.grown(self.halo, patch_grid(view.height, view.width))
        self._decode(number, seen)
        tiles = [tile for tile in self.near.values() if tile.intact]
        context = _gather(
            [(t.window, t.context) for t in tiles], seen, 1, self.codec.config.context_channels
        )
        context = _conceal(context, [t.window for t in tiles], seen)
        if self.is_thumbnail:
            side = PATCH_PX // view.scale
            rgb = context_thumbnail(context[0], self.conditions, seen, side).clip(0, 255)
            rows, columns = part.slices(seen, side)
            height, width = (-(-px // view.scale) for px in view.inside(part))
            rgb = rgb[:, rows, columns][:, :height, :width]
        else:
            parts = [(t.window, t.latents) for t in tiles if t.latents is not None]
            channels = self.codec.config.latent_channels
            latents = _gather(parts, seen, LATENTS_A_SIDE, channels)
            quality = self.conditions.at([seen])
            rgb = self.codec.runtime.synthesise(context, latents, quality)[0]
            rows, columns = part.slices(seen, PATCH_PX)
            rgb = view.scaled(rgb[:, rows, columns], part)
        return rgb[:1] if self.header.color.is_grey else rgb

    def _decode(self, number: int, seen: Window) -> None:
        """Decode the tiles that a window sees, and with them others of the same size to come."""
        missing = [
            place
            for place in tiles_in(self.view.height, self.view.width, self.header.tile_side, seen)
            if place.number not in self.near and self._is_learned(place.number)
        ]
        at_once = self.codec.runtime.tiles_at_once
        if missing and len(missing) < at_once:
            missing += self._ahead(number, missing, at_once - len(missing))
        by_size: dict[tuple[int, int], list[TilePlace]] = {}
        for place in missing:
            by_size.setdefault(place.window.size, []).append(place)
        for same in by_size.values():
            for begin in range(0, len(same), at_once):
                self._decode_batch(same[begin : begin + at_once])

    def _ahead(self, number: int, missing: Sequence[TilePlace], count: int) -> list[TilePlace]:
        """Return the next tiles of the order that are not at hand."""
        known = {place.number for place in missing} | self.near.keys()
        later = self.order[[place.number for place in self.order].index(number) + 1 :]
        wanted = (p for p in later if p.number not in known and self._is_learned(p.number))
        return [*islice(wanted, count)]

    def _is_learned(self, number: int) -> bool:
        """Tell whether any patch of a tile is."""
        return self.index.coders[number] != TileCoder.EXACT

    def _decode_batch(self, places: Sequence[TilePlace]) -> None:
        sources = [
            TileSource(n, window, read_tile(self.source, self.index, n, self.wanted.levels))
            for n, window in places
        ]
        for source, tile in zip(
            sources, pop_tiles(self.codec, self.index, sources, self.wanted), strict=True
        ):
            self.near[source.number] = tile
            self.whole_levels = min(self.whole_levels, tile.intact)
            if tile.damaged or not source.coded.whole_levels:
                self.lost.add(source.number)

    def alpha(self, number: int, part: Window) -> Floats:
        """Return the alpha of some patches of a tile, at full size: (H, W) in 0...255.

        Where it is damaged and is to be left out, all is opaque.

        Raises:
            TileDamaged: it is missing or not what was coded.
        """
        try:
            return self._alpha(number, part)
        except TileDamaged:
            if not self.wanted.keep_going:
                raise
        self.lost.add(number)
        return np.full(self.view.inside(part), 255, np.float32)

    def _alpha(self, number: int, part: Window) -> Floats:
        if number not in self.near:  # an exact tile that is damaged, its alpha with it
            raise TileDamaged(number, "its alpha is part of its exact patches")
        tile = self.near[number]
        coded = tile.coded.alpha
        if coded is None or part_check(number, coded) != tile.coded.alpha_check:
            raise TileDamaged(number, "its alpha does not match its checksum")
        try:
            size = self.view.inside(tile.window)
            alpha = decode_alpha(coded, *size, self.header.bit_depth)
        except StreamDamaged as error:
            raise TileDamaged(number, f"its alpha: {error}") from error
        rows, columns = part.slices(tile.window, PATCH_PX)
        plane = alpha[rows, columns].astype(np.float32)
        return plane * np.float32(255 / self.header.largest_sample)

    def forget(self, done: Window) -> None:
        """Let go of what no tile after `done` sees."""
        seen = {n: self._seen_after(done, tile.window) for n, tile in self.near.items()}
        self.near = {n: self.near[n].crop(left) for n, left in seen.items() if min(left.size) > 0}

    def _seen_after(self, done: Window, tile: Window) -> Window:
        """Return what later tiles see of a tile: its border, once they are past it."""
        if self.view.is_wide:
            edge = done.right if tile.bottom <= done.bottom - self.halo else done.left
            return replace(tile, left=max(tile.left, edge - self.halo))
        edge = done.bottom if tile.right <= done.right - self.halo else done.top
        return replace(tile, top=max(tile.top, edge - self.halo))


def _gather(
    parts: Iterable[tuple[Window, Floats]], seen: Window, scale: int, channels: int
) -> Floats:
    """Lay the parts of tiles that a window sees side by side: (1, C, h scale, w scale)."""
    parts = list(parts)
    if len(parts) == 1 and parts[0][0] == seen:
        return parts[0][1]
    together = np.zeros((1, channels, *(side * scale for side in seen.size)), np.float32)
    for window, array in parts:
        shared = window.intersection(seen)
        if min(shared.size) > 0:
            here = (..., *shared.slices(seen, scale))
            together[here] = array[(..., *shared.slices(window, scale))]
    return together


def _conceal(context: Floats, there: list[Window], seen: Window) -> Floats:
    """Give patches whose tile is lost a mean colour from around them: (1, C, h, w)."""
    visible = _gather([(w, np.ones((1, 1, *w.size), np.float32)) for w in there], seen, 1, 1) > 0
    if visible.all():
        return context
    concealed = np.zeros_like(context)
    concealed[0, :3] = fill_hidden(context[0, :3], visible[0], nothing=0.0)  # the three means
    return np.where(visible, context, concealed)


def _check_known(codec: Codec, index: Index) -> None:
    prior = index.header.prior
    if prior.label not in codec.file.priors:
        raise InvalidField(f"the file names the prior {prior.label}, which its weights do not have")
    every = 1 + len(codec.config.level_channels)
    if index.levels != every:
        raise InvalidField(f"the file has {index.levels} levels, its weights have {every}")
    codec.check_prior(prior)
