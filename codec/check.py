"""Decoding twice, under configurations that share as little as one machine allows."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..bitstream import BitstreamError, Index, Source, read_tile
from ..models.config import LATENTS_A_SIDE
from ..models.weights import carry_in
from .decoder import decode_file
from .grey import coded_context, luma_of
from .tile import decode_tile
from .tiling import Window, tiles_in
from .view import view_of
from .weights import Codec

_SETTINGS = threading.Lock()


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


def verify_file(codec: Codec, source: Source, index: Index) -> VerifyReport:
    """Decode as usual, and again with one thread, float64 carriers and no oneDNN.

    The symbols of both are held against the checks that the encoder wrote, and so against each
    other; a tile whose second decoding fails counts with all its symbols.

    Raises:
        BitstreamError: the usual decoder already fails.
    """
    header, view = index.header, view_of(index.header)
    windows = [w for _, w in tiles_in(header.height, header.width, header.tile)]
    sizes = [_symbols(codec, window, header.color.is_grey) for window in windows]
    usual = decode_file(codec, source, index, view)
    with other_configuration(codec) as other:
        try:
            again = decode_file(other, source, index, view)
        except BitstreamError:
            failed = [not _decodes(other, source, index, n, w) for n, w in enumerate(windows)]
            differing = sum(size for size, bad in zip(sizes, failed, strict=True) if bad)
            differing = differing or sum(sizes)  # a fault that comes and goes is one all the same
            return VerifyReport(len(windows), sum(sizes), differing, None, header.largest_sample)
    pairs = ((usual.pixels.cut(*one.px), again.pixels.cut(*one.px)) for one in windows)
    difference = max(int(np.abs(a.astype(np.int32) - b).max()) for a, b in pairs)
    return VerifyReport(len(windows), sum(sizes), 0, difference, header.largest_sample)


def _symbols(codec: Codec, window: Window, is_grey: bool) -> int:
    """Return how many symbols a tile has: of the context, and of the latents at stride 8."""
    context = int(coded_context(codec.config, is_grey).sum())
    latents = codec.config.latent_channels
    latents = int(luma_of(codec.config).latents_mask.sum()) if is_grey else latents
    height, width = window.size
    return height * width * (context + LATENTS_A_SIDE**2 * latents)


def _decodes(codec: Codec, source: Source, index: Index, number: int, window: Window) -> bool:
    try:
        decode_tile(codec, index.header, read_tile(source, index, number), number, window)
    except BitstreamError:
        return False
    return True


@contextmanager
def other_configuration(codec: Codec) -> Iterator[Codec]:
    """Yield the codec with float64 carriers, on one thread and without oneDNN.

    These settings are the process's: what other threads encode or decode meanwhile is the same,
    but for the rounding of pixels, and slower. One caller at a time gets in.
    """
    others = copy.deepcopy(codec.models)
    for other in others:
        carry_in(other, torch.float64)
    with _SETTINGS:
        threads = torch.get_num_threads()
        onednn = torch.backends.mkldnn.enabled
        torch.set_num_threads(1)
        torch.backends.mkldnn.set_flags(False)  # its context manager would warn about TF32
        try:
            yield replace(codec, models=others)
        finally:
            torch.backends.mkldnn.set_flags(onednn)
            torch.set_num_threads(threads)
