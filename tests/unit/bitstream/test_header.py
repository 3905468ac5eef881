"""The header: its bytes, and one error for each way in which it can be wrong."""

import struct
import zlib
from dataclasses import replace

import pytest

from hvae_codec.bitstream import (
    MAX_PIXELS,
    MAX_TILES,
    ArgumentError,
    Color,
    Header,
    HeaderDamaged,
    ImageTooLarge,
    InvalidField,
    NotOurFile,
    Prior,
    Truncated,
    UnsupportedVersion,
    WrongWeights,
    check_weights,
    pack_header,
    unpack_header,
)

PHOTO = Header(width=768, height=512, quality=40, tile_side=16, weights=b"\xde\xad\xbe\xef")
GOLDEN_PHOTO = "8f485643 02 01 8006 8004 28 10 deadbeef adf7492d"


def sealed(body: str) -> bytes:
    """Put a right checksum behind wrong bytes."""
    data = bytes.fromhex(body)
    return data + struct.pack("<I", zlib.crc32(data))


def test_golden_bytes_of_a_photograph() -> None:
    assert pack_header(PHOTO) == bytes.fromhex(GOLDEN_PHOTO)
    assert unpack_header(bytes.fromhex(GOLDEN_PHOTO)) == (PHOTO, 20)


def test_golden_bytes_with_every_field_in_use() -> None:
    header = Header(
        width=1,
        height=1 << 24,
        quality=100,
        tile_side=64,
        weights=b"\x00\x01\x02\x03",
        color=Color.RGB_ALPHA,
        bit_depth=16,
        prior=Prior.FACTORISED,
        metadata=True,
    )
    packed = pack_header(header)
    assert packed[:-4] == bytes.fromhex("8f485643 02 2f 01 80808008 64 40 00010203")
    assert unpack_header(packed) == (header, len(packed))


def test_a_quality_map_takes_a_second_byte_of_flags() -> None:
    packed = pack_header(replace(PHOTO, map=True))
    assert packed[:-4] == bytes.fromhex("8f485643 02 8102 8006 8004 28 10 deadbeef")
    assert unpack_header(packed) == (replace(PHOTO, map=True), 21)


def test_the_longest_image_has_as_many_tiles_as_there_may_be() -> None:
    longest = replace(PHOTO, width=1 << 24, height=1, tile_side=32)
    assert longest.tile_count == MAX_TILES
    with pytest.raises(ArgumentError, match="32768 tiles are more than 16384"):
        replace(longest, tile_side=16)


def test_a_photograph_takes_16_bytes_beside_the_checksum() -> None:
    assert len(pack_header(replace(PHOTO, width=16383, height=16383))) == 16 + 4


def test_what_follows_the_header_is_left_alone() -> None:
    assert unpack_header(pack_header(PHOTO) + b"\xff" * 100) == (PHOTO, 20)


@pytest.mark.parametrize(
    ("width", "height", "tile", "grid"),
    [
        (1, 1, 1, (1, 1)),
        (32, 33, 1, (2, 1)),
        (768, 512, 8, (2, 3)),
        (769, 512, 8, (2, 4)),
        (1 << 24, 1, 64, (1, 8192)),
    ],
)
def test_tile_grid(width: int, height: int, tile: int, grid: tuple[int, int]) -> None:
    header = replace(PHOTO, width=width, height=height, tile_side=tile)
    assert header.tile_grid == grid
    assert header.tile_count == grid[0] * grid[1]


@pytest.mark.parametrize(
    "field",
    [
        {"width": 0},
        {"height": (1 << 24) + 1},
        {"quality": 101},
        {"quality": -1},
        {"tile_side": 0},
        {"tile_side": 256},
        {"weights": b"abc"},
        {"bit_depth": 12},
        {"prior": 5},
        {"color": 4},
    ],
)
def test_fields_out_of_range_are_refused_by_name(field: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(field)).split("_")[0]):
        replace(PHOTO, **field)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(30), b"HVC\x8f", b"\x8fX", b"\x00"])
def test_other_files_are_not_ours(data: bytes) -> None:
    with pytest.raises(NotOurFile, match="not a file of this codec: it begins with"):
        unpack_header(data)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_other_versions_are_named(version: int) -> None:
    with pytest.raises(UnsupportedVersion, match=f"version {version} is unknown"):
        unpack_header(sealed(f"8f485643 {version:02x} 01 8006 8004 28 10 deadbeef"))


@pytest.mark.parametrize("size", range(20))
def test_a_cut_header_is_truncated(size: int) -> None:
    with pytest.raises(Truncated):
        unpack_header(bytes.fromhex(GOLDEN_PHOTO)[:size])


def test_a_damaged_header_is_noticed() -> None:
    data = bytearray.fromhex(GOLDEN_PHOTO)
    data[10] ^= 1  # the quality
    with pytest.raises(HeaderDamaged):
        unpack_header(data)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("8f485643 02 8104 8006 8004 28 10 deadbeef", "does not know"),
        ("8f485643 02 51 8006 8004 28 10 deadbeef", "prior 5"),
        ("8f485643 02 01 00 8004 28 10 deadbeef", "width 0"),
        ("8f485643 02 01 8006 00 28 10 deadbeef", "height 0"),
        ("8f485643 02 01 8006 8004 65 10 deadbeef", "quality 101"),
        ("8f485643 02 01 8006 8004 28 00 deadbeef", "tile side 0"),
        ("8f485643 02 01 868000 8004 28 10 deadbeef", "more bytes than it needs"),
        ("8f485643 02 01 8000 8004 28 10 deadbeef", "more bytes than it needs"),
        ("8f485643 02 01 ffffffffff0f 8004 28 10 deadbeef", "more than 5 bytes"),
        ("8f485643 02 01 ffffffff7f ffffffff7f 28 10 deadbeef", "outside 0...4294967295"),
        ("8f485643 02 01 ffffffff0f 01 28 10 deadbeef", "width 4294967295"),
    ],
)
def test_crafted_headers_are_refused(body: str, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        unpack_header(sealed(body))


def test_huge_images_are_refused() -> None:
    width = MAX_PIXELS // 10_000
    big = replace(PHOTO, width=width, height=10_000)
    assert unpack_header(pack_header(big))[0] == big
    with pytest.raises(ImageTooLarge, match=rf"{width + 1}0000 pixels"):
        unpack_header(pack_header(replace(PHOTO, width=width + 1, height=10_000)))


def test_only_the_weights_of_the_file_will_do() -> None:
    check_weights(PHOTO, bytes.fromhex("deadbeef0123"))
    with pytest.raises(WrongWeights, match="deadbeef, but only 00000000"):
        check_weights(PHOTO, bytes(32))
