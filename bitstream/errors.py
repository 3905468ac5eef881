"""What can be wrong with a file, a table or a request: one error for each cause.

All derive from `BitstreamError`, hence from `HvaeError` and `ValueError`. The ones with arguments
of their own keep them in `args`, so that they survive the pickling between processes.
"""

from __future__ import annotations


class HvaeError(ValueError):
    """Anything that this package refuses; the message says why in one line."""


class BitstreamError(HvaeError):
    """Anything that the bitstream refuses."""


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
    """A field or an argument has a value that is not allowed."""


class InvalidTables(BitstreamError):
    """A family of pmfs breaks its contract."""


class SymbolOutOfRange(BitstreamError):
    """A symbol to be coded is too large even for an escape."""


class StreamDamaged(BitstreamError):
    """Words of a tile which no encoder writes."""


class ImageTooLarge(BitstreamError):
    """The image has more pixels than the caller allows.

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
        tile: index of the tile, row by row.
        reason: what was noticed.
    """

    def __init__(self, tile: int, reason: str = "its symbols do not match their checksum") -> None:
        """Keep the parts of the message."""
        super().__init__(tile, reason)
        self.tile, self.reason = tile, reason

    def __str__(self) -> str:
        return f"tile {self.tile} is damaged: {self.reason}"


class WrongWeights(BitstreamError):
    """The file was written with other weights than those which are loaded.

    Args:
        file_hash: the hash prefix that the header names.
        loaded_hash: the hash (prefix) of the weights at hand.
    """

    def __init__(self, file_hash: bytes, loaded_hash: bytes) -> None:
        """Keep the parts of the message."""
        super().__init__(file_hash, loaded_hash)
        self.file_hash, self.loaded_hash = file_hash, loaded_hash

    def __str__(self) -> str:
        return (
            f"the file was written with the weights {self.file_hash.hex()}, but only "
            f"{self.loaded_hash.hex()} are at hand; set HVAE_CODEC_WEIGHTS to the weight file "
            f"whose sha256 begins with {self.file_hash.hex()}"
        )
