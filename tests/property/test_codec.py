"""What holds for any image: its size comes back, and the file is as large as the model says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hvae_codec.bitstream import read_container
from hvae_codec.codec.decoder import decode_container
from hvae_codec.codec.encoder import encode_pixels, tile_symbols
from hvae_codec.codec.image import to_pixels
from hvae_codec.codec.tiling import patch_grid
from hvae_codec.codec.weights import Codec

SIDE = st.integers(1, 140)
QUALITY = st.integers(0, 100)


@given(height=SIDE, width=SIDE, quality=QUALITY, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_any_size_comes_back(
    tiny_codec: Codec, height: int, width: int, quality: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    data = encode_pixels(tiny_codec, to_pixels(noise), quality)
    assert decode_container(tiny_codec, read_container(data)).rgb.shape == noise.shape


@given(top=st.integers(0, 300), height=SIDE, width=SIDE, quality=QUALITY)
@settings(max_examples=12, deadline=None)
def test_a_file_is_as_large_as_the_model_says(
    tiny_codec: Codec, photograph: np.ndarray, top: int, height: int, width: int, quality: int
) -> None:
    pixels = photograph[top : top + height, 150 : 150 + width]
    symbols = tile_symbols(tiny_codec, pixels, patch_grid(height, width), quality)
    bits = sum(
        tiny_codec.tables.bits(index, values).sum()
        for level in symbols.levels
        for index, values in level
    )
    size = len(encode_pixels(tiny_codec, to_pixels(pixels), quality))
    assert bits / 8 * 0.99 <= size <= bits / 8 * 1.01 + 64
