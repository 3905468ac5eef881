"""The first bytes of a file: what the image is, and what it takes to decode it.

    offset  bytes  field
    0       4      magic 8f 48 56 43 (not text: the first byte is not ASCII, nor begins UTF-8)
    4       1      version
    5       1...2  flags, varint: colour (bits 0-1), 16 bits deep (2), metadata (3), prior (4-6),
                   tiles that are exact or in part so (7), quality map (8)
            1...4  width in px, varint: two bytes up to 16383
            1...4  height in px, varint
            1      quality, 0...100
            1      side of a tile in patches of 32 px, 1...64
            4      first bytes of the weights' hash; zeros where no tile needs weights
            4      CRC32 of all before, little-endian

16 bytes and the checksum for a photograph.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from .errors import (
    ArgumentError,
    HeaderDamaged,
    ImageTooLarge,
    InvalidField,
    NotOurFile,
    Truncated,
    UnsupportedVersion,
    WrongWeights,
    field_errors,
)
from .varint import pack_varints, unpack_varints

MAGIC = b"\x8fHVC"
VERSION = 2
PATCH_PX = 32  # side of a patch: the unit of padding, of tiles and of the context
MAX_SIDE_PX = 1 << 24
MAX_TILE_SIDE = 64  # 2048 px; bounds what a decoder must hold at once
MAX_TILES = 1 << 14  # 2**24 x 1 px in tiles of 1024; each takes its time, however small it is
MAX_PIXELS = 2 * 89_478_485  # where Pillow stops believing that an image is not a bomb
MAX_HEADER_BYTES = 30  # with varints of five bytes, which a file may hold to be refused
MAX_QUALITY = 100
WEIGHTS_BYTES = 4
NO_WEIGHTS = bytes(WEIGHTS_BYTES)

_DEEP, _METADATA, _EXACT, _MAP = 1 << 2, 1 << 3, 1 << 7, 1 << 8
_FLAGS = 0x1FF  # those that this version knows
_PRIOR_SHIFT = 4
_PRIOR_MASK = 0b111


class Color(IntEnum):
    """Channels of the image."""

    GREY = 0
    RGB = 1
    GREY_ALPHA = 2
    RGB_ALPHA = 3

    @property
    def has_alpha(self) -> bool:
        """Whether a channel of alpha follows those of colour."""
        return self in (Color.GREY_ALPHA, Color.RGB_ALPHA)

    @property
    def is_grey(self) -> bool:
        """Whether luma is all there is of colour."""
        return self in (Color.GREY, Color.GREY_ALPHA)

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return (1 if self.is_grey else 3) + self.has_alpha


class Prior(IntEnum):
    """Prior under which the context is coded; 5...7 are reserved."""

    MASKED_DIFFUSION = 0
    GAUSSIAN_DIFFUSION = 1
    FACTORISED = 2
    MIXTURE = 3
    VAMP = 4

    @property
    def label(self) -> str:
        """Its name as people type it: `masked-diffusion`."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first symbol.

    Args:
        width: in px, 1...2**24.
        height: in px, 1...2**24.
        quality: 0...100.
        tile_side: of a tile, in patches of 32 px, 1...64.
        weights: first 4 bytes of the weights' hash.
        color: channels.
        bit_depth: of a channel, 8 or 16.
        prior: prior of the context.
        metadata: whether a metadata section follows.
        exact: whether a tile is exact, or in part so.
        map: whether a quality map follows.

    Raises:
        ArgumentError: a value is outside its range.
    """

    width: int
    height: int
    quality: int
    tile_side: int
    weights: bytes
    color: Color = Color.RGB
    bit_depth: int = 8
    prior: Prior = Prior.MASKED_DIFFUSION
    metadata: bool = False
    exact: bool = False
    map: bool = False

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("width", self.width, 1, MAX_SIDE_PX),
            ("height", self.height, 1, MAX_SIDE_PX),
            ("quality", self.quality, 0, MAX_QUALITY),
            ("tile side", self.tile_side, 1, MAX_TILE_SIDE),
        ):
            if not low <= value <= high:
                raise ArgumentError(f"{name} {value} is outside {low}...{high}")
        if self.tile_count > MAX_TILES:
            raise ArgumentError(f"{self.tile_count} tiles are more than {MAX_TILES}")
        if self.bit_depth not in (8, 16):
            raise ArgumentError(f"bit depth {self.bit_depth} is neither 8 nor 16")
        if len(self.weights) != WEIGHTS_BYTES:
            raise ArgumentError(f"hash of the weights has {len(self.weights)} bytes, not 4")
        for name, kind in (("color", Color), ("prior", Prior)):
            try:
                object.__setattr__(self, name, kind(getattr(self, name)))
            except ValueError:
                raise ArgumentError(
                    f"{name} {getattr(self, name)} is none of {[int(k) for k in kind]}"
                ) from None

    @property
    def tile_grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        side = self.tile_side * PATCH_PX  # ceil of a ceil: whole patches need no separate rounding
        return -(-self.height // side), -(-self.width // side)

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return -(-self.height // PATCH_PX), -(-self.width // PATCH_PX)

    @property
    def largest_sample(self) -> int:
        """What a channel can be at most: 255 or 65535."""
        return 2**self.bit_depth - 1

    @property
    def needs_weights(self) -> bool:
        """Whether there is a tile that networks decode."""
        return self.weights != NO_WEIGHTS

    @property
    def tile_count(self) -> int:
        """Number of tiles, which stand row by row."""
        rows, columns = self.tile_grid
        return rows * columns


def pack_header(header: Header) -> bytes:
    """Write a header, 18...25 bytes with its checksum."""
    flags = (
        header.color
        | (_DEEP if header.bit_depth == 16 else 0)
        | (_METADATA if header.metadata else 0)
        | (_MAP if header.map else 0)
        | header.prior << _PRIOR_SHIFT
        | (_EXACT if header.exact else 0)
    )
    packed = (
        MAGIC
        + bytes([VERSION])
        + pack_varints([flags, header.width, header.height])
        + bytes([header.quality, header.tile_side])
        + header.weights
    )
    return packed + struct.pack("<I", zlib.crc32(packed))


def unpack_header(data: bytes | bytearray | memoryview) -> tuple[Header, int]:
    """Read a header from the beginning of `data`, of which `MAX_HEADER_BYTES` are enough.

    Args:
        data: a file or its beginning.

    Returns:
        The header and the offset behind it.

    Raises:
        NotOurFile: the magic is another.
        UnsupportedVersion: so is the version.
        Truncated: `data` ends within the header.
        HeaderDamaged: the CRC32 does not match.
        InvalidField: a value is outside its range, a varint not the shortest, a reserved bit set.
        ImageTooLarge: the image has more than `MAX_PIXELS` pixels.
    """
    data = bytes(data[:MAX_HEADER_BYTES])
    if not data:
        raise Truncated("the file is empty")
    if data[:4] != MAGIC[: len(data)]:
        raise NotOurFile(f"not a file of this codec: it begins with {data[:4].hex(' ')}")
    if len(data) < 6:
        raise Truncated(f"the file is cut after {len(data)} bytes, within its header")
    version = data[4]
    if version != VERSION:
        raise UnsupportedVersion(f"version {version} is unknown, this program reads {VERSION}")
    (flags, width, height), taken = unpack_varints(data[5:], 3)
    at = 5 + taken
    end = at + 2 + WEIGHTS_BYTES
    if len(data) < end + 4:
        raise Truncated(f"the file is cut after {len(data)} bytes, its header takes {end + 4}")
    if zlib.crc32(data[:end]) != struct.unpack_from("<I", data, end)[0]:
        raise HeaderDamaged("the header does not match its checksum")
    flags = int(flags)
    if flags & ~_FLAGS:
        raise InvalidField(f"flags {flags:#06x} have bits that this program does not know")
    with field_errors():
        header = Header(
            width=int(width),
            height=int(height),
            quality=data[at],
            tile_side=data[at + 1],
            weights=data[at + 2 : end],
            color=Color(flags & 3),
            bit_depth=16 if flags & _DEEP else 8,
            prior=flags >> _PRIOR_SHIFT & _PRIOR_MASK,  # type: ignore[arg-type]  # made a Prior
            metadata=bool(flags & _METADATA),
            exact=bool(flags & _EXACT),
            map=bool(flags & _MAP),
        )
    if header.width * header.height > MAX_PIXELS:
        raise ImageTooLarge(header.width, header.height, MAX_PIXELS)
    return header, end + 4


def check_weights(header: Header, loaded_hash: bytes) -> None:
    """Refuse a file of other weights.

    Args:
        header: of the file.
        loaded_hash: hash of the weights at hand, 4 bytes or more.

    Raises:
        WrongWeights: it does not begin as the header says.
    """
    if loaded_hash[:WEIGHTS_BYTES] != header.weights:
        raise WrongWeights(header.weights, loaded_hash[:WEIGHTS_BYTES])
