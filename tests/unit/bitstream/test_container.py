"""The whole file: its bytes, random access, truncation, and what is refused."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from hvae_codec.bitstream import (
    ArgumentError,
    Color,
    Header,
    Index,
    IndexDamaged,
    InvalidField,
    Metadata,
    MetadataDamaged,
    MetadataKind,
    Tile,
    TrailingData,
    Truncated,
    level_checks,
    pack_header,
    part_check,
    read_index,
    read_tile,
    write_container,
)

HEADER = Header(width=64, height=40, quality=50, tile_side=1, weights=b"abcd")  # 2 x 2 tiles
ICC = (MetadataKind.ICC, b"icc")
EXIF = (MetadataKind.EXIF, b"Exif\x00\x00MM")
XMP = (MetadataKind.XMP, b"<x/>" * 50)


def tile(number: int, level_words: tuple[int, ...] = (1, 0, 2), alpha: bytes = b"") -> Tile:
    words = (np.arange(sum(level_words)) + 100 * number + 1).astype(np.uint32)
    checks = tuple(0xC0DE0000 + 16 * number + level for level in range(len(level_words)))
    return Tile(words, level_words, checks, alpha, part_check(number, alpha))


TILES = (tile(0), tile(1, (0, 0, 0)), tile(2, (200, 0, 1)), tile(3))


def sample(metadata: Metadata = (), *, alpha: bool = False) -> bytes:
    color = Color.RGB_ALPHA if alpha else Color.RGB
    header = replace(HEADER, metadata=bool(metadata), color=color)
    tiles = [replace(t, alpha=bytes([n] * (n + 1))) for n, t in enumerate(TILES)]
    tiles = [replace(t, alpha_check=part_check(n, t.alpha or b"")) for n, t in enumerate(tiles)]
    return write_container(header, metadata, tiles if alpha else TILES)


def same(read: Tile, wrote: Tile) -> bool:
    return (
        read.level_words == wrote.level_words
        and read.intact_levels(wrote.checks) == len(wrote.checks)
        and np.array_equal(read.words, wrote.words)
    )


def tiles_of(source: bytes | io.BytesIO, index: Index) -> list[Tile]:
    return [read_tile(source, index, n) for n in range(index.header.tile_count)]


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def test_golden_bytes() -> None:
    header = Header(
        width=40, height=3, quality=1, tile_side=1, weights=b"abcd", color=Color.GREY_ALPHA
    )
    header = replace(header, metadata=True)
    tiles = [
        Tile(np.array(words, np.uint32), (1, 1), (0x0102, 0x03040506 + n), b"A" * (1 + n), 0x77 + n)
        for n, words in enumerate([[0xA1A2A3A4, 7], [8, 9]])
    ]
    data = write_container(header, (ICC,), tiles)
    metadata = bytes.fromhex("01 00 03 696363")
    index = bytes.fromhex("02  01 01 01  01 01 02  0201 0201  06050403 07050403  77000000 78000000")
    assert data == (
        pack_header(header)
        + metadata
        + crc(metadata)
        + index
        + crc(index)
        + b"A"
        + b"AA"
        + bytes.fromhex("a4a3a2a1 08000000  07000000 09000000")
    )


@pytest.mark.parametrize("metadata", [(), (EXIF, XMP)])
@pytest.mark.parametrize("alpha", [False, True])
def test_round_trip(metadata: Metadata, alpha: bool) -> None:
    data = sample(metadata, alpha=alpha)
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        index = read_index(source)
        assert index.metadata == metadata
        assert index.end == len(data) == index.check_end(source)
        tiles = tiles_of(source, index)  # type: ignore[arg-type]
        assert all(map(same, tiles, TILES))
        assert [t.alpha for t in tiles] == [bytes([n] * (n + 1)) * alpha for n in range(4)]
        assert all(t.whole_levels == 3 for t in tiles)
        assert write_container(index.header, metadata, tiles) == data


class RecordingFile(io.BytesIO):
    """A file that knows where it was read."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.reads: list[tuple[int, int]] = []

    def read(self, size: int | None = -1, /) -> bytes:
        at, data = self.tell(), super().read(size)
        self.reads.append((at, at + len(data)))
        return data


def test_a_tile_is_read_without_the_rest() -> None:
    big = [tile(n, (5000, 0, 3000)) for n in range(4)]
    file = RecordingFile(write_container(HEADER, (), big))
    index = read_index(file)
    file.reads.clear()
    assert same(read_tile(file, index, 2), big[2])
    spans = [(begin, begin + size) for begin, size in index.spans[2].tolist()]
    assert file.reads == spans
    file.reads.clear()
    read_tile(file, index, 2, levels=1)
    assert file.reads == spans[:3]


def test_levels_stand_one_behind_the_other() -> None:
    index = read_index(sample(alpha=True))
    order = np.argsort(index.spans[..., 0].T.ravel(), kind="stable")
    assert order.tolist() == list(range(20))  # alpha, exact patches, then level by level
    with pytest.raises(ArgumentError, match=r"tile 4 is outside 0\.\.\.3"):
        read_tile(sample(), index, 4)


def test_a_cut_file_gives_the_levels_that_are_there() -> None:
    data = sample()
    index = read_index(data)
    cut = data[: int(index.spans[2, 4, 0]) + 3]  # within the last word of tile 2
    read = tiles_of(cut, index)
    assert [t.whole_levels for t in read] == [3, 3, 2, 2]
    assert read[2].words.size == 200
    assert np.array_equal(read[3].words, TILES[3].words[:1])


def test_a_cut_within_alpha_leaves_nothing() -> None:
    data = sample(alpha=True)
    index = read_index(data)
    read = tiles_of(data[: index.begin + 2], index)
    assert [t.alpha for t in read] == [b"\0", None, None, None]
    assert all(t.words.size == 0 for t in read)


def test_a_file_ends_where_its_index_says() -> None:
    data = sample()
    index = read_index(data)
    with pytest.raises(Truncated, match=f"cut: {len(data) - 1} of {len(data)} bytes are there"):
        index.check_end(data[:-1])
    assert index.check_end(data[:-1], may_be_cut=True) == len(data) - 1
    for may_be_cut in (False, True):
        with pytest.raises(TrailingData, match="bytes left over behind the last tile: 1"):
            index.check_end(data + b"\0", may_be_cut=may_be_cut)


def test_damage_before_the_tiles_is_named() -> None:
    data = bytearray(sample((EXIF, XMP)))
    at = data.index(b"<x/>")
    data[at] ^= 1
    with pytest.raises(MetadataDamaged):
        read_index(data)
    data[at] ^= 1
    data[read_index(data).begin - 5] ^= 1  # the last check of the index
    with pytest.raises(IndexDamaged):
        read_index(data)


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        ("00", InvalidField, "none at all"),
        ("01 00 00", InvalidField, "empty item"),
        ("01 06 01 61", InvalidField, "only 0...5"),
        ("02 01 01 61 00 01 61", InvalidField, "not ascending"),
        ("02 01 01 61 01 01 61", InvalidField, "not ascending"),
        ("01 00 8100 61", InvalidField, "more bytes than it needs"),
        ("01 00 ffffffff0f 61", Truncated, "4294967295 should follow byte"),
    ],
)
def test_crafted_metadata_is_refused(section: str, error: type[Exception], message: str) -> None:
    body = bytes.fromhex(section)
    header = Header(width=1, height=1, quality=1, tile_side=1, weights=b"abcd", metadata=True)
    index = bytes.fromhex("01 00 00000000")
    with pytest.raises(error, match=message):
        read_index(pack_header(header) + body + crc(body) + index + crc(index))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ("00", InvalidField, "0 levels"),
        ("01 8000 00000000", InvalidField, "more bytes than it needs"),
        ("01 ffffffff7f 00000000", InvalidField, "outside 0...4294967295"),
        ("41 01 01", InvalidField, "65 levels are outside 1...64"),
        ("40 01 01", Truncated, "cut within integer 3 of 64"),
        ("01 01 00", Truncated, "4 should follow byte"),
    ],
)
def test_crafted_indices_are_refused(index: str, error: type[Exception], message: str) -> None:
    body = bytes.fromhex(index)
    header = pack_header(Header(width=1, height=1, quality=1, tile_side=1, weights=b"abcd"))
    with pytest.raises(error, match=message):
        read_index(header + body + (crc(body) if error is not Truncated else b""))


def test_an_announced_giant_takes_no_memory() -> None:
    body = bytes.fromhex("01 ffffffff0f 00000000")
    header = pack_header(Header(width=1, height=1, quality=1, tile_side=1, weights=b"abcd"))
    data = header + body + crc(body) + bytes(12)
    index = read_index(data)
    assert index.end == len(data) - 12 + 4 * (2**32 - 1)
    with pytest.raises(Truncated, match="of 17179869"):
        index.check_end(data)
    assert read_tile(data, index, 0).whole_levels == 0


@pytest.mark.parametrize(
    ("header", "metadata", "tiles", "message"),
    [
        (HEADER, (), TILES[:3], "3 tiles, the header asks for 4"),
        (HEADER, (EXIF,), TILES, "metadata=False, there are 1"),
        (replace(HEADER, metadata=True), (), TILES, "there are 0"),
        (HEADER, (), (*TILES[:3], tile(0, (1,))), "1 levels, not 3"),
        (HEADER, (), (tile(0, ()),) * 4, "0 levels"),
        (HEADER, (), (tile(0, (0,) * 65),) * 4, "65 levels"),
        (HEADER, (), (replace(tile(0), words=np.zeros(2, np.uint32)),) * 4, "2 of 3"),
        (HEADER, (), (replace(tile(0), words=np.zeros(3, np.int64)),) * 4, "int64"),
        (HEADER, (), (replace(tile(0), checks=(0, 0, 1 << 32)),) * 4, "4294967296"),
        (HEADER, (), (replace(tile(0), level_words=(4, -1, 0)),) * 4, "count -1"),
        (HEADER, (), (tile(0, alpha=b"a"),) * 4, "has an alpha"),
        (replace(HEADER, color=Color.GREY_ALPHA), (), TILES, "has no alpha"),
        (replace(HEADER, metadata=True), (XMP, EXIF), TILES, "not ascending"),
        (replace(HEADER, metadata=True), ((MetadataKind.ICC, b""),), TILES, "ICC is empty"),
    ],
)
def test_nothing_is_written_that_could_not_be_read(
    header: Header, metadata: Metadata, tiles: tuple[Tile, ...], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        write_container(header, metadata, tiles)


def test_checks_are_crcs_of_all_symbols_so_far() -> None:
    levels = [[np.array([[1, -2]], np.int64)], [np.array([300], np.int16), np.array([4])]]
    first = bytes.fromhex("01000000 feffffff")
    second = first + bytes.fromhex("2c010000 04000000")
    assert level_checks(0, levels) == (zlib.crc32(first), zlib.crc32(second))
    assert level_checks(1, levels)[0] != level_checks(0, levels)[0]  # tiles are told apart


def test_checks_tell_how_many_levels_are_intact() -> None:
    one = Tile(np.zeros(0, np.uint32), (0, 0, 0), (0x1111, 0x2222, 0x33334444))
    assert one.intact_levels((0xFFFF1111, 0x2222, 0x33334444)) == 3  # lower halves, but the last
    assert one.intact_levels((0x1111, 0x2222, 0x4444)) == 2
    assert one.intact_levels((0x1111, 0x2223, 0x33334444)) == 1
    assert one.intact_levels((0x1111,)) == 1
    assert one.intact_levels(()) == 0
