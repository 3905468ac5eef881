"""Damaged and made-up files: nothing but `BitstreamError` comes out, and never a wrong picture."""

import contextlib
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvae_codec.bitstream import (
    MAX_SYMBOL,
    BitstreamError,
    Color,
    Header,
    MetadataKind,
    Tile,
    TileCoder,
    TileDamaged,
    Truncated,
    bulk_words,
    check_empty,
    coder_of,
    gaussian_pmfs,
    level_checks,
    level_words,
    pack_header,
    part_check,
    pop,
    push,
    read_index,
    read_tile,
    words_of,
    write_container,
)
from hvae_codec.bitstream.varint import pack_varints

TABLES = gaussian_pmfs(np.geomspace(0.1, 30, 16), np.zeros(1))
HEADER = Header(width=60, height=30, quality=9, tile_side=1, weights=b"abcd", metadata=True)
HEADER = replace(HEADER, color=Color.RGB_ALPHA, exact=True)  # 1 x 2 tiles
INDICES = [np.arange(n) % 16 for n in (3, 20, 50)]


def coded_tile(number: int) -> Tile:
    rng = np.random.default_rng(number)
    levels = [np.rint(rng.normal(size=i.size) * i).astype(np.int32) for i in INDICES]
    levels[1][0] = 4000  # far beyond the support of the narrowest table
    coder, bulk = coder_of(), [0] * len(levels)
    for k in reversed(range(len(levels))):
        bulk[k] = bulk_words(coder)
        push(coder, INDICES[k], levels[k], TABLES)
    words = words_of(coder)
    checks, alpha = level_checks(number, [[level] for level in levels]), b"alpha"
    exact = b"patches" * number
    counts = level_words(bulk, words.size)
    parts = alpha, part_check(number, alpha), TileCoder(2 * number), exact
    return Tile(words, counts, checks, *parts, part_check(number, exact))


def coded_file() -> bytes:
    icc = ((MetadataKind.ICC, b"a profile"),)
    return write_container(HEADER, icc, (coded_tile(0), coded_tile(1)))


def tiles_of(data: bytes) -> list[Tile]:
    index = read_index(data)
    return [read_tile(data, index, n) for n in range(index.header.tile_count)]


def decode(data: bytes) -> list[list[np.ndarray]]:
    """Decode as a codec does, for which INDICES would come from the network."""
    read_index(data).check_end(data)
    tiles: list[list[np.ndarray]] = []
    for number, tile in enumerate(tiles_of(data)):
        coder = coder_of(tile.words)
        tiles.append([pop(coder, index, TABLES) for index in INDICES])
        check_empty(coder)
        checks = level_checks(number, [[level] for level in tiles[-1]])
        if tile.intact_levels(checks) < len(INDICES):
            raise TileDamaged(number)
        for part, check in ((tile.alpha, tile.alpha_check), (tile.exact, tile.exact_check)):
            if part_check(number, part or b"") != check:
                raise TileDamaged(number)
    return tiles


def test_the_undamaged_file_decodes() -> None:
    assert decode(coded_file())[1][1][0] == 4000


def test_a_cut_at_every_byte_is_refused_or_gives_a_prefix() -> None:
    data = coded_file()
    whole = decode(data)
    prefixes = 0
    for size in range(len(data)):
        with pytest.raises(BitstreamError):
            decode(data[:size])
        try:
            tiles = tiles_of(data[:size])
        except BitstreamError:
            continue
        for tile, levels in zip(tiles, whole, strict=True):
            coder = coder_of(tile.words)
            for index, symbols in zip(INDICES[: tile.whole_levels], levels, strict=False):
                assert np.array_equal(pop(coder, index, TABLES), symbols)
                prefixes += 1
    assert prefixes > 100


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_byte_flipped_anywhere_is_noticed(flip: int) -> None:
    data = bytearray(coded_file())
    for at in range(len(data)):
        data[at] ^= flip
        with pytest.raises(BitstreamError):
            decode(bytes(data))
        data[at] ^= flip


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_random_bytes_behind_a_good_header(tail: bytes) -> None:
    with contextlib.suppress(BitstreamError):
        tiles_of(pack_header(HEADER) + tail)


counts = st.one_of(st.integers(0, 9), st.sampled_from([127, 128, 2**31, 2**32 - 1]))


@given(st.lists(counts, min_size=9, max_size=9), st.binary(max_size=300), st.integers(0, 99))
@settings(max_examples=100)
def test_a_crafted_index_gives_an_error_or_what_is_there(
    words: list[int], tail: bytes, seed: int
) -> None:
    checks = np.random.default_rng(seed).bytes(2 * (2 * 2 + 4 + 4) + 4)
    coders = bytes([TileCoder.LEARNED, TileCoder.BOTH])
    index = bytes([3]) + coders + pack_varints(words) + checks
    header = pack_header(replace(HEADER, metadata=False))
    data = header + index + struct.pack("<I", zlib.crc32(index)) + tail
    found = read_index(data)
    assert found.begin == len(data) - len(tail)
    parts = words[3] + words[7] + words[8]  # alpha of both tiles, exact patches of the second
    assert found.end == found.begin + parts + 4 * (sum(words) - parts)
    for tile in tiles_of(data):
        there = len(tile.alpha or b"") + len(tile.exact or b"")
        assert tile.words.size * 4 + there <= len(tail)


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        read_index(data)


@given(st.binary(max_size=400), st.integers(0, 300))
@settings(max_examples=150)
def test_random_words_give_bounded_symbols_or_an_error(data: bytes, count: int) -> None:
    words = np.frombuffer(data[: len(data) // 4 * 4], np.uint32)
    try:
        symbols = pop(coder_of(words), np.arange(count) % 16, TABLES)
    except BitstreamError:
        return
    assert symbols.shape == (count,)
    assert np.all(np.abs(symbols.astype(np.int64)) <= MAX_SYMBOL)


def test_a_million_symbols_out_of_one_word_end() -> None:
    symbols = pop(coder_of(np.array([7], np.uint32)), np.zeros(1_000_000, np.uint8), TABLES)
    assert np.all(np.abs(symbols) <= MAX_SYMBOL)


def test_a_header_that_promises_many_tiles_costs_nothing() -> None:
    wide = Header(width=1 << 24, height=8, quality=9, tile_side=32, weights=b"abcd")  # 16,384 tiles
    with pytest.raises(Truncated, match="cut within integer"):
        read_index(pack_header(wide) + b"\x40" + bytes(1000))
