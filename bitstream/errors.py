"""What can be wrong with a file, an image or an argument: one error for each cause.

    HvaeError
        ArgumentError       also a ValueError: what the caller passed
        ImageError          what is to be encoded
        BitstreamError      what is to be decoded: a class below it for each cause

The ones with arguments of their own keep them in `args`, so that they survive the pickling
between processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class HvaeError(Exception):
    """Anything that this package refuses; the message says why in one line."""


class ArgumentError(HvaeError, ValueError):
    """An argument has a value that is not allowed, or excludes another one."""


class ImageError(HvaeError):
    """An image that cannot be encoded."""


class BitstreamError(HvaeError):
    """A file that cannot be decoded: not ours, cut, damaged, or of other weights."""


class NotOurFile(BitstreamError):
    """The first bytes are not the magic of this format."""


class UnsupportedVersion(BitstreamError):
    """The file is of a version that this program does not know."""


class Truncated(BitstreamError):
    """The data ends before everything that it announces has come."""


class TrailingData(BitstreamError):
    """Bytes are left over behind the end of the file."""


class HeaderDamaged(BitstreamError):
    """The header does not match its CRC32."""


class MetadataDamaged(BitstreamError):
    """The metadata section does not match its CRC32."""


class IndexDamaged(BitstreamError):
    """The tile index does not match its CRC32."""


class InvalidField(BitstreamError):
    """A field of a file has a value that is not allowed."""


class InvalidTables(BitstreamError):
    """A family of pmfs breaks its contract."""


class SymbolOutOfRange(BitstreamError):
    """A symbol to be coded is too large even for an escape."""


class StreamDamaged(BitstreamError):
    """Words of a tile which no encoder writes."""


class ImageTooLarge(BitstreamError, ImageError):
    """An image, to be encoded or decoded, has more pixels than are allowed.

    Args:
        width: in px.
        height: in px.
        max_pixels: the limit.
    """

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        """Keep the parts of the message."""
        super().__init__(width, height, max_pixels)
        self.width, self.height, self.max_pixels = width, height, max_pixels

    def __str__(self) -> str:
        return (
            f"the image has {self.width}x{self.height} = {self.width * self.height} pixels, "
            f"the limit is {self.max_pixels}"
        )


class MapDamaged(BitstreamError):
    """The quality map does not match its checksum, or is none."""


class TileDamaged(BitstreamError):
    """A tile does not decode to the symbols that were coded.

    Args:
        number: of the tile, row by row.
        reason: what was noticed.
    """

    def __init__(
        self, number: int, reason: str = "its symbols do not match their checksum"
    ) -> None:
        """Keep the parts of the message."""
        super().__init__(number, reason)
        self.number, self.reason = number, reason

    def __str__(self) -> str:
        return f"tile {self.number} is damaged: {self.reason}"


class WrongWeights(BitstreamError):
    """The file was written with other weights than those which are loaded.

    Args:
        file_hash: the hash prefix that the header names.
        at_hand: those of the weights at hand.
    """

    def __init__(self, file_hash: bytes, *at_hand: bytes) -> None:
        """Keep the parts of the message."""
        super().__init__(file_hash, *at_hand)
        self.file_hash, self.at_hand = file_hash, at_hand

    def __str__(self) -> str:
        others = " and ".join(digest.hex() for digest in self.at_hand)
        return (
            f"the file was written with the weights {self.file_hash.hex()}, but only {others} are "
            "at hand; set HVAE_CODEC_WEIGHTS to the weight file "
            f"whose sha256 begins with {self.file_hash.hex()}"
        )


@contextmanager
def field_errors() -> Iterator[None]:
    """Raise `InvalidField` for an `ArgumentError`: the argument came out of a file."""
    try:
        yield
    except ArgumentError as error:
        raise InvalidField(str(error)) from error
