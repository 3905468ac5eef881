"""Decoding twice, under configurations that share as little as one machine allows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..bitstream import BitstreamError, Container
from ..models.weights import carry_in
from .decoder import decode_container, decode_tile
from .tiling import tile_rows
from .weights import Codec


@dataclass(frozen=True)
class VerifyReport:
    """What two decoders made of one file."""

    tiles: int
    symbols: int
    differing: int
    max_pixel_difference: int


def verify_container(codec: Codec, container: Container) -> VerifyReport:
    """Decode as usual, and again with one thread, float64 carriers and no oneDNN.

    The symbols of both are held against the checksum that the encoder wrote, and so against each
    other; a tile whose second decoding fails counts with all its symbols.

    Raises:
        BitstreamError: the usual decoder already fails.
    """
    header = container.header
    windows = [window for row in tile_rows(header) for window in row]
    usual = decode_container(codec, container)
    with other_configuration(codec) as other:
        symbols = differing = 0
        for number, (tile, window) in enumerate(zip(container.tiles, windows, strict=True)):
            count = decode_tile(codec, tile, number, window, header.quality).symbols
            symbols += count
            try:
                decode_tile(other, tile, number, window, header.quality)
            except BitstreamError:
                differing += count
        if differing:
            return VerifyReport(len(windows), symbols, differing, 255)
        again = decode_container(other, container)
    difference = np.abs(usual.rgb.astype(np.int16) - again.rgb)
    return VerifyReport(len(windows), symbols, 0, int(difference.max()))


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
