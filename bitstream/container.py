"""The whole file: header, metadata, index of the tiles, tiles.

    header                     (header.py)
    metadata section           (metadata.py), only if the header's flag is set
    index   1 byte             number of levels L, 1...64
            varints            for each tile, for each level: the words that the level adds
            4 bytes            CRC32 of the index before it
    tiles   4 bytes            CRC32 of the tile's symbols (`symbol_checksum`)
            4 bytes a word     uint32, those which are popped first standing first (ans.py)

All numbers are little-endian. Tiles stand row by row, back to back, and the last one ends the
file. Within a tile, levels stand coarse to fine: the words of levels 0...k decode levels 0...k.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import IndexDamaged, InvalidField, TrailingData, Truncated
from .header import MAX_HEADER_BYTES, MAX_PIXELS, Header, pack_header, unpack_header
from .metadata import Metadata, pack_metadata, unpack_metadata
from .source import Cursor, Source
from .varint import pack_varints

MAX_LEVELS = 64  # keeps the index of a hostile file small beside the image it announces
_CHECKSUM_BYTES = 4
_WORD_BYTES = 4


@dataclass(frozen=True, eq=False)
class Tile:
    """What is coded of one tile.

    Args:
        checksum: `symbol_checksum` of its symbols; None if the file was cut before it.
        words: uint32 `(n,)`, as `ans.words_of` gives them; fewer if the file was cut.
        level_words: number of words that each level adds, coarse to fine.
    """

    checksum: int | None
    words: NDArray[np.uint32]
    level_words: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether all is there, so that the checksum can be checked."""
        return self.checksum is not None and self.words.size == sum(self.level_words)

    @property
    def whole_levels(self) -> int:
        """Number of levels, from the coarsest on, whose words are all there."""
        ends = np.cumsum(self.level_words)
        return 0 if self.checksum is None else int(np.count_nonzero(ends <= self.words.size))


@dataclass(frozen=True, eq=False)
class Container:
    """A whole file.

    Args:
        header: whose `metadata` says whether there is any.
        metadata: (kind, bytes) of ascending kinds.
        tiles: `header.tile_count` of them, row by row, of equally many levels.
    """

    header: Header
    metadata: Metadata
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, eq=False)
class Index:
    """All of a file but its tiles, and where these are.

    Args:
        header: the header.
        metadata: (kind, bytes) of ascending kinds.
        level_words: int64 `(tiles, L)`, number of words each level adds.
        spans: int64 `(tiles, 2)`, offset and size in bytes of each tile in the file.
    """

    header: Header
    metadata: Metadata
    level_words: NDArray[np.int64]
    spans: NDArray[np.int64]

    @property
    def end(self) -> int:
        """Size of the whole file in bytes."""
        return int(self.spans[-1].sum())


def symbol_checksum(tile: int, levels: Sequence[NDArray[np.integer]]) -> int:
    """Return the CRC32 of all symbols as little-endian int32, level by level, C order.

    It begins from the tile's number, so that no tile passes for another.

    Args:
        tile: number of the tile, row by row.
        levels: integers within int32, of any shape; coarse to fine.
    """
    crc = tile
    for symbols in levels:
        crc = zlib.crc32(np.ascontiguousarray(symbols, dtype="<i4").tobytes(), crc)
    return crc


def write_container(container: Container) -> bytes:
    """Write a whole file.

    Raises:
        InvalidField: the number of tiles or of levels is not what it must be, words are missing,
            or the header's flag does not tell whether there is metadata.
    """
    header, tiles = container.header, container.tiles
    if header.metadata != bool(container.metadata):
        raise InvalidField(
            f"the header says metadata={header.metadata}, there are {len(container.metadata)} items"
        )
    if len(tiles) != header.tile_count:
        raise InvalidField(f"{len(tiles)} tiles, the header asks for {header.tile_count}")
    levels = len(tiles[0].level_words)
    if not 1 <= levels <= MAX_LEVELS:
        raise InvalidField(f"{levels} levels are outside 1...{MAX_LEVELS}")
    index = bytearray([levels])
    payloads: list[bytes] = []
    for number, tile in enumerate(tiles):
        if len(tile.level_words) != levels:
            raise InvalidField(f"tile {number} has {len(tile.level_words)} levels, not {levels}")
        index += pack_varints(tile.level_words)
        payloads.append(_pack_tile(number, tile))
    index += struct.pack("<I", zlib.crc32(index))
    return b"".join([pack_header(header), pack_metadata(container.metadata), index, *payloads])


def _pack_tile(number: int, tile: Tile) -> bytes:
    if tile.checksum is None or not tile.complete:
        raise InvalidField(
            f"tile {number} has {tile.words.size} of {sum(tile.level_words)} words and the "
            f"checksum {tile.checksum}: it is not complete"
        )
    if tile.words.ndim != 1 or tile.words.dtype != np.uint32:
        raise InvalidField(f"words of tile {number} are {tile.words.dtype}, not uint32 (n,)")
    if not 0 <= tile.checksum < 1 << 32:
        raise InvalidField(f"checksum {tile.checksum} of tile {number} is outside 0...2**32 - 1")
    return struct.pack("<I", tile.checksum) + tile.words.astype("<u4").tobytes()


def read_index(source: Source, *, max_pixels: int | None = MAX_PIXELS) -> Index:
    """Read all but the tiles; whether these are there is not looked at.

    Args:
        source: bytes, or a seekable binary file.
        max_pixels: limit on width x height; None for no limit.

    Raises:
        BitstreamError: as `unpack_header` and `unpack_metadata` do;
        IndexDamaged: the index does not match its CRC32;
        Truncated: the data ends before the first tile.
    """
    cursor = Cursor(source)
    header, cursor.at = unpack_header(cursor.peek(MAX_HEADER_BYTES), max_pixels=max_pixels)
    metadata = unpack_metadata(cursor) if header.metadata else ()
    begin = cursor.at
    levels = cursor.byte()
    if not 1 <= levels <= MAX_LEVELS:
        raise InvalidField(f"{levels} levels are outside 1...{MAX_LEVELS}")
    words = cursor.varints(header.tile_count * levels).reshape(-1, levels)
    end = cursor.at
    cursor.at = begin
    if zlib.crc32(cursor.take(end - begin)) != cursor.uint32():
        raise IndexDamaged("the tile index does not match its checksum")
    # int64 holds it: 2**19 tiles within MAX_PIXELS, 64 levels, 2**34 bytes each make 2**59.
    sizes = words.sum(axis=1) * _WORD_BYTES + _CHECKSUM_BYTES
    offsets = cursor.at + np.cumsum(sizes) - sizes
    return Index(header, metadata, words, np.stack([offsets, sizes], axis=1))


def read_tile(source: Source, index: Index, tile: int, *, allow_truncated: bool = False) -> Tile:
    """Read one tile of the file whose index was read.

    Args:
        source: what `read_index` read.
        index: its result.
        tile: 0...tiles - 1, row by row.
        allow_truncated: take the words that are there, if the file ends within the tile or
            before it.

    Raises:
        InvalidField: there is no such tile.
        Truncated: the file ends within the tile or before it.
    """
    if not 0 <= tile < len(index.spans):
        raise InvalidField(f"tile {tile} is outside 0...{len(index.spans) - 1}")
    return _read_tile(Cursor(source), index, tile, allow_truncated)


def _read_tile(cursor: Cursor, index: Index, tile: int, allow_truncated: bool) -> Tile:
    offset, size = (int(x) for x in index.spans[tile])
    cursor.at = offset
    payload = cursor.peek(size) if allow_truncated else cursor.take(size)
    level_words = tuple(index.level_words[tile].tolist())
    if len(payload) < _CHECKSUM_BYTES:
        return Tile(None, np.zeros(0, np.uint32), level_words)
    count = (len(payload) - _CHECKSUM_BYTES) // _WORD_BYTES  # half a word is of no use
    words = np.frombuffer(payload, "<u4", count, _CHECKSUM_BYTES).astype(np.uint32)
    return Tile(struct.unpack_from("<I", payload)[0], words, level_words)


def read_container(
    data: Source, *, max_pixels: int | None = MAX_PIXELS, allow_truncated: bool = False
) -> Container:
    """Read a whole file.

    Args:
        data: bytes, or a seekable binary file.
        max_pixels: limit on width x height; None for no limit.
        allow_truncated: if the file ends within the tiles, return what is there of each.

    Raises:
        BitstreamError: as `read_index` does;
        Truncated: the file ends before its last tile does;
        TrailingData: it does not end there.
    """
    index = read_index(data, max_pixels=max_pixels)
    cursor = Cursor(data)
    if cursor.size > index.end:
        raise TrailingData(f"{cursor.size - index.end} bytes are left over behind the last tile")
    if cursor.size < index.end and not allow_truncated:
        raise Truncated(f"the file has {cursor.size} bytes, its index asks for {index.end}")
    tiles = (_read_tile(cursor, index, t, allow_truncated) for t in range(len(index.spans)))
    return Container(index.header, index.metadata, tuple(tiles))
