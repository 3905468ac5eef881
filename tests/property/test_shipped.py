"""What the shipped weights promise, on photographs that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import read_index
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.symbols.coders import push_pairs
from hvae_codec.codec.symbols.stack import CountingStack
from hvae_codec.codec.tiles.conditions import CodingConditions
from hvae_codec.codec.tiles.tile_encoder import encode_tiles
from hvae_codec.codec.tiles.tiling import patch_grid


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kodim05", "kodim20", "kodim23"])
def test_quality_buys_pixels_with_bytes(shipped_codec: Codec, kodak: Path, name: str) -> None:
    codec = shipped_codec
    with Image.open(kodak / f"{name}.png") as image:
        original = np.asarray(image.crop((200, 100, 456, 356)))
    pixels = to_pixels(original)
    sizes, errors = [], []
    for quality in (5, 40, 70, 95):
        data = encode_pixels(codec, pixels, quality)
        decoded = decode_file(codec, data, read_index(data)).samples
        sizes.append(len(data))
        errors.append(np.square(decoded.astype(np.float64) - original).mean())
        conditions = CodingConditions(codec.config, quality, is_grey=False)
        (symbols,) = encode_tiles(codec, pixels, [patch_grid(256, 256)], conditions)
        stack = CountingStack(codec.tables.pmfs)
        for level in (symbols.context_pairs, *symbols.latents):
            push_pairs(stack, level)
        assert stack.bits / 8 * 0.99 <= len(data) <= stack.bits / 8 * 1.01 + 64
    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)
