"""Exact patches of a tile: where they are, and their samples without loss.

whole tile   samples, alpha among them                       (lossless.py)
some patches varints: how many patches row by row are learned, exact, learned, …, in all those
             of the tile; then samples without alpha, zeros where a patch is learned
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bitstream import (
    BitstreamError,
    Header,
    StreamDamaged,
    Tile,
    TileCoder,
    TileDamaged,
    part_check,
)
from ...bitstream.varint import MAX_VARINT_BYTES, pack_varints, unpack_varints
from ..config import PATCH_PX
from ..images import Pixels
from .lossless import decode_lossless, encode_lossless
from .tiling import Window

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ExactPatches:
    """What is exact of a tile.

    Attributes:
        where: (h, w), the patches that are exact.
        samples: (H, W, C), with alpha if the tile is; zeros where a patch is learned.
        is_whole: whether nothing of the tile is learned.
    """

    where: Mask
    samples: NDArray
    is_whole: bool


def seen_samples(pixels: Pixels, window: Window) -> NDArray:
    """Return the samples (H, W, C) of a tile, zeros under full transparency: nobody sees them."""
    samples = pixels.crop(*window.px)
    return samples * (samples[..., -1:] > 0) if pixels.color.has_alpha else samples


def encode_exact(samples: NDArray, where: Mask, *, quickly: bool = False) -> bytes:
    """Code patches of a tile.

    Args:
        samples: (H, W, C) of the tile.
        where: (h, w), the patches that are to be exact.
        quickly: for a few more bytes.
    """
    if where.all():
        return encode_lossless(samples, quickly=quickly)
    kept = colour_of(samples) * pixel_mask(where, samples.shape)[..., None]
    return _pack_runs(where) + encode_lossless(kept, quickly=quickly)


def colour_of(samples: NDArray) -> NDArray:
    """Return samples (H, W, C) without alpha."""
    return samples[..., : (samples.shape[2] - 1) | 1]


def decode_exact(number: int, window: Window, tile: Tile, header: Header) -> ExactPatches:
    """Decode what `encode_exact` coded.

    Args:
        number: of the tile.
        window: the tile.
        tile: as it was read.
        header: of the file.

    Raises:
        TileDamaged: it is missing, or not what was coded.
    """
    if tile.exact is None or part_check(number, tile.exact) != tile.exact_check:
        raise TileDamaged(number, "its exact patches do not match their checksum")
    rows, columns = window.px
    height = min(rows.stop, header.height) - rows.start
    width = min(columns.stop, header.width) - columns.start
    channels = header.color.channels
    try:
        where, at = np.ones(window.size, bool), 0
        if tile.coder is TileCoder.BOTH:
            where, at = _unpack_runs(tile.exact, window.size)
            channels -= header.color.has_alpha
        samples = decode_lossless(tile.exact[at:], (height, width, channels), header.bit_depth)
        return ExactPatches(where, samples, tile.coder is TileCoder.EXACT)
    except StreamDamaged as error:
        raise TileDamaged(number, f"its exact patches: {error}") from error


def pixel_mask(patches: Mask, size: tuple[int, ...], side: int = PATCH_PX) -> Mask:
    """Return which pixels (H, W, ...) patches of a side cover: (H, W)."""
    return patches.repeat(side, axis=0).repeat(side, axis=1)[: size[0], : size[1]]


def _pack_runs(where: Mask) -> bytes:
    changes = np.flatnonzero(np.diff(where.ravel(), prepend=False, append=not where.flat[-1]))
    return pack_varints(np.diff(changes, prepend=0).tolist())


def _unpack_runs(data: bytes, size: tuple[int, int]) -> tuple[Mask, int]:
    count, at, is_exact = size[0] * size[1], 0, False
    where = np.zeros(0, bool)
    while where.size < count:
        try:
            (run,), taken = unpack_varints(data[at : at + MAX_VARINT_BYTES], 1)
        except BitstreamError as error:
            raise StreamDamaged(str(error)) from error
        if (not run and where.size) or where.size + run > count:
            raise StreamDamaged(f"a run of {run} patches behind {where.size} of {count}")
        where = np.append(where, np.full(run, is_exact))
        at, is_exact = at + taken, not is_exact
    return where.reshape(size), at
