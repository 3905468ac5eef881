"""What the shipped weights promise, on photographs that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import read_index
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels, push_context, tile_symbols
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.symbols import Ledger
from hvae_codec.codec.tiling import patch_grid
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import load_codec


@pytest.mark.parametrize("name", ["kodim05", "kodim20", "kodim23"])
def test_quality_buys_pixels_with_bytes(shipped: Path, kodak: Path, name: str) -> None:
    codec = load_codec(shipped)
    with Image.open(kodak / f"{name}.png") as image:
        original = np.asarray(image.crop((200, 100, 456, 356)))
    pixels = to_pixels(original)
    sizes, errors = [], []
    for quality in (5, 40, 70, 95):
        data = encode_pixels(codec, pixels, quality)
        index = read_index(data)
        decoded = decode_file(codec, data, index, view_of(index.header)).samples
        sizes.append(len(data))
        errors.append(np.square(decoded.astype(np.float64) - original).mean())
        symbols = tile_symbols(codec, pixels, patch_grid(256, 256), quality)
        ledger = Ledger(codec.tables)
        push_context(codec, symbols, ledger)
        bits = ledger.bits + sum(codec.tables.bits(*pair).sum() for pair in symbols.pairs)
        assert bits / 8 * 0.99 <= len(data) <= bits / 8 * 1.01 + 64
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)
