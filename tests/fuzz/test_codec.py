"""Damaged files give an error or the right picture, never another one."""

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import BitstreamError, MetadataKind, read_container
from hvae_codec.codec import encoder
from hvae_codec.codec.decoder import decode_container
from hvae_codec.codec.image import to_pixels
from hvae_codec.codec.weights import Codec


@pytest.fixture
def file(tiny_codec: Codec, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Two tiles and a profile."""
    monkeypatch.setattr(encoder, "TILE_PATCHES", 1)
    image = Image.fromarray(photograph[100:130, 200:260])
    image.info["icc_profile"] = b"a profile"
    return encoder.encode_pixels(tiny_codec, to_pixels(image), 20)


def refused_or_right(codec: Codec, data: bytes, right: np.ndarray) -> bool:
    try:
        pixels = decode_container(codec, read_container(data))
    except BitstreamError as error:
        assert "\n" not in str(error)
        return True
    assert np.array_equal(pixels.rgb, right)
    assert pixels.metadata == ((MetadataKind.ICC, b"a profile"),)
    return False


def positions(size: int, count: int, seed: int) -> list[int]:
    """All of the header and the index, and some of the tiles."""
    drawn = np.random.default_rng(seed).integers(0, size, count)
    return sorted({*range(90), *drawn.tolist(), size - 1})


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_one_flipped_byte(tiny_codec: Codec, file: bytes, flip: int) -> None:
    right = decode_container(tiny_codec, read_container(file)).rgb
    damaged = bytearray(file)
    for at in positions(len(file), 40, flip):
        damaged[at] ^= flip
        # checksums cover every byte, so that it is even always refused
        assert refused_or_right(tiny_codec, bytes(damaged), right), at
        damaged[at] ^= flip


def test_a_cut(tiny_codec: Codec, file: bytes) -> None:
    for size in range(0, len(file), 3):
        with pytest.raises(BitstreamError):
            decode_container(tiny_codec, read_container(file[:size]))


def test_bytes_behind_the_end(tiny_codec: Codec, file: bytes) -> None:
    for tail in (b"\0", b"\0\0\0\0", file):
        with pytest.raises(BitstreamError):
            decode_container(tiny_codec, read_container(file + tail))


def test_made_up_words(tiny_codec: Codec, file: bytes) -> None:
    rng = np.random.default_rng(0)
    begin = len(file) - 4 * sum(tile.words.size for tile in read_container(file).tiles) - 8
    for _ in range(20):
        made_up = file[:begin] + rng.bytes(len(file) - begin)
        with pytest.raises(BitstreamError):
            decode_container(tiny_codec, read_container(made_up))
