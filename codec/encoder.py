"""Pixels to tiles of symbols to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bitstream import (
    MAX_PIXELS,
    Header,
    ImageTooLarge,
    Tile,
    alpha_check,
    bulk_words,
    coder_of,
    level_checks,
    level_words,
    push,
    words_of,
    write_container,
)
from ..models.config import LATENTS_A_SIDE
from ..models.dct import to_ycbcr
from ..models.fixed_point import OFFSETS
from .alpha import encode_alpha, fill_hidden
from .grey import luma_of
from .image import Pixels
from .symbols import Selector, SymbolWriter
from .tiling import PATCH_PX, TILE_PATCHES, Window, analysis_halo, patch_grid, tiles_in
from .view import whole
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


def encode_pixels(
    codec: Codec,
    pixels: Pixels,
    quality: int,
    *,
    tile: int = TILE_PATCHES,
    alphas: Sequence[bytes] | None = None,
) -> bytes:
    """Encode pixels into a whole file.

    Args:
        codec: weights and tables.
        pixels: what `image.to_pixels` gave.
        quality: 0...100.
        tile: side of a tile in patches.
        alphas: what `encode_alphas` gave, which is the same at every quality.

    Raises:
        InvalidField: the quality or the size is outside what a header holds.
        ImageTooLarge: the image has more pixels than a decoder accepts.
    """
    height, width = pixels.size
    quality = whole("quality", quality)
    if height * width > MAX_PIXELS:
        raise ImageTooLarge(width, height, MAX_PIXELS)
    header = Header(
        width=width,
        height=height,
        quality=quality,
        tile=tile,
        weights=codec.digest[:4],
        color=pixels.color,
        bit_depth=pixels.bit_depth,
        metadata=bool(pixels.metadata),
    )
    if alphas is None:
        alphas = encode_alphas(pixels, tile)
    tiles = [
        write_tile(codec, number, tile_symbols(codec, pixels, window, quality), alphas[number])
        for number, window in tiles_in(patch_grid(height, width), height, width, tile)
    ]
    return write_container(header, pixels.metadata, tiles)


def encode_alphas(pixels: Pixels, tile: int = TILE_PATCHES) -> list[bytes]:
    """Code the alpha of each tile; nothing where the image has none."""
    tiles = tiles_in(patch_grid(*pixels.size), *pixels.size, tile)
    if not pixels.color.has_alpha:
        return [b""] * len(tiles)
    return [encode_alpha(pixels.cut(*window.px)[..., -1]) for _, window in tiles]


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def tile_symbols(codec: Codec, pixels: Pixels, tile: Window, quality: int) -> TileSymbols:
    """Analyse a tile in its surroundings and walk down its levels."""
    model, entropy = codec.model, codec.model.entropy
    seen = tile.grown(analysis_halo(model.config), patch_grid(*pixels.size))
    ycbcr = to_ycbcr(_cut_padded(pixels, seen))
    at = torch.full((1,), quality)
    context = model.context(ycbcr, at)
    features = model.features(ycbcr, model.context_image(context, at), at)
    rows, columns = tile.slices(seen, 1)
    context = context[..., rows, columns]
    rows, columns = tile.slices(seen, LATENTS_A_SIDE)
    inner = (features[0][..., rows, columns], features[1][..., rows, columns])

    prior_writer, trunk_writer = SymbolWriter(1), SymbolWriter(OFFSETS)
    coders = (prior_writer, trunk_writer)
    if pixels.color.is_grey:
        luma = luma_of(model)
        context = context * luma.context_mask
        coders = Selector(prior_writer, luma.prior), Selector(trunk_writer, luma.trunk)
    entropy.prior.walk((1, *tile.size), at, entropy.norm, coders[0], context)
    model.latents(context, at, coders[1], inner)
    first = [[(t[0], s[0]) for t, s in w.levels] for w in (prior_writer, trunk_writer)]
    return TileSymbols(*first)


def write_tile(codec: Codec, number: int, symbols: TileSymbols, alpha: bytes = b"") -> Tile:
    """Push a tile's symbols, fine to coarse, so that a decoder pops them coarse to fine."""
    coder = coder_of()
    bulk = []
    for level in reversed(symbols.levels):
        bulk.append(bulk_words(coder))
        for tables, values in reversed(level):
            push(coder, tables, values, codec.tables)
    words = words_of(coder)
    checks = level_checks(number, [[values for _, values in level] for level in symbols.levels])
    counts = level_words(bulk[::-1], words.size)
    return Tile(words, counts, checks, alpha, alpha_check(number, alpha))


def _cut_padded(pixels: Pixels, window: Window) -> Tensor:
    """Cut a window out of the image, its last row and column repeated.

    Hidden colour is replaced, and 16 bits become fractions of 8-bit levels.

    Returns:
        float32 (1, 3, h, w) in 0...255.
    """
    height, width = (side * PATCH_PX for side in window.size)
    part = pixels.cut(*window.px)
    missing = ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0))
    part = np.pad(part, missing, mode="edge").astype(np.float32).transpose(2, 0, 1)
    samples = torch.from_numpy(np.ascontiguousarray(part))[None]
    samples *= 255 / (2**pixels.bit_depth - 1)
    if pixels.color.has_alpha:
        samples = fill_hidden(samples[:, :-1], samples[:, -1:] > 0)
    return samples.expand(1, 3, height, width)
