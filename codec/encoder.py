"""An image to a whole file, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..bitstream import (
    MAX_PIXELS,
    NO_WEIGHTS,
    Header,
    ImageTooLarge,
    Prior,
    Tile,
    write_container,
)
from ..bitstream.header import MAX_TILE_SIDE, WEIGHTS_BYTES
from .config import PATCH_PX
from .images import Pixels
from .memory import Trimming
from .networks.runtime import Floats, torch_side
from .networks.weights import Codec
from .numbers import quality_of
from .options import ContentKind, EncodeOptions, prior_of
from .progress import Progress
from .quality.curve import MAX_QUALITY
from .rate_control.maps import fitted
from .tiles.alpha import encode_alpha
from .tiles.candidates import Candidates
from .tiles.conditions import CodingConditions
from .tiles.content import Content, content_of
from .tiles.exact import Mask, encode_exact
from .tiles.tile_encoder import encode_tiles, push_tile
from .tiles.tiling import TilePlace, Window, default_tile_side, tiles_in


class Alphas:
    """The coded alpha of an image's tiles, each made when it is first asked for."""

    def __init__(self, pixels: Pixels):
        self.pixels = pixels
        self._coded: dict[int, bytes] = {}

    def of(self, number: int, window: Window) -> bytes:
        """Return that of a tile; nothing where the image has none."""
        if not self.pixels.color.has_alpha:
            return b""
        if number not in self._coded:
            self._coded[number] = encode_alpha(self.pixels.crop(*window.px)[..., -1])
        return self._coded[number]


def encode_pixels(
    codec: Codec,
    pixels: Pixels,
    quality: int,
    options: EncodeOptions | None = None,
    *,
    offsets: NDArray[np.float32] | None = None,
    alphas: Alphas | None = None,
) -> bytes:
    """Encode pixels into a whole file.

    Args:
        codec: weights and tables.
        pixels: what `images.to_pixels` gave.
        quality: 0...100.
        options: of which tiles, prior, effort, content and tune are read; all by default. `quality`
            and `offsets` stand for the rest.
        offsets: (h, w) qualities that patches should have more than `quality`.
        alphas: of the image, where it is coded several times: they are the same at every quality.

    Raises:
        ArgumentError: the quality or the size is outside its range.
        ImageTooLarge: the image has more pixels than a decoder accepts.
        WeightsError: the weights do not have the prior.
        TorchMissing: effort or prior needs PyTorch, which is not installed.
    """
    options = options or EncodeOptions()
    quality = quality_of(quality)
    prior = prior_of(options.prior)
    side = tile_side_of(pixels, options)
    quality_map = None
    if offsets is not None:
        quality_map = fitted(offsets, quality, codec.file.patch_range_at(quality))
    header = _header(pixels, side, quality, codec.file.digest[:WEIGHTS_BYTES], prior)
    codec.check_prior(prior)  # refused before the work
    if options.effort:
        torch_side("search", f"effort {options.effort}")
    if alphas is None:
        alphas = Alphas(pixels)
    conditions = CodingConditions.of(header, codec.config, quality_map)
    coder = _TileEncoder(codec, pixels, header, conditions, alphas, options)
    tiles: dict[int, Tile] = {}
    places = tiles_in(*pixels.size, side)
    contents = {
        number: _content(pixels, window, quality, options.content) for number, window in places
    }
    plain = [place for place in places if contents[place.number].is_photograph]
    trimming, progress = Trimming(), Progress(len(places))
    for batch in batches(plain, codec.runtime.tiles_at_once):
        tiles.update(coder.learned(batch))
        trimming.passed(sum(math.prod(window.size) for _, window in batch))
        progress.passed(len(batch))
    for number, window in places:
        if number not in tiles:
            tiles[number] = coder.best(number, window, contents[number])
            trimming.passed(math.prod(window.size))
            progress.passed()
    return _file(header, pixels, [tiles[number] for number, _ in places], quality_map)


def encode_losslessly(pixels: Pixels, tile_px: int | None = None) -> bytes:
    """Encode pixels into a file that gives them back bit for bit, and needs no weights.

    Args:
        pixels: the image.
        tile_px: side of a tile; None for the largest.

    Raises:
        ArgumentError, ImageTooLarge: as `encode_pixels`.
    """
    side = MAX_TILE_SIDE if tile_px is None else tile_px // PATCH_PX
    header = _header(pixels, side, MAX_QUALITY, NO_WEIGHTS)
    places = tiles_in(*pixels.size, header.tile_side)
    tiles, progress = list[Tile](), Progress(len(places))
    for number, window in places:
        coded = encode_exact(pixels.crop(*window.px), np.ones(window.size, bool))
        tiles.append(Tile.exact_tile(number, coded, levels=1))
        progress.passed()
    return _file(header, pixels, tiles)


def tile_side_of(pixels: Pixels, options: EncodeOptions) -> int:
    """Return the side of the tiles that networks code, in patches."""
    if options.tile_px is None:
        return default_tile_side(*pixels.size)
    return options.tile_px // PATCH_PX


def check_size(pixels: Pixels) -> None:
    """Refuse an image before work is done for it.

    Raises:
        ImageTooLarge: it has more pixels than a decoder accepts.
    """
    height, width = pixels.size
    if height * width > MAX_PIXELS:
        raise ImageTooLarge(width, height, MAX_PIXELS)


def _header(
    pixels: Pixels,
    side: int,
    quality: int,
    weights: bytes,
    prior: Prior = Prior.MASKED_DIFFUSION,
) -> Header:
    check_size(pixels)
    height, width = pixels.size
    return Header(
        width=width,
        height=height,
        quality=quality,
        tile_side=side,
        weights=weights,
        color=pixels.color,
        bit_depth=pixels.bit_depth,
        prior=prior,
        metadata=bool(pixels.metadata),
    )


def _file(
    header: Header,
    pixels: Pixels,
    tiles: Sequence[Tile],
    quality_map: NDArray[np.int16] | None = None,
) -> bytes:
    """Write the file of all tiles; without a learned one it has no weights and no map."""
    exact = any(tile.coder.is_exact for tile in tiles)
    learned = any(tile.coder.is_learned for tile in tiles)
    if not learned:
        header, quality_map = replace(header, weights=NO_WEIGHTS), None
    header = replace(header, exact=exact, map=quality_map is not None)
    return write_container(header, pixels.metadata, tiles, quality_map)


def _content(pixels: Pixels, window: Window, quality: int, content: ContentKind) -> Content:
    """Return what a tile shows, or what it is said to show."""
    if content == "auto":
        colour = pixels.crop(*window.px)[..., : 1 if pixels.color.is_grey else 3]
        return content_of(colour, pixels.largest_sample, quality)
    return Content(np.full(window.size, content == "graphic"), is_doubtful=False)


class _TileEncoder:
    """Encodes the tiles of one image."""

    def __init__(
        self,
        codec: Codec,
        pixels: Pixels,
        header: Header,
        conditions: CodingConditions,
        alphas: Alphas,
        options: EncodeOptions,
    ):
        self.codec, self.pixels, self.header = codec, pixels, header
        self.conditions, self.alphas = conditions, alphas
        self.options = options

    def learned(self, batch: Sequence[TilePlace]) -> Iterator[tuple[int, Tile]]:
        """Yield the tiles of a batch, which are of one size, by number."""
        windows = [window for _, window in batch]
        coded = encode_tiles(self.codec, self.pixels, windows, self.conditions, self.options.effort)
        for (number, window), symbols in zip(batch, coded, strict=True):
            alpha = self.alphas.of(number, window)
            yield number, push_tile(self.codec, number, symbols, alpha, self.header.prior)

    def best(self, number: int, window: Window, content: Content) -> Tile:
        """Return the best of several codings of a tile."""

        def learned(where: Mask | None, exact: bytes) -> tuple[Tile, Floats]:
            (symbols,) = encode_tiles(
                self.codec, self.pixels, [window], self.conditions, self.options.effort, where
            )
            context = symbols.context[None].astype(np.float32)
            latents = symbols.decoded[None]
            quality = self.conditions.at([window])
            shown = self.codec.runtime.synthesise(context, latents, quality)
            alpha = self.alphas.of(number, window)
            tile = push_tile(self.codec, number, symbols, alpha, self.header.prior, exact)
            return tile, shown[0]

        levels = 1 + len(self.codec.config.level_channels)
        quality = self.header.quality
        return Candidates(
            self.pixels, number, window, content, quality, self.options.tune, levels, learned
        ).tile()


def batches(places: Sequence[TilePlace], at_once: int) -> Iterator[list[TilePlace]]:
    """Yield neighbouring tiles of one size, at most so many at once."""
    for _, group in groupby(places, key=lambda place: place.window.size):
        same = list(group)
        for begin in range(0, len(same), at_once):
            yield same[begin : begin + at_once]
