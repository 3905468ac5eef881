"""Decoding twice, with the graphs optimised and as they were exported, and comparing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..bitstream import BitstreamError, Index, Source, TileCoder, read_index, read_tile
from .config import LATENTS_A_SIDE
from .decoder import decode_file
from .errors import VerificationFailed
from .images import Pixels, stretched_as
from .locks import lock
from .networks.runtime import Runtime
from .networks.weight_file import WeightFile
from .networks.weights import Codec, codec_for
from .quality.minimum_psnr import merging_mse
from .rate_control.targets import squared_error
from .tiles.conditions import CodingConditions
from .tiles.tile_decoder import TileSource, Wanted, pop_tiles
from .tiles.tiling import TILE_PATCHES, Window, tiles_in

_LOADING = lock()


@dataclass(frozen=True)
class VerifyReport:
    """What two decoders made of one file.

    Attributes:
        tiles: in the file.
        symbols: in the file.
        differing: symbols of the tiles that the second decoder did not decode to their checks.
        max_pixel_difference: between samples; None where symbols differ.
        largest_sample: that a picture of this depth can have, 255 or 65535.
    """

    tiles: int
    symbols: int
    differing: int
    max_pixel_difference: int | None
    largest_sample: int


def verify_file(codec: Codec | None, source: Source, index: Index) -> VerifyReport:
    """Decode as usual, and again with every graph as it was exported.

    The symbols of both are held against the checks that the encoder wrote, and so against each
    other; a tile whose second decoding fails counts with all its symbols. Exact tiles have none.

    Args:
        codec: the weights that wrote the file; None for a file that needs none.
        source: the file.
        index: of it.

    Raises:
        BitstreamError: the usual decoder already fails.
    """
    header = index.header
    tiles = tiles_in(header.height, header.width, header.tile_side)
    usual = decode_file(codec, source, index)
    if codec is None:
        return VerifyReport(len(tiles), 0, 0, 0, header.largest_sample)
    conditions = CodingConditions.of(header, codec.config, index.quality_map)
    learned = [tile for tile in tiles if index.coders[tile.number] != TileCoder.EXACT]
    sizes = [symbol_count(conditions, window) for _, window in learned]
    with _LOADING:  # or two threads would load it twice
        other = replace(codec, runtime=_plain_runtime(codec.file, os.getpid()))
    try:
        again = decode_file(other, source, index)
    except BitstreamError:
        failed = [not _decodes(other, source, index, *tile) for tile in learned]
        differing = sum(size for size, bad in zip(sizes, failed, strict=True) if bad)
        differing = differing or sum(sizes)  # a fault that comes and goes is one all the same
        return VerifyReport(len(tiles), sum(sizes), differing, None, header.largest_sample)
    pairs = ((usual.pixels.crop(*w.px), again.pixels.crop(*w.px)) for _, w in tiles)
    difference = max(int(np.abs(a.astype(np.int32) - b).max()) for a, b in pairs)
    return VerifyReport(len(tiles), sum(sizes), 0, difference, header.largest_sample)


@lru_cache(maxsize=2)
def _plain_runtime(file: WeightFile, process: int) -> Runtime:
    """Return what runs the graphs as they were exported; making it takes as long as a picture.

    It is made anew in a process that was forked, as in `weights`.
    """
    from .networks.onnx_runtime import OnnxRuntime

    return OnnxRuntime(file, is_plain=True)


def verify_encoded(data: bytes, pixels: Pixels, *, is_lossless: bool) -> None:
    """Decode what was just encoded under another configuration.

    A file without learned tiles has no other: its samples are compared with the image's. Unless
    it is lossless, colours may differ where they are hidden or merged.

    Args:
        data: the file.
        pixels: what was encoded.
        is_lossless: all samples are the same.

    Raises:
        VerificationFailed: it decodes to something else, or not at all.
    """
    try:
        index = read_index(data)
        if not index.header.needs_weights:
            decoded = decode_file(None, data, index).pixels
            allowed = merging_mse(index.header.quality) if pixels.bit_depth == 8 else 0
            pixels = stretched_as(pixels, index.metadata)
            if not _is_same(pixels, decoded, None if is_lossless else allowed):
                raise VerificationFailed("the samples differ when decoded again")
            return
        report = verify_file(codec_for(index.header), data, index)
    except BitstreamError as error:
        raise VerificationFailed(f"what was encoded does not decode: {error}") from error
    if report.differing:
        raise VerificationFailed(
            f"{report.differing} of {report.symbols} symbols differ when decoded again"
        )


def _is_same(pixels: Pixels, decoded: Pixels, allowed: float | None) -> bool:
    """Compare samples: colours within an MSE, or exactly without one; alpha exactly."""
    color = pixels.color
    first = 0 if allowed is None else color.channels - color.has_alpha
    for _, window in tiles_in(*decoded.size, TILE_PATCHES):
        one, other = (each.crop(*window.px)[..., first:] for each in (pixels, decoded))
        if not np.array_equal(one, other):
            return False
    if allowed is None:
        return True
    error, count = squared_error(pixels, decoded)
    return error <= allowed * count


def symbol_count(conditions: CodingConditions, window: Window) -> int:
    """Return how many symbols a tile has: of the context, and of the latents at stride 8."""
    height, width = window.size
    latents = LATENTS_A_SIDE**2 * int(conditions.latent_mask.sum())
    return height * width * (int(conditions.context_mask.sum()) + latents)


def _decodes(codec: Codec, source: Source, index: Index, number: int, window: Window) -> bool:
    tile = TileSource(number, window, read_tile(source, index, number))
    try:
        pop_tiles(codec, index, [tile], Wanted(index.levels))
    except BitstreamError:
        return False
    return True
