"""An image to a whole file, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ..bitstream import (
    MAX_PIXELS,
    Header,
    ImageTooLarge,
    Prior,
    Tile,
    write_container,
)
from .conditions import CodingConditions
from .images import Pixels, encode_alpha
from .numbers import effort_of, quality_of
from .runtime import torch_side
from .tile import encode_tiles, push_tile
from .tiling import Window, tile_side, tiles_in
from .weights import Codec


def encode_pixels(
    codec: Codec,
    pixels: Pixels,
    quality: float,
    *,
    tile: int | None = None,
    prior: Prior = Prior.MASKED_DIFFUSION,
    alphas: Sequence[bytes] | None = None,
    effort: int = 0,
) -> bytes:
    """Encode pixels into a whole file.

    Args:
        codec: weights and tables.
        pixels: what `images.to_pixels` gave.
        quality: 0...100.
        tile: side of a tile in patches; None for `tile_side`.
        prior: of the context.
        alphas: what `encode_alphas` gave, which is the same at every quality.
        effort: 0...9, how long symbols are searched for a smaller loss.

    Raises:
        InvalidField: the quality, the effort or the size is outside its range.
        ImageTooLarge: the image has more pixels than a decoder accepts.
        WeightsError: the weights do not have the prior.
        TorchMissing: effort or prior needs PyTorch, which is not installed.
    """
    height, width = pixels.size
    quality = quality_of(quality)
    effort = effort_of(effort)
    if height * width > MAX_PIXELS:
        raise ImageTooLarge(width, height, MAX_PIXELS)
    side = tile_side(height, width) if tile is None else tile
    header = Header(
        width=width,
        height=height,
        quality=quality,
        tile=side,
        weights=codec.file.digest[:4],
        color=pixels.color,
        bit_depth=pixels.bit_depth,
        prior=prior,
        metadata=bool(pixels.metadata),
    )
    codec.check_prior(prior)  # refused before the work
    if effort:
        torch_side("search", f"effort {effort}")
    if alphas is None:
        alphas = encode_alphas(pixels, side)
    conditions = CodingConditions.of(header, codec.config)
    tiles: list[Tile] = []
    for batch in batches(tiles_in(height, width, side), codec.runtime.tiles_at_once):
        windows = [window for _, window in batch]
        coded = encode_tiles(codec, pixels, windows, conditions, effort)
        for (number, _), symbols in zip(batch, coded, strict=True):
            tiles.append(push_tile(codec, number, symbols, alphas[number], prior))
    return write_container(header, pixels.metadata, tiles)


def batches(
    tiles: Sequence[tuple[int, Window]], at_once: int
) -> Iterator[list[tuple[int, Window]]]:
    """Yield neighbouring tiles of one size, at most so many at once."""
    for _, group in groupby(tiles, key=lambda tile: tile[1].size):
        same = list(group)
        for begin in range(0, len(same), at_once):
            yield same[begin : begin + at_once]


def encode_alphas(pixels: Pixels, side: int) -> list[bytes]:
    """Code the alpha of each tile, of a side in patches; nothing where the image has none."""
    tiles = tiles_in(*pixels.size, side)
    if not pixels.color.has_alpha:
        return [b""] * len(tiles)
    return [encode_alpha(pixels.cut(*window.px)[..., -1]) for _, window in tiles]
