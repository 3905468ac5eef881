"""Tiles to words: the networks of the encoder and both walks, then the entropy coder.

    encode_tiles     pixels -> context, latents
    push_tile        symbols -> words, fine to coarse

A tile stands alone: its words need no other tile. Several tiles of one size may share a batch.
`tile_decoder` is the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ...bitstream import (
    Prior,
    Tile,
    TileCoder,
    bulk_words,
    coder_of,
    level_checks,
    level_words,
    part_check,
    words_of,
)
from ..config import LATENTS_A_SIDE, PATCH_PX
from ..images import Pixels
from ..networks.runtime import Features, Floats, Runtime, torch_side
from ..networks.weights import Codec
from ..quality.qualities import Quality
from ..symbols.coders import ContextEncoder, LatentEncoder, Pairs, TargetResidual, push_pairs
from ..symbols.stack import AnsStack, SymbolStack
from ..symbols.walk import walk
from .conditions import CodingConditions
from .exact import Mask, pixel_mask
from .fill import continue_edges, fill_hidden
from .tiling import Window, analysis_halo, patch_grid


@dataclass(frozen=True, eq=False)
class TileSymbols:
    """What is coded of a tile.

    Attributes:
        conditions: of the file.
        context: (C, h, w) integers.
        context_pairs: pmf indices and symbols of it under the masked diffusion.
        latents: the same of each level of latents, coarse to fine.
        decoded: what a decoder has of them: (C, 4h, 4w), in steps.
    """

    conditions: CodingConditions
    context: NDArray[np.int32]
    context_pairs: Pairs
    latents: list[Pairs]
    decoded: Floats

    @property
    def levels(self) -> list[list[NDArray[np.int32]]]:
        """The integers of the levels of the file, coarse to fine: what its checks are of."""
        return [[self.context], *([values for _, values in level] for level in self.latents)]


@dataclass(frozen=True, eq=False)
class _Surrounded:
    """A tile amid what its analysis sees.

    Attributes:
        window: its patches.
        seen: they and those around.
        rgb: (1, 3, H, W) of `seen`, in 0...255.
        quality: of `seen`.
        context: (1, C, h, w) of `seen`, not rounded.
    """

    window: Window
    seen: Window
    rgb: Floats
    quality: Quality
    context: Floats

    @property
    def own_context(self) -> Floats:
        """That of the tile: (1, C, h, w)."""
        return self.context[(..., *self.window.slices(self.seen, 1))]

    def features(self, runtime: Runtime, own: Floats) -> Features:
        """Analyse the tile beside its coded context (C, h, w); around it contexts are rounded."""
        context = np.floor(self.context + 0.5)
        context[(..., *self.window.slices(self.seen, 1))] = own
        here = self.window.slices(self.seen, LATENTS_A_SIDE)
        return runtime.analyse(self.rgb, context, self.quality).crop(*here)


def encode_tiles(
    codec: Codec,
    pixels: Pixels,
    windows: Sequence[Window],
    conditions: CodingConditions,
    effort: int = 0,
    exact_patches: Mask | None = None,
) -> list[TileSymbols]:
    """Analyse tiles of one size in their surroundings, and walk down context and latents.

    Args:
        codec: the weights.
        pixels: the whole image.
        windows: the patches of each tile.
        conditions: of the file.
        effort: how long symbols are searched for a smaller loss; needs PyTorch.
        exact_patches: (h, w), those of the one tile that another coder codes: here they go on
            as their surroundings.

    Returns:
        The symbols of each tile.

    Raises:
        TorchMissing: effort needs PyTorch, which is not installed.
    """
    runtime = codec.runtime
    around = [_surrounded(codec, pixels, window, conditions, exact_patches) for window in windows]
    size, quality = (len(windows), *windows[0].size), conditions.at(windows)
    encoder = ContextEncoder(codec.tables, conditions.context_mask)
    own = np.concatenate([each.own_context for each in around])
    u = walk(runtime.context_pass(size, quality, own), encoder).context
    coder = LatentEncoder(
        codec.tables, conditions.latent_mask, len(windows), skips=conditions.skips
    )
    if effort:
        u, targets = _searched(codec, around, u, conditions, effort)
        encoder = ContextEncoder(codec.tables, conditions.context_mask, decides=False)
        walk(runtime.context_pass(size, quality, u), encoder)
        decoded = walk(runtime.latent_pass(u, quality), TargetResidual(targets, coder)).latents
    else:
        features = [
            each.features(runtime, context) for each, context in zip(around, u, strict=True)
        ]
        decoded = walk(runtime.latent_pass(u, quality, features), coder).latents
    decoded = conditions.without_uncoded(decoded)
    integers = u.astype(np.int32)
    return [
        TileSymbols(conditions, integers[n], encoder.pairs(n), coder.levels(n), decoded[n])
        for n in range(len(windows))
    ]


def _surrounded(
    codec: Codec,
    pixels: Pixels,
    window: Window,
    conditions: CodingConditions,
    exact_patches: Mask | None,
) -> _Surrounded:
    seen = window.grown(analysis_halo(codec.config), patch_grid(*pixels.size))
    rgb, quality = _rgb(pixels, seen, window, exact_patches), conditions.at([seen])
    context = codec.runtime.unrounded_context(rgb, quality) * conditions.context_mask[:, None, None]
    return _Surrounded(window, seen, rgb, quality, context)


def _searched(
    codec: Codec,
    around: Sequence[_Surrounded],
    u: Floats,
    conditions: CodingConditions,
    effort: int,
) -> tuple[Floats, Floats]:
    """Return contexts (B, C, h, w) and latents to aim at, (B, C, 4h, 4w), of a smaller loss."""
    search = torch_side("search", f"effort {effort}").search
    found = [
        search(codec.file, each.rgb, u[n : n + 1], each.seen, each.window, conditions, effort)
        for n, each in enumerate(around)
    ]
    contexts, targets = (np.concatenate(each) for each in zip(*found, strict=True))
    return contexts, targets


def _rgb(pixels: Pixels, seen: Window, window: Window, exact_patches: Mask | None) -> Floats:
    """Cut a window out of an image, its last row and column repeated.

    Hidden colour and exact patches are replaced, and 16 bits become fractions of 8-bit levels.

    Args:
        pixels: the whole image.
        seen: what is cut out.
        window: the tile, within it.
        exact_patches: (h, w) of the tile, those that another coder codes; None for none.

    Returns:
        float32 (1, 3, h, w) in 0...255.
    """
    height, width = (side * PATCH_PX for side in seen.size)
    part = pixels.crop(*seen.px)
    missing = ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0))
    if any(after for _, after in missing):
        part = np.pad(part, missing, mode="edge")
    samples = np.ascontiguousarray(part.transpose(2, 0, 1), np.float32)
    if pixels.largest_sample != 255:
        samples *= 255 / pixels.largest_sample
    if pixels.color.has_alpha:
        samples = fill_hidden(samples[:-1], samples[-1:] > 0)
    if exact_patches is not None:
        visible = np.ones((1, height, width), bool)
        rows, columns = window.slices(seen, PATCH_PX)
        visible[0, rows, columns] = ~pixel_mask(exact_patches, (height, width))
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
        push_pairs(stack, level)
    stack = AnsStack(ans, codec.tables.pmfs, is_encoder=True)  # its `lowest` is the context's own
    push_context(codec, symbols, stack, prior)
    words = words_of(ans)
    # a context that pops on its way (bits-back) needs what lies below it, and so its words
    needed = list(accumulate([stack.lowest, *reversed(bulk)], min))
    return Tile(
        words=words,
        level_words=level_words(needed, words.size),
        checks=level_checks(number, symbols.levels),
        alpha=alpha,
        alpha_check=part_check(number, alpha),
        coder=TileCoder.BOTH if exact else TileCoder.LEARNED,
        exact=exact,
        exact_check=part_check(number, exact),
    )


def push_context(
    codec: Codec, symbols: TileSymbols, stack: SymbolStack, prior: Prior = Prior.MASKED_DIFFUSION
) -> None:
    """Push the context of a tile under one of the weights' priors.

    Raises:
        PayloadTooShort: the prior takes back more bits than lie on the stack.
        TorchMissing: the prior needs PyTorch, which is not installed.
    """
    if prior is Prior.MASKED_DIFFUSION:
        push_pairs(stack, symbols.context_pairs)
    else:
        codec.research_priors.push(prior.label, stack, symbols.context, symbols.conditions)
