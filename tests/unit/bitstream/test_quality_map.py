"""The quality map: its bytes, its size, and what is refused."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hvae_codec.bitstream import (
    ArgumentError,
    Header,
    InvalidField,
    MapDamaged,
    Truncated,
    read_index,
)
from hvae_codec.bitstream.quality_map import pack_map, unpack_map
from hvae_codec.bitstream.source import Cursor
from tests.unit.bitstream.test_container import HEADER, TILES, write_container

MAP = np.array([[3, -6], [0, 9]], np.int16)
GOLDEN_MAP = "09 03 1d000000 0000803c 4fbf40d5"


def unpacked(data: bytes, size: tuple[int, int] = (2, 2), quality: int = 50) -> np.ndarray:
    cursor = Cursor(data)
    offsets = unpack_map(cursor, size, quality)
    assert cursor.at == len(data)
    return offsets


def sealed(payload: bytes) -> bytes:
    section = bytes([len(payload)]) + payload
    return section + struct.pack("<I", zlib.crc32(section))


def test_golden_bytes() -> None:
    assert pack_map(MAP).hex() == GOLDEN_MAP.replace(" ", "")
    assert np.array_equal(unpacked(bytes.fromhex(GOLDEN_MAP)), MAP)


@given(
    arrays.arrays(
        np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-50, 50)
    )
)
def test_every_map_comes_back(offsets: np.ndarray) -> None:
    height, width = offsets.shape
    assert np.array_equal(unpacked(pack_map(offsets), (height, width)), offsets)


def test_what_is_flat_costs_next_to_nothing() -> None:
    assert len(pack_map(np.zeros((32, 32), np.int16))) <= 10
    assert len(pack_map(np.full((32, 32), -7, np.int16))) <= 18


def test_a_smooth_map_takes_less_than_its_histogram_says() -> None:
    rows, columns = np.mgrid[:40, :40]
    offsets = (np.rint(4 * np.sin(rows / 9) + 3 * np.cos(columns / 7)) * 3).astype(np.int16)
    shares = np.unique(offsets, return_counts=True)[1] / offsets.size
    independent_bytes = -offsets.size * (shares * np.log2(shares)).sum() / 8
    assert len(pack_map(offsets)) < 0.7 * independent_bytes


def test_every_flipped_byte_is_noticed() -> None:
    data = bytes.fromhex(GOLDEN_MAP)
    for place in range(1, len(data)):  # the first is the length
        with pytest.raises(MapDamaged):
            unpacked(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for end in range(len(data)):
        with pytest.raises(Truncated):
            unpacked(data[:end])


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x65", b"\x01abc"])
def test_a_right_checksum_does_not_make_a_map(payload: bytes) -> None:
    with pytest.raises(MapDamaged, match="are no map"):
        unpacked(sealed(payload))


def test_a_quality_out_of_range_is_refused() -> None:
    data = pack_map(MAP)
    with pytest.raises(InvalidField, match=r"qualities 89\.\.\.104 of patches are outside"):
        unpacked(data, quality=95)
    with pytest.raises(InvalidField, match=r"qualities -1\.\.\.14"):
        unpacked(data, quality=5)


def test_a_file_has_the_map_that_its_header_announces() -> None:
    header: Header = replace(HEADER, map=True)
    data = write_container(header, (), TILES, MAP)
    index = read_index(data)
    assert index.quality_map is not None and np.array_equal(index.quality_map, MAP)
    assert read_index(write_container(HEADER, (), TILES)).quality_map is None
    with pytest.raises(ArgumentError, match="map=True"):
        write_container(header, (), TILES)
    with pytest.raises(ArgumentError, match="map=False"):
        write_container(HEADER, (), TILES, MAP)
    with pytest.raises(ArgumentError, match=r"int16 \(1, 2\), not \(2, 2\)"):
        write_container(header, (), TILES, MAP[:1])


@pytest.mark.parametrize("words", [b"\0\0\0\0", b"\xff" * 100])
def test_words_that_no_map_leaves_are_no_map(words: bytes) -> None:
    with pytest.raises(MapDamaged, match=r"does not decode \("):
        unpacked(sealed(b"\x01" + words))
