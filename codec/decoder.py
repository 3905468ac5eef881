"""A file to pixels, tile by tile: all of it, a region, a few levels, or what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bitstream import Header, Index, InvalidField, Source, TileCoder, TileDamaged, read_tile
from .config import PATCH_PX
from .images import Pixels
from .memory import Trimming
from .networks.runtime import Floats
from .networks.weights import Codec
from .options import DecodeOptions
from .progress import Progress
from .tiles.exact import ExactPatches, decode_exact, pixel_mask
from .tiles.tile_cache import TileCache
from .tiles.tiling import Window, tiles_in
from .tiles.view import View, view_of


@dataclass(frozen=True, eq=False)
class DecodedFile:
    """What was decoded.

    Attributes:
        pixels: (h, w) of the view.
        lost_tiles: numbers of the tiles of which something is damaged or nothing is there.
        whole_levels: levels of latents that are intact in every tile, of those asked for.
    """

    pixels: Pixels
    lost_tiles: tuple[int, ...]
    whole_levels: int

    @property
    def samples(self) -> NDArray:
        """(h, w, C) uint8 or uint16."""
        return self.pixels.samples


def decode_file(
    codec: Codec | None, source: Source, index: Index, options: DecodeOptions | None = None
) -> DecodedFile:
    """Decode what is asked for, tile by tile; a line of tiles and its border are at hand.

    Args:
        codec: the weights that wrote the file; not looked at for a file that needs none.
        source: the file.
        index: the file's index.
        options: region, scale and levels to decode; all by default.

    Raises:
        WrongWeights: the file was written with others.
        Truncated: a level that was asked for is not there.
        TileDamaged: a tile's symbols, its alpha or its exact patches do not match their checks.
        ArgumentError: the region is not within the image.
        InvalidField: the weights do not have the levels or the prior.
    """
    options = options or DecodeOptions()
    header = index.header
    codec = codec if header.needs_weights else None
    if codec is None and (index.coders != TileCoder.EXACT).any():
        raise InvalidField("the file names no weights, but some of its tiles need them")
    view = view_of(header, options.region, options.scale)
    order = tiles_in(view.height, view.width, header.tile_side, view.patches)
    if view.is_wide:  # lines along the shorter side are shorter
        order.sort(key=lambda place: place.window.left)
    cache = TileCache(codec, source, index, view, options, order) if codec else None
    out = Pixels.blank(view.size, header.color, header.bit_depth)
    lost: set[int] = set()
    trimming, progress = Trimming(), Progress(len(order))
    for number, window in order:
        exact = None
        try:
            exact = _exact_patches(source, index, number, window)
        except TileDamaged:
            if not options.keep_going:
                raise
            lost.add(number)
        part = window.intersection(view.patches)
        planes = _planes(number, window, part, exact, cache, view, header.color.has_alpha)
        if planes is None:
            planes = _nothing(header, part, view)
        view.paste(out, part, _quantised(planes, header.largest_sample))
        if cache is not None:
            cache.forget(window)
        trimming.passed(math.prod(part.size))
        progress.passed()
    whole_levels = index.levels
    if cache is not None:
        lost, whole_levels = lost | cache.lost, cache.whole_levels
    return DecodedFile(out, tuple(sorted(lost)), max(0, whole_levels - 1))


def _exact_patches(
    source: Source, index: Index, number: int, window: Window
) -> ExactPatches | None:
    """Read and decode the exact patches of a tile, where it has any."""
    if index.coders[number] == TileCoder.LEARNED:
        return None
    tile = read_tile(source, index, number, levels=0)
    return decode_exact(number, window, tile, index.header)


def _planes(
    number: int,
    window: Window,
    part: Window,
    exact: ExactPatches | None,
    cache: TileCache | None,
    view: View,
    has_alpha: bool,
) -> Floats | None:
    """Return what the view shows of a part of a tile, (C, h, w) in 0...255, if anything is left."""
    alpha = None
    if exact is not None and exact.is_whole:
        shown = _exact_planes(exact, window, part)
        if has_alpha:
            shown, alpha = shown[:-1], shown[-1]
        shown = view.scaled(shown, part, alpha)
    elif cache is None:
        return None
    else:
        shown = cache.colour(number, part)
        alpha = cache.alpha(number, part) if has_alpha else None
        if exact is not None:
            over = view.scaled(_exact_planes(exact, window, part), part, alpha)
            where = exact.where[part.slices(window, 1)]
            where = pixel_mask(where, shown.shape[1:], PATCH_PX // view.scale)
            shown = np.where(where, over, shown)
    return shown if alpha is None else np.concatenate([shown, view.scaled(alpha[None], part)])


def _exact_planes(exact: ExactPatches, window: Window, part: Window) -> Floats:
    """Return the exact samples of a part of their tile: (C, H, W) in 0...255."""
    rows, columns = part.slices(window, PATCH_PX)
    samples = exact.samples[rows, columns].transpose(2, 0, 1)
    return samples.astype(np.float32) * np.float32(255 / np.iinfo(samples.dtype).max)


def _nothing(header: Header, part: Window, view: View) -> Floats:
    """Return opaque grey for a tile that is lost: (C, h, w) in 0...255."""
    size = [-(-side // view.scale) for side in view.inside(part)]
    planes = np.full((header.color.channels, *size), 128, np.float32)
    planes[header.color.channels - header.color.has_alpha :] = 255
    return planes


def _quantised(planes: Floats, largest: int) -> NDArray:
    """Round float (C, h, w) in 0...255 to samples (h, w, C)."""
    kind = np.uint8 if largest == 255 else np.uint16
    samples = planes if largest == 255 else planes * np.float32(largest / 255)
    return np.rint(samples).astype(kind).transpose(1, 2, 0)
