"""Damaged files give an error or the right picture, never another one."""

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import BitstreamError, read_index
from hvae_codec.codec import api
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weights import load_codec
from hvae_codec.codec.options import EncodeOptions

pytestmark = pytest.mark.usefixtures("tiny_in_use")


@pytest.fixture(params=["RGB", pytest.param("LA", marks=pytest.mark.slow)])
def file(request: pytest.FixtureRequest, tiny_in_use: object, photograph: np.ndarray) -> bytes:
    """Two tiles and a profile, and maybe alpha."""
    image = Image.fromarray(photograph[100:130, 200:260]).convert(request.param)
    image.info["icc_profile"] = b"a profile"
    return encode_pixels(load_codec(), to_pixels(image), 20, EncodeOptions(tile_px=32))


def refused_or_right(data: bytes, right: Image.Image) -> bool:
    try:
        image = api.decode(data)
    except BitstreamError as error:
        assert "\n" not in str(error)
        return True
    assert np.array_equal(np.asarray(image), np.asarray(right))
    assert image.info == {"icc_profile": b"a profile"}
    return False


def keeps_going(data: bytes) -> None:
    """Whatever stands there, a picture of the right size comes out, or a typed error."""
    try:
        parts = api.decode_parts(data, keep_going=True)
    except BitstreamError as error:
        assert "\n" not in str(error)
        return
    assert parts.pixels.shape[:2] == (30, 60)


def positions(data: bytes, count: int, seed: int) -> list[int]:
    """Most of what stands before the tiles, and some of the tiles."""
    begin = read_index(data).begin
    drawn = np.random.default_rng(seed).integers(begin, len(data), count)
    return sorted({*range(seed % 3, begin, 3), *drawn.tolist(), len(data) - 1})


@pytest.mark.parametrize(
    "flip", [0x80, *(pytest.param(b, marks=pytest.mark.slow) for b in (1, 255))]
)
def test_one_flipped_byte(file: bytes, flip: int) -> None:
    right, damaged = api.decode(file), bytearray(file)
    for at in positions(file, 12, flip):
        damaged[at] ^= flip
        # checksums cover every byte, so that it is even always refused
        assert refused_or_right(bytes(damaged), right), at
        keeps_going(bytes(damaged))
        damaged[at] ^= flip


def test_a_cut(file: bytes) -> None:
    for size in range(0, len(file), 11):
        for function in (api.decode, api.verify):
            with pytest.raises(BitstreamError):
                function(file[:size])
        keeps_going(file[:size])


def test_bytes_behind_the_end(file: bytes) -> None:
    for tail in (b"\0", b"\0\0\0\0", file):
        for function in (api.decode, api.verify, api.inspect):
            with pytest.raises(BitstreamError):
                function(file + tail)


def test_made_up_words(file: bytes) -> None:
    rng, begin = np.random.default_rng(0), read_index(file).begin
    for _ in range(8):
        made_up = file[:begin] + rng.bytes(len(file) - begin)
        with pytest.raises(BitstreamError):
            api.decode(made_up)
        assert api.decode_parts(made_up, keep_going=True).lost_tiles == (0, 1)
