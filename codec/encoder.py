"""Pixels to tiles of symbols to bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
import torch
from torch import Tensor

from ..bitstream import (
    MAX_PIXELS,
    Header,
    ImageTooLarge,
    InvalidField,
    Prior,
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
from ..models.priors.interface import SymbolStack
from ..models.priors.masked_diffusion import MaskedDiffusion, Slice
from .bits_back import BitsBackStack
from .grey import coded_context, walk_latents
from .images import Pixels, encode_alpha, fill_hidden
from .search import EFFORTS, PASSES, Scene, aimed_at, search
from .symbols import SymbolWriter
from .tiling import (
    PATCH_PX,
    Window,
    analysis_halo,
    patch_grid,
    synthesis_halo,
    tile_side,
    tiles_in,
)
from .view import whole
from .weights import Codec


@dataclass(frozen=True, eq=False)
class TileSymbols:
    """What is coded of a tile.

    Attributes:
        quality: 0...100.
        context: (1, C, h, w) integers.
        slices: what the masked diffusion pushes of it, where that is known.
        coded: bool (C,), the channels of the context that are coded; the others are zero.
        latents: of each level, coarse to fine, pairs of table numbers and symbols, (n,): of its
            corrections, then of each step.
    """

    quality: int
    context: Tensor
    slices: list[Slice] | None
    coded: Tensor
    latents: list[list[tuple[np.ndarray, np.ndarray]]]

    @property
    def levels(self) -> list[list[np.ndarray]]:
        """The integers of the levels of the file, coarse to fine: what its checks are of."""
        latents = [[values for _, values in level] for level in self.latents]
        return [[context_integers(self.context)], *latents]

    @property
    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The latents without their levels."""
        return list(chain.from_iterable(self.latents))


def context_integers(context: Tensor) -> np.ndarray:
    """Return the context as its check sees it, whatever the prior: (1, C, h, w) int32."""
    return context.to(torch.int32).numpy()


def encode_pixels(
    codec: Codec,
    pixels: Pixels,
    quality: int,
    *,
    tile: int | None = None,
    prior: Prior = Prior.MASKED_DIFFUSION,
    alphas: Sequence[bytes] | None = None,
    effort: int = 0,
) -> bytes:
    """Encode pixels into a whole file.

    Args:
        codec: weights and tables.
        pixels: what `image.to_pixels` gave.
        quality: 0...100.
        tile: side of a tile in patches; None for `tile_side`.
        prior: of the context.
        alphas: what `encode_alphas` gave, which is the same at every quality.
        effort: 0...9, `search.PASSES` times as many passes to search the latents.

    Raises:
        InvalidField: the quality, the effort or the size is outside its range.
        ImageTooLarge: the image has more pixels than a decoder accepts.
        WeightsError: the weights do not have the prior.
    """
    height, width = pixels.size
    quality = whole("quality", quality)
    if whole("effort", effort) not in EFFORTS:
        raise InvalidField(f"effort {effort} is outside {EFFORTS[0]}…{EFFORTS[-1]}")
    if height * width > MAX_PIXELS:
        raise ImageTooLarge(width, height, MAX_PIXELS)
    side = tile_side(height, width) if tile is None else tile
    header = Header(
        width=width,
        height=height,
        quality=quality,
        tile=side,
        weights=codec.digest[:4],
        color=pixels.color,
        bit_depth=pixels.bit_depth,
        prior=prior,
        metadata=bool(pixels.metadata),
    )
    if alphas is None:
        alphas = encode_alphas(pixels, side)
    codec.prior(prior)  # refused before the work
    tiles = []
    for number, window in tiles_in(height, width, side):
        symbols = tile_symbols(codec, pixels, window, quality, effort)
        tiles.append(write_tile(codec, number, symbols, alphas[number], prior))
    return write_container(header, pixels.metadata, tiles)


def encode_alphas(pixels: Pixels, side: int) -> list[bytes]:
    """Code the alpha of each tile, of a side in patches; nothing where the image has none."""
    tiles = tiles_in(*pixels.size, side)
    if not pixels.color.has_alpha:
        return [b""] * len(tiles)
    return [encode_alpha(pixels.cut(*window.px)[..., -1]) for _, window in tiles]


@torch.autocast("cpu", enabled=False)
@torch.inference_mode(mode=False)  # whatever the caller has: a search needs gradients
@torch.no_grad()
def tile_symbols(
    codec: Codec, pixels: Pixels, tile: Window, quality: int, effort: int = 0
) -> TileSymbols:
    """Analyse a tile in its surroundings, search its symbols, and walk down its levels."""
    model, at = codec.model_at(quality), torch.full((1,), quality)
    seen = tile.grown(analysis_halo(model.config), patch_grid(*pixels.size))
    ycbcr = to_ycbcr(_cut_padded(pixels, seen))
    is_grey = pixels.color.is_grey
    coded = coded_context(model.config, is_grey)
    exact = model.exact_context(ycbcr, at) * coded[:, None, None]
    inside = (..., *tile.slices(seen, 1))
    own, slices = model.entropy.prior.decide(exact[inside], at, codec.norm, coded)
    context = torch.floor(exact + 0.5)
    context[inside] = own = own.float()
    features = model.features(ycbcr, model.context_image(context, at), at)

    near = tile.grown(synthesis_halo(model.config), seen) if effort else tile
    at_near = near.slices(seen, LATENTS_A_SIDE)
    posterior = model.posterior([x[(..., *at_near)] for x in features])
    if effort:
        around = ycbcr[(..., *near.slices(seen, PATCH_PX))], context[(..., *near.slices(seen, 1))]
        scene = Scene(*around, posterior, near, tile)
        model_in_float = codec.float_model_at(quality)
        own, latents = search(model_in_float, scene, at, effort * PASSES, is_grey)
        posterior, slices = aimed_at(model, latents), None
    writer = SymbolWriter(codec.tables)
    walk_latents(model, own, at, writer, posterior, is_grey=is_grey)
    return TileSymbols(quality, own, slices, coded, writer.levels())


def write_tile(
    codec: Codec,
    number: int,
    symbols: TileSymbols,
    alpha: bytes = b"",
    prior: Prior = Prior.MASKED_DIFFUSION,
) -> Tile:
    """Push a tile's symbols, fine to coarse, so that a decoder pops them coarse to fine."""
    coder = coder_of()
    bulk = []
    for level in reversed(symbols.latents):
        bulk.append(bulk_words(coder))
        for tables, values in reversed(level):
            push(coder, tables, values, codec.tables)
    stack = BitsBackStack(coder, codec.tables)
    push_context(codec, symbols, stack, prior)
    words = words_of(coder)
    # a context that pops on its way (bits-back) needs what lies below it, and so its words
    needed = list(accumulate([stack.lowest, *reversed(bulk)], min))
    checks = level_checks(number, symbols.levels)
    counts = level_words(needed, words.size)
    return Tile(words, counts, checks, alpha, alpha_check(number, alpha))


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def push_context(
    codec: Codec,
    symbols: TileSymbols,
    stack: SymbolStack,
    prior: Prior = Prior.MASKED_DIFFUSION,
) -> None:
    """Push the context of a tile under one of the weights' priors."""
    chosen, at = codec.prior(prior), torch.full((1,), symbols.quality)
    if isinstance(chosen, MaskedDiffusion) and symbols.slices is not None:
        chosen.push_slices(stack, symbols.slices, symbols.context, symbols.coded)
    else:
        chosen.push(stack, symbols.context, at, codec.norm, symbols.coded)


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
    samples *= 255 / pixels.largest_sample
    if pixels.color.has_alpha:
        color, alpha = samples[0, :-1].numpy(), samples[0, -1:].numpy()
        samples = torch.from_numpy(fill_hidden(color, alpha > 0))[None]
    return samples.expand(1, 3, height, width)
