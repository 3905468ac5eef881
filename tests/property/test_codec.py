"""What holds for any image: its size comes back, and the file is as large as the model says."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvae_codec.bitstream import read_index
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import SCALES, ContentKind, DecodeOptions, EncodeOptions
from hvae_codec.codec.symbols.coders import push_pairs
from hvae_codec.codec.symbols.stack import CountingStack
from hvae_codec.codec.tiles.conditions import CodingConditions
from hvae_codec.codec.tiles.tile_encoder import encode_tiles
from hvae_codec.codec.tiles.tiling import patch_grid

SIDE = st.integers(1, 140)
QUALITY = st.integers(0, 100)


@given(
    height=SIDE,
    width=SIDE,
    channels=st.integers(1, 4),
    deep=st.booleans(),
    quality=QUALITY,
    tile_side=st.integers(1, 5),
    seed=st.integers(0, 99),
    content=st.sampled_from(["auto", "photo"]),
)
@settings(max_examples=8)
def test_any_image_comes_back(
    tiny_codec: Codec,
    height: int,
    width: int,
    channels: int,
    deep: bool,
    quality: int,
    tile_side: int,
    seed: int,
    content: ContentKind,
) -> None:
    dtype = np.uint16 if deep else np.uint8
    shape = (height, width, channels)
    noise = np.random.default_rng(seed).integers(
        0, np.iinfo(dtype).max, shape, dtype, endpoint=True
    )
    data = encode_pixels(
        tiny_codec,
        to_pixels(noise),
        quality,
        EncodeOptions(tile_px=tile_side * PATCH_PX, content=content),
    )
    samples = decode_file(tiny_codec, data, read_index(data)).samples
    assert (samples.shape, samples.dtype) == (noise.shape, noise.dtype)
    if channels in (2, 4):
        assert np.array_equal(samples[..., -1], noise[..., -1])


@pytest.fixture(scope="session")
def coded(tiny_codec: Codec, photograph: np.ndarray) -> Callable[[int], bytes]:
    """Files of one picture, by the side of their tiles."""
    pixels = to_pixels(photograph[50:150, 150:231])
    return cache(
        lambda side: encode_pixels(tiny_codec, pixels, 60, EncodeOptions(tile_px=side * PATCH_PX))
    )


@given(
    region=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    scale=st.sampled_from(SCALES),
    tile_side=st.integers(1, 3),
)
@settings(max_examples=4)
def test_a_region_is_a_part_of_the_whole(
    tiny_codec: Codec,
    coded: Callable[[int], bytes],
    region: tuple[float, float, float, float],
    scale: int,
    tile_side: int,
) -> None:
    height, width = 100, 81
    data = coded(tile_side)
    x, y = int(region[0] * (width - 1)), int(region[1] * (height - 1))
    w, h = 1 + int(region[2] * (width - x - 1)), 1 + int(region[3] * (height - y - 1))
    index = read_index(data)
    whole = decode_file(tiny_codec, data, index, DecodeOptions(scale=scale)).samples
    assert whole.shape == (-(-height // scale), -(-width // scale), 3)
    part = decode_file(tiny_codec, data, index, DecodeOptions((x, y, w, h), scale)).samples
    rows = slice(y // scale, -(-(y + h) // scale))
    columns = slice(x // scale, -(-(x + w) // scale))
    assert part.shape == whole[rows, columns].shape
    # float networks over other windows: a rounding may fall to the other side
    assert np.abs(part.astype(np.int16) - whole[rows, columns]).max() <= 1


@given(top=st.integers(0, 300), height=SIDE, width=SIDE, quality=QUALITY)
@settings(max_examples=6)
def test_a_file_is_as_large_as_the_model_says(
    tiny_codec: Codec, photograph: np.ndarray, top: int, height: int, width: int, quality: int
) -> None:
    pixels = photograph[top : top + height, 150 : 150 + width]
    bits = bits_of(tiny_codec, pixels, quality)
    size = len(
        encode_pixels(tiny_codec, to_pixels(pixels), quality, EncodeOptions(content="photo"))
    )
    assert bits / 8 * 0.99 <= size <= bits / 8 * 1.01 + 64


def bits_of(codec: Codec, pixels: np.ndarray, quality: int) -> float:
    """What the model says that an image of one tile takes."""
    conditions = CodingConditions(codec.config, quality, is_grey=False)
    everything = patch_grid(*pixels.shape[:2])
    (symbols,) = encode_tiles(codec, to_pixels(pixels), [everything], conditions)
    stack = CountingStack(codec.tables.pmfs)
    for level in (symbols.context_pairs, *symbols.latents):
        push_pairs(stack, level)
    return stack.bits
