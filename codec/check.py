"""Decoding twice, under configurations that share as little as one machine allows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..bitstream import BitstreamError, Container
from ..models.config import LATENTS_A_SIDE
from ..models.weights import carry_in
from .decoder import decode_container, decode_tile
from .tiling import Window, tile_rows
from .weights import Codec


@dataclass(frozen=True)
class VerifyReport:
    """What two decoders made of one file.

    Attributes:
        tiles: in the file.
        symbols: in the file.
        differing: symbols of the tiles that the second decoder did not decode to their checksum.
        max_pixel_difference: of 255; None where symbols differ.
    """

    tiles: int
    symbols: int
    differing: int
    max_pixel_difference: int | None


def verify_container(codec: Codec, container: Container) -> VerifyReport:
    """Decode as usual, and again with one thread, float64 carriers and no oneDNN.

    The symbols of both are held against the checksum that the encoder wrote, and so against each
    other; a tile whose second decoding fails counts with all its symbols.

    Raises:
        BitstreamError: the usual decoder already fails.
    """
    windows = [window for row in tile_rows(container.header) for window in row]
    sizes = [_symbols(codec, window) for window in windows]
    usual = decode_container(codec, container)
    with other_configuration(codec) as other:
        try:
            again = decode_container(other, container)
        except BitstreamError:
            failed = [not _decodes(other, container, n, w) for n, w in enumerate(windows)]
            differing = sum(size for size, bad in zip(sizes, failed, strict=True) if bad)
            return VerifyReport(len(windows), sum(sizes), differing, None)
    difference = np.abs(usual.rgb.astype(np.int16) - again.rgb)
    return VerifyReport(len(windows), sum(sizes), 0, int(difference.max()))


def _symbols(codec: Codec, window: Window) -> int:
    """Return how many symbols a tile has: of the context, and of the latents at stride 8."""
    config = codec.model.config
    height, width = window.size
    return height * width * (config.context_channels + LATENTS_A_SIDE**2 * config.latent_channels)


def _decodes(codec: Codec, container: Container, number: int, window: Window) -> bool:
    try:
        decode_tile(codec, container.tiles[number], number, window, container.header.quality)
    except BitstreamError:
        return False
    return True


@contextmanager
def other_configuration(codec: Codec) -> Iterator[Codec]:
    """Yield the codec with float64 carriers, on one thread and without oneDNN."""
    other = copy.deepcopy(codec.model)
    carry_in(other, torch.float64)
    threads = torch.get_num_threads()
    onednn = torch.backends.mkldnn.enabled
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)  # its context manager would warn about TF32
    try:
        yield replace(codec, model=other)
    finally:
        torch.backends.mkldnn.set_flags(onednn)
        torch.set_num_threads(threads)
