"""The whole file: its bytes, random access, truncation, and what is refused."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from hvae_codec.bitstream import (
    Container,
    Header,
    IndexDamaged,
    InvalidField,
    MetadataDamaged,
    MetadataKind,
    Tile,
    TrailingData,
    Truncated,
    pack_header,
    read_container,
    read_index,
    read_tile,
    symbol_checksum,
    write_container,
)

HEADER = Header(width=64, height=40, quality=50, tile=1, weights=b"abcd")  # 2 x 2 tiles
EXIF = (MetadataKind.EXIF, b"Exif\x00\x00MM")
XMP = (MetadataKind.XMP, b"<x/>" * 50)


def tile(number: int, level_words: tuple[int, ...] = (1, 0, 2)) -> Tile:
    words = (np.arange(sum(level_words)) + 100 * number + 1).astype(np.uint32)
    return Tile(0xC0DE0000 + number, words, level_words)


def sample(*, with_metadata: bool = False) -> Container:
    items = (EXIF, XMP) if with_metadata else ()
    tiles = (tile(0), tile(1, (0, 0, 0)), tile(2, (200, 0, 1)), tile(3))
    return Container(replace(HEADER, metadata=with_metadata), items, tiles)


def same(a: Tile, b: Tile) -> bool:
    return (
        a.checksum == b.checksum
        and a.level_words == b.level_words
        and np.array_equal(a.words, b.words)
    )


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def test_golden_bytes() -> None:
    header = Header(width=5, height=3, quality=1, tile=1, weights=b"abcd", metadata=True)
    one = Tile(0x01020304, np.array([0xA1A2A3A4, 7], np.uint32), (1, 1))
    data = write_container(Container(header, ((MetadataKind.ICC, b"icc"),), (one,)))
    metadata, index = bytes.fromhex("01 00 03 696363"), bytes.fromhex("02 01 01")
    assert data == (
        pack_header(header)
        + metadata
        + crc(metadata)
        + index
        + crc(index)
        + bytes.fromhex("04030201 a4a3a2a1 07000000")
    )


@pytest.mark.parametrize("with_metadata", [False, True])
def test_round_trip(with_metadata: bool) -> None:
    wrote = sample(with_metadata=with_metadata)
    data = write_container(wrote)
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        read = read_container(source)
        assert read.header == wrote.header
        assert read.metadata == wrote.metadata
        assert all(map(same, read.tiles, wrote.tiles))
        assert all(t.complete for t in read.tiles)


class CountingFile(io.BytesIO):
    """A file that knows how much was read of it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def test_a_region_is_read_without_the_rest() -> None:
    big = Container(HEADER, (), tuple(tile(n, (5000, 0, 0)) for n in range(4)))
    file = CountingFile(write_container(big))
    index = read_index(file)
    assert same(read_tile(file, index, 2), big.tiles[2])
    assert file.read_bytes < 20_004 + 200  # one tile, and what stands before the tiles


def test_the_index_tells_where_tiles_are() -> None:
    data = write_container(sample(with_metadata=True))
    index = read_index(data)
    assert index.end == len(data)
    assert index.level_words.tolist() == [[1, 0, 2], [0, 0, 0], [200, 0, 1], [1, 0, 2]]
    for number, (offset, size) in enumerate(index.spans):
        payload = data[offset : offset + size]
        assert struct.unpack_from("<I", payload)[0] == 0xC0DE0000 + number
    with pytest.raises(InvalidField, match=r"tile 4 is outside 0\.\.\.3"):
        read_tile(data, index, 4)


def test_a_cut_file_gives_the_levels_that_are_there() -> None:
    data = write_container(sample())
    index = read_index(data)
    offset = int(index.spans[2][0])
    read = read_container(data[: offset + 4 + 200 * 4 + 3], allow_truncated=True)
    assert [t.complete for t in read.tiles] == [True, True, False, False]
    assert read.tiles[2].words.size == 200
    assert read.tiles[2].whole_levels == 2
    assert read.tiles[3].checksum is None
    assert read.tiles[3].words.size == 0
    assert read.tiles[3].whole_levels == 0
    assert read.tiles[0].whole_levels == 3


def test_a_cut_file_is_refused_unless_asked_for() -> None:
    data = write_container(sample())
    with pytest.raises(Truncated, match=f"{len(data) - 1} bytes, its index asks for {len(data)}"):
        read_container(data[:-1])
    with pytest.raises(Truncated):
        read_tile(data[:-1], read_index(data), 3)


def test_trailing_bytes_are_refused_even_so() -> None:
    data = write_container(sample())
    for allow_truncated in (False, True):
        with pytest.raises(TrailingData, match="1 bytes are left over"):
            read_container(data + b"\x00", allow_truncated=allow_truncated)


def test_damage_before_the_tiles_is_named() -> None:
    data = bytearray(write_container(sample(with_metadata=True)))
    at = data.index(b"<x/>")
    data[at] ^= 1
    with pytest.raises(MetadataDamaged):
        read_container(data)
    data[at] ^= 1
    offset = int(read_index(data).spans[0][0])
    data[offset - 5] ^= 1  # the last count of the index
    with pytest.raises(IndexDamaged):
        read_container(data)


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        ("00", InvalidField, "none at all"),
        ("01 00 00", InvalidField, "empty item"),
        ("01 03 01 61", InvalidField, "only 0...2"),
        ("02 01 01 61 00 01 61", InvalidField, "not ascending"),
        ("02 01 01 61 01 01 61", InvalidField, "not ascending"),
        ("01 00 8100 61", InvalidField, "more bytes than it needs"),
        ("01 00 ffffffff0f 61", Truncated, "4294967295 bytes announced"),
    ],
)
def test_crafted_metadata_is_refused(section: str, error: type[Exception], message: str) -> None:
    body = bytes.fromhex(section)
    header = Header(width=1, height=1, quality=1, tile=1, weights=b"abcd", metadata=True)
    index = bytes.fromhex("01 00")
    data = pack_header(header) + body + crc(body) + index + crc(index) + bytes(4)
    with pytest.raises(error, match=message):
        read_container(data)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ("00", InvalidField, "0 levels"),
        ("01 8000", InvalidField, "more bytes than it needs"),
        ("01 ffffffff7f", InvalidField, "outside 0...4294967295"),
        ("01 ffffffff0f", Truncated, "its index asks for 17179869"),
        ("41 01 01", InvalidField, "65 levels are outside 1...64"),
        ("40 01 01", Truncated, "64 integers announced"),
    ],
)
def test_crafted_indices_are_refused(index: str, error: type[Exception], message: str) -> None:
    body = bytes.fromhex(index)
    header = pack_header(Header(width=1, height=1, quality=1, tile=1, weights=b"abcd"))
    with pytest.raises(error, match=message):
        read_container(header + body + crc(body) + bytes(8))


def test_an_announced_giant_takes_no_memory_even_when_cuts_are_allowed() -> None:
    body = bytes.fromhex("01 ffffffff0f")
    header = pack_header(Header(width=1, height=1, quality=1, tile=1, weights=b"abcd"))
    (only,) = read_container(header + body + crc(body) + bytes(12), allow_truncated=True).tiles
    assert only.words.size == 2
    assert not only.complete


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Container(HEADER, (), (tile(0),) * 3), "3 tiles, the header asks for 4"),
        (Container(HEADER, (EXIF,), (tile(0),) * 4), "metadata=False, there are 1"),
        (Container(replace(HEADER, metadata=True), (), (tile(0),) * 4), "there are 0"),
        (Container(HEADER, (), (tile(0),) * 3 + (tile(0, (1,)),)), "1 levels, not 3"),
        (Container(HEADER, (), (tile(0, ()),) * 4), "0 levels"),
        (Container(HEADER, (), (tile(0, (0,) * 65),) * 4), "65 levels"),
        (Container(HEADER, (), (replace(tile(0), checksum=None),) * 4), "not complete"),
        (Container(HEADER, (), (replace(tile(0), words=np.zeros(2, np.uint32)),) * 4), "2 of 3"),
        (Container(HEADER, (), (replace(tile(0), words=np.zeros(3, np.int64)),) * 4), "int64"),
        (Container(HEADER, (), (replace(tile(0), checksum=1 << 32),) * 4), "4294967296"),
        (Container(HEADER, (), (replace(tile(0), level_words=(4, -1, 0)),) * 4), "count -1"),
        (
            Container(replace(HEADER, metadata=True), (XMP, EXIF), (tile(0),) * 4),
            "not ascending",
        ),
        (
            Container(replace(HEADER, metadata=True), ((MetadataKind.ICC, b""),), (tile(0),) * 4),
            "ICC is empty",
        ),
    ],
)
def test_nothing_is_written_that_could_not_be_read(wrong: Container, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        write_container(wrong)


def test_symbol_checksum_is_the_crc_of_little_endian_int32() -> None:
    levels = [np.array([[1, -2]], np.int64), np.array([300], np.int16)]
    expected = zlib.crc32(bytes.fromhex("01000000 feffffff 2c010000"))
    assert symbol_checksum(0, levels) == expected
    assert symbol_checksum(0, []) == 0
    assert symbol_checksum(0, levels[::-1]) != expected


def test_symbol_checksum_tells_tiles_apart() -> None:
    levels = [np.array([1, 2, 3], np.int32)]
    assert symbol_checksum(0, levels) != symbol_checksum(1, levels)
