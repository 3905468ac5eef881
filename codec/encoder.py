"""Pixels to tiles of symbols to bytes."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bitstream import (
    MAX_PIXELS,
    Container,
    Header,
    ImageTooLarge,
    InvalidField,
    Tile,
    bulk_words,
    coder_of,
    level_words,
    push,
    symbol_checksum,
    words_of,
    write_container,
)
from ..models.config import LATENTS_A_SIDE
from ..models.dct import to_ycbcr
from ..models.fixed_point import OFFSETS
from .image import Pixels
from .symbols import SymbolWriter
from .tiling import PATCH_PX, TILE_PATCHES, Window, analysis_halo, patch_grid, tile_rows
from .weights import Codec


@dataclass(frozen=True)
class TileSymbols:
    """What is coded of a tile: each level's table numbers and symbols, (n,), coarse to fine."""

    context: list[tuple[np.ndarray, np.ndarray]]
    latents: list[tuple[np.ndarray, np.ndarray]]

    @property
    def levels(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """The levels of the file: all steps of the context as one, then one each."""
        return [self.context, *([level] for level in self.latents)]


def encode_pixels(codec: Codec, pixels: Pixels, quality: int) -> bytes:
    """Encode pixels into a whole file.

    Args:
        codec: weights and tables.
        pixels: what `image.to_pixels` gave.
        quality: 0...100.

    Raises:
        InvalidField: the quality or the size is outside what a header holds.
        ImageTooLarge: the image has more pixels than a decoder accepts.
    """
    height, width = pixels.rgb.shape[:2]
    quality = _whole(quality)
    if height * width > MAX_PIXELS:
        raise ImageTooLarge(width, height, MAX_PIXELS)
    header = Header(
        width=width,
        height=height,
        quality=quality,
        tile=TILE_PATCHES,
        weights=codec.digest[:4],
        color=pixels.color,
        metadata=bool(pixels.metadata),
    )
    windows = [window for row in tile_rows(header) for window in row]
    tiles = [
        write_tile(codec, number, tile_symbols(codec, pixels.rgb, window, quality))
        for number, window in enumerate(windows)
    ]
    return write_container(Container(header, pixels.metadata, tuple(tiles)))


def _whole(quality: int) -> int:
    try:
        return operator.index(quality)
    except TypeError:
        raise InvalidField(f"quality {quality!r} is not a whole number") from None


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def tile_symbols(codec: Codec, rgb: np.ndarray, tile: Window, quality: int) -> TileSymbols:
    """Analyse a tile in its surroundings and walk down its levels."""
    model = codec.model
    seen = tile.grown(analysis_halo(model.config), patch_grid(*rgb.shape[:2]))
    ycbcr = to_ycbcr(_cut_padded(rgb, seen))
    at = torch.full((1,), quality)
    context = model.context(ycbcr, at)
    features = model.features(ycbcr, model.context_image(context, at), at)
    rows, columns = tile.slices(seen, 1)
    context = context[..., rows, columns]
    rows, columns = tile.slices(seen, LATENTS_A_SIDE)
    inner = (features[0][..., rows, columns], features[1][..., rows, columns])

    entropy = model.entropy
    prior_writer, trunk_writer = SymbolWriter(1), SymbolWriter(OFFSETS)
    entropy.prior.walk((1, *tile.size), at, entropy.norm, prior_writer, context)
    model.latents(context, at, trunk_writer, inner)
    first = [[(t[0], s[0]) for t, s in w.levels] for w in (prior_writer, trunk_writer)]
    return TileSymbols(*first)


def write_tile(codec: Codec, number: int, symbols: TileSymbols) -> Tile:
    """Push a tile's symbols, fine to coarse, so that a decoder pops them coarse to fine."""
    coder = coder_of()
    bulk = []
    for level in reversed(symbols.levels):
        bulk.append(bulk_words(coder))
        for tables, values in reversed(level):
            push(coder, tables, values, codec.tables)
    words = words_of(coder)
    checksum = symbol_checksum(number, [s for level in symbols.levels for _, s in level])
    return Tile(checksum, words, level_words(bulk[::-1], words.size))


def _cut_padded(rgb: np.ndarray, window: Window) -> Tensor:
    """Cut a window out of the image, its last row and column repeated: float32 (1, 3, h, w)."""
    height, width = (side * PATCH_PX for side in window.size)
    top, left = window.top * PATCH_PX, window.left * PATCH_PX
    part = rgb[top : top + height, left : left + width]
    missing = ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0))
    part = np.pad(part, missing, mode="edge")
    return torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None].float()
