"""The whole file: header, metadata, index, alpha, levels.

    header                     (header.py)
    metadata section           (metadata.py), only if the header's flag is set
    quality map                (quality_map.py), only if the header's flag is set
    index   1 byte             number of levels L, 1...64
            1 byte each        for each tile: its coder, only if the header's flag is set
            varints            for each learned tile: the words that each level adds, coarse to
                               fine, and the bytes of its alpha, where the image has alpha
            varints            for each exact tile: its bytes
            2 bytes each       for each learned tile: the check of each level but the last
            4 bytes each       for each learned tile: the check of the last level
            4 bytes each       for each learned tile: CRC32 of its alpha, where there is alpha
            4 bytes each       for each exact tile: CRC32 of its bytes
            4 bytes            CRC32 of the index before it
    alpha   bytes              for each learned tile, where the image has alpha
    exact   bytes              for each exact tile
    levels  4 bytes a word     for each level, coarse to fine, for each learned tile: uint32, those
                               which are popped first standing first (ans.py)

A tile of which some patches are exact is both, learned and exact.

All numbers are little-endian. Tiles follow each other row by row, and the last word ends the file.
The words of levels 0...k decode levels 0...k, so a prefix of the file is a complete picture of
fewer levels. A check is the CRC32 of all symbols up to its level (`level_checks`), of which the
lower half is stored but for the last: 16 bits find the level that is damaged, 32 vouch for all.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, IndexDamaged, InvalidField, TrailingData, Truncated
from .header import MAX_HEADER_BYTES, Header, pack_header, unpack_header
from .metadata import Metadata, pack_metadata, unpack_metadata
from .quality_map import Offsets, check_map, pack_map, unpack_map
from .source import Cursor, Source
from .varint import pack_varints

MAX_LEVELS = 64  # keeps the index of a hostile file small beside the image it announces
_WORD_BYTES = 4


class TileCoder(IntEnum):
    """What codes a tile: the networks, a lossless coder, or the one here and the other there."""

    LEARNED = 0
    EXACT = 1
    BOTH = 2

    @property
    def is_learned(self) -> bool:
        """Whether there are levels."""
        return self is not TileCoder.EXACT

    @property
    def is_exact(self) -> bool:
        """Whether there are exact patches."""
        return self is not TileCoder.LEARNED


@dataclass(frozen=True, eq=False)
class Tile:
    """What is coded of one tile.

    Args:
        words: uint32 `(n,)`, as `ans.words_of` gives them; those of whole levels, if the file was
            cut or not all were asked for.
        level_words: number of words that each level adds, coarse to fine; zeros if it is exact.
        checks: `level_checks` of its symbols; but for the last, only their lower 16 bits count.
        alpha: its alpha, coded; empty if there is none, None if the file was cut before it ends.
        alpha_check: `part_check` of it.
        coder: what codes the tile.
        exact: its exact patches, with their alpha where all are exact; as `alpha`.
        exact_check: `part_check` of them.
    """

    words: NDArray[np.uint32]
    level_words: tuple[int, ...]
    checks: tuple[int, ...]
    alpha: bytes | None = b""
    alpha_check: int = 0
    coder: TileCoder = TileCoder.LEARNED
    exact: bytes | None = b""
    exact_check: int = 0

    @classmethod
    def exact_tile(cls, number: int, exact: bytes, levels: int) -> Tile:
        """Return a tile all of whose patches are exact, of a file of so many levels."""
        return cls(
            words=np.zeros(0, np.uint32),
            level_words=(0,) * levels,
            checks=(0,) * levels,
            coder=TileCoder.EXACT,
            exact=exact,
            exact_check=part_check(number, exact),
        )

    @property
    def whole_levels(self) -> int:
        """Number of levels, from the coarsest on, whose words are all there."""
        return int(np.count_nonzero(np.cumsum(self.level_words) <= self.words.size))

    def intact_levels(self, checks: Sequence[int]) -> int:
        """Return how many levels, from the coarsest on, have the given checks."""
        last = len(self.checks) - 1
        for level, (stored, check) in enumerate(zip(self.checks, checks, strict=False)):
            mask = 0xFFFFFFFF if level == last else 0xFFFF
            if (stored ^ check) & mask:
                return level
        return len(checks)


@dataclass(frozen=True, eq=False)
class Index:
    """All of a file but its tiles, and where these are.

    Args:
        header: the header.
        metadata: (kind, bytes) of ascending kinds.
        level_words: int64 `(tiles, L)`, number of words each level adds.
        checks: uint32 `(tiles, L)`, as stored.
        alpha_bytes: int64 `(tiles,)`, zeros where there is no alpha, or an exact tile.
        alpha_checks: uint32 `(tiles,)`.
        coders: uint8 `(tiles,)`, each a `TileCoder`.
        exact_bytes: int64 `(tiles,)`, zeros of learned tiles.
        exact_checks: uint32 `(tiles,)`.
        begin: offset behind the index, in bytes.
        quality_map: (h, w), by how much the quality of each patch differs from the header's; None
            where there is no map.
    """

    header: Header
    metadata: Metadata
    level_words: NDArray[np.int64]
    checks: NDArray[np.uint32]
    alpha_bytes: NDArray[np.int64]
    alpha_checks: NDArray[np.uint32]
    coders: NDArray[np.uint8]
    exact_bytes: NDArray[np.int64]
    exact_checks: NDArray[np.uint32]
    begin: int
    quality_map: Offsets | None = None

    @cached_property
    def spans(self) -> NDArray[np.int64]:
        """Offset and size of each tile's parts, in bytes: int64 `(tiles, 2 + L, 2)`.

        The parts are its alpha, its exact patches, its levels.
        """
        # int64 holds it: MAX_TILES = 2**14 tiles, 64 levels, 2**34 bytes each make 2**54.
        parts = np.stack([self.alpha_bytes, self.exact_bytes], axis=1)
        sizes = np.concatenate([parts, self.level_words * _WORD_BYTES], axis=1)
        ends = self.begin + np.cumsum(sizes.T).reshape(sizes.T.shape).T
        return np.stack([ends - sizes, sizes], axis=-1)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return self.level_words.shape[1]

    @property
    def end(self) -> int:
        """Size of the whole file in bytes."""
        return int(self.spans[-1, -1].sum())

    def check_end(self, source: Source, *, may_be_cut: bool = False) -> int:
        """Refuse a file that is longer than its index says, or shorter; return its size.

        Raises:
            Truncated, TrailingData: it is.
        """
        size = Cursor(source).size
        if size > self.end:
            raise TrailingData(f"bytes left over behind the last tile: {size - self.end}")
        if size < self.end and not may_be_cut:
            raise Truncated(f"the file is cut: {size} of {self.end} bytes are there")
        return size


def level_checks(number: int, levels: Sequence[Sequence[NDArray[np.integer]]]) -> tuple[int, ...]:
    """Return, for each level, the CRC32 of all symbols up to its end, as little-endian int32.

    It begins from the tile's number, so that no tile passes for another.

    Args:
        number: of the tile, row by row.
        levels: arrays of integers within int32, of any shape; coarse to fine.
    """
    crc, checks = number, []
    for level in levels:
        for symbols in level:
            crc = zlib.crc32(np.ascontiguousarray(symbols, dtype="<i4").tobytes(), crc)
        checks.append(crc)
    return tuple(checks)


def part_check(number: int, part: bytes) -> int:
    """Return the CRC32 of a tile's coded alpha or exact patches, from the tile's number on."""
    return zlib.crc32(part, number)


def write_container(
    header: Header,
    metadata: Metadata,
    tiles: Sequence[Tile],
    quality_map: Offsets | None = None,
) -> bytes:
    """Write a whole file.

    Args:
        header: whose `metadata` says whether there is any.
        metadata: (kind, bytes) of ascending kinds.
        tiles: `header.tile_count` of them, row by row, of equally many levels.
        quality_map: `Index.quality_map`, if there is one.

    Raises:
        ArgumentError: the number of tiles or of levels is not what it must be, words or alpha are
            missing, the header's flags do not tell whether there is metadata or a map, or the map
            leads out of the range of qualities.
    """
    if header.metadata != bool(metadata):
        raise ArgumentError(
            f"the header says metadata={header.metadata}, there are {len(metadata)} items"
        )
    if header.map != (quality_map is not None):
        raise ArgumentError(f"the header says map={header.map}, which is not so")
    if quality_map is not None:
        check_map(quality_map, header.patches, header.quality)
    if len(tiles) != header.tile_count:
        raise ArgumentError(f"{len(tiles)} tiles, the header asks for {header.tile_count}")
    levels = len(tiles[0].level_words)
    if not 1 <= levels <= MAX_LEVELS:
        raise ArgumentError(f"{levels} levels are outside 1...{MAX_LEVELS}")
    for number, tile in enumerate(tiles):
        _check_tile(number, tile, levels, header)
    learned = [tile for tile in tiles if tile.coder.is_learned]
    parts = [tile.alpha or b"" for tile in tiles] + [tile.exact or b"" for tile in tiles]
    split = [np.split(t.words.astype("<u4"), np.cumsum(t.level_words)[:-1]) for t in learned]
    payloads = [words[level].tobytes() for level in range(levels) for words in split]
    begin = pack_header(header) + pack_metadata(metadata)
    if quality_map is not None:
        begin += pack_map(quality_map)
    return b"".join([begin, _index(header, tiles, levels), *parts, *payloads])


def _index(header: Header, tiles: Sequence[Tile], levels: int) -> bytes:
    """Write sizes and checks of all that follows."""
    with_alpha = header.color.has_alpha
    learned = [tile for tile in tiles if tile.coder.is_learned]
    exact = [tile for tile in tiles if tile.coder.is_exact]
    index = bytearray([levels])
    if header.exact:
        index += bytes(tile.coder for tile in tiles)
    for tile in learned:
        index += pack_varints([*tile.level_words, *([len(tile.alpha or b"")] * with_alpha)])
    index += pack_varints(len(tile.exact or b"") for tile in exact)
    checks = np.array([tile.checks for tile in learned], np.uint32).reshape(-1, levels)
    index += (checks[:, :-1] & 0xFFFF).astype("<u2").tobytes()
    index += checks[:, -1].astype("<u4").tobytes()
    if with_alpha:
        index += np.array([tile.alpha_check for tile in learned], "<u4").tobytes()
    index += np.array([tile.exact_check for tile in exact], "<u4").tobytes()
    return bytes(index + struct.pack("<I", zlib.crc32(index)))


def _check_tile(number: int, tile: Tile, levels: int, header: Header) -> None:
    if len(tile.level_words) != levels or len(tile.checks) != levels:
        raise ArgumentError(f"tile {number} has {len(tile.level_words)} levels, not {levels}")
    if tile.words.ndim != 1 or tile.words.dtype != np.uint32:
        raise ArgumentError(f"words of tile {number} are {tile.words.dtype}, not uint32 (n,)")
    if tile.words.size != sum(tile.level_words):
        raise ArgumentError(
            f"tile {number} has {tile.words.size} of {sum(tile.level_words)} words: not complete"
        )
    if not tile.coder.is_learned and tile.words.size:
        raise ArgumentError(f"tile {number} is exact and has {tile.words.size} words")
    with_alpha = header.color.has_alpha and tile.coder.is_learned
    if bool(tile.alpha) != with_alpha:
        raise ArgumentError(f"tile {number} has {'no' if with_alpha else 'an'} alpha")
    if bool(tile.exact) != tile.coder.is_exact or tile.coder.is_exact > header.exact:
        raise ArgumentError(f"tile {number}, {tile.coder.name}, has {len(tile.exact or b'')} bytes")
    for check in (*tile.checks, tile.alpha_check, tile.exact_check):
        if not 0 <= check < 1 << 32:
            raise ArgumentError(f"check {check} of tile {number} is outside 0...2**32 - 1")


def read_index(source: Source) -> Index:
    """Read all but the tiles; whether these are there is not looked at.

    Args:
        source: bytes, or a seekable binary file.

    Raises:
        BitstreamError: as `unpack_header`, `unpack_metadata` and `unpack_map` do;
        IndexDamaged: the index does not match its CRC32;
        Truncated: the data ends before the first tile.
    """
    cursor = Cursor(source)
    header, cursor.at = unpack_header(cursor.peek(MAX_HEADER_BYTES))
    metadata = unpack_metadata(cursor) if header.metadata else ()
    quality_map = unpack_map(cursor, header.patches, header.quality) if header.map else None
    begin, with_alpha = cursor.at, header.color.has_alpha
    levels = cursor.byte()
    if not 1 <= levels <= MAX_LEVELS:
        raise InvalidField(f"{levels} levels are outside 1...{MAX_LEVELS}")
    coders = _read_coders(cursor, header)
    learned, exact = coders != TileCoder.EXACT, coders != TileCoder.LEARNED
    many, others = int(learned.sum()), int(exact.sum())
    each = levels + with_alpha
    counts = cursor.varints(many * each).reshape(many, each)
    sizes = cursor.varints(others)
    halves = np.frombuffer(cursor.take(2 * many * (levels - 1)), "<u2").reshape(many, levels - 1)
    last = np.frombuffer(cursor.take(4 * many), "<u4")
    alpha = np.frombuffer(cursor.take(4 * many), "<u4") if with_alpha else 0
    exact_checks = np.frombuffer(cursor.take(4 * others), "<u4")
    cursor.check_crc(begin, IndexDamaged("the tile index does not match its checksum"))
    return Index(
        header,
        metadata,
        level_words=_scattered(counts[:, :levels], learned, np.int64),
        checks=_scattered(np.concatenate([halves, last[:, None]], axis=1), learned, np.uint32),
        alpha_bytes=_scattered(counts[:, levels] if with_alpha else 0, learned, np.int64),
        alpha_checks=_scattered(alpha, learned, np.uint32),
        coders=coders,
        exact_bytes=_scattered(sizes, exact, np.int64),
        exact_checks=_scattered(exact_checks, exact, np.uint32),
        begin=cursor.at,
        quality_map=quality_map,
    )


def _read_coders(cursor: Cursor, header: Header) -> NDArray[np.uint8]:
    """Take the coder of each tile, uint8 (tiles,); without the flag all are learned."""
    if not header.exact:
        return np.full(header.tile_count, TileCoder.LEARNED, np.uint8)
    coders = np.frombuffer(cursor.take(header.tile_count), np.uint8)
    if coders.max() > max(TileCoder):
        raise InvalidField(
            f"coder {coders.max()} of a tile is none of {[int(c) for c in TileCoder]}"
        )
    return coders


def _scattered(values: NDArray | int, of: NDArray[np.bool_], kind: type) -> NDArray:
    """Give each of some tiles its value, and the others zero."""
    scattered = np.zeros((of.size, *np.shape(values)[1:]), kind)
    scattered[of] = values
    return scattered


def read_tile(source: Source, index: Index, number: int, levels: int | None = None) -> Tile:
    """Read one tile of the file whose index was read, with a seek a level.

    Args:
        source: what `read_index` read.
        index: its result.
        number: of the tile, 0...tiles - 1, row by row.
        levels: read no more than these, from the coarsest on. Nor is a level read that the file
            does not hold whole, or one behind it.

    Raises:
        ArgumentError: there is no such tile.
    """
    if not 0 <= number < len(index.level_words):
        raise ArgumentError(f"tile {number} is outside 0...{len(index.level_words) - 1}")
    cursor = Cursor(source)
    pieces = []
    for offset, size in index.spans[number, : 2 + (index.levels if levels is None else levels)]:
        cursor.at = int(offset)
        piece = cursor.peek(int(size))
        if len(piece) < size:
            break
        pieces.append(piece)
    alpha, exact, *words = [*pieces, *([None] * (2 - len(pieces)))]
    return Tile(
        words=np.frombuffer(b"".join(words), "<u4").astype(np.uint32),
        level_words=tuple(index.level_words[number].tolist()),
        checks=tuple(index.checks[number].tolist()),
        alpha=alpha,
        alpha_check=int(index.alpha_checks[number]),
        coder=TileCoder(index.coders[number]),
        exact=exact,
        exact_check=int(index.exact_checks[number]),
    )
