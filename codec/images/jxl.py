"""What a JPEG XL file tells at its beginning, and its reader for Pillow late or never.

Layout: ISO/IEC 18181-1, 9.2 and annex D. Fields are packed from the lowest bit on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .boxes import boxes_in
from .signatures import JXL

_HEADER_BYTES = 66  # at most, with the signature
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


@dataclass(frozen=True)
class Header:
    """What stands before the pixels.

    Attributes:
        width: in px, as stored.
        height: in px, as stored.
        bits: a channel.
        orientation: as EXIF counts it; the reader applies it.
        is_animation: whether there are several pictures.
    """

    width: int
    height: int
    bits: int = 8
    orientation: int = 1
    is_animation: bool = False


class _Bits:
    """Reads fields from the lowest bit on; zeros behind the end."""

    def __init__(self, data: bytes):
        self.left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self.left & ((1 << count) - 1)
        self.left >>= count
        return value

    def choose(self, *kinds: tuple[int, int]) -> int:
        """Read two bits that choose an offset and how many bits are added to it."""
        offset, count = kinds[self.take(2)]
        return offset + self.take(count)


def header_of(file: bytes) -> Header:
    """Read the header of a JPEG XL file; zeros stand for what is cut off."""
    bits = _Bits(_codestream(file)[2:])
    width, height = _size(bits)
    if bits.take(1):  # all by default
        return Header(width, height)
    orientation, is_animation = 1, False
    if bits.take(1):  # further fields
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)  # at which it is to be shown
        if bits.take(1):  # a preview, whose size tells nothing here
            return Header(width, height, orientation=orientation)
        is_animation = bool(bits.take(1))
        if is_animation:
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))  # ticks a second
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))  # loops
            bits.take(1)  # time codes
    is_float = bits.take(1)  # of which Pillow has a mode that is refused
    depth = 8 if is_float else bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    return Header(width, height, depth, orientation, is_animation)


def leftovers_of(file: bytes, has_exif: bool) -> list[str]:
    """Name what stands beside the picture that its reader leaves there.

    Args:
        file: the file.
        has_exif: whether its reader gave EXIF, which it does not where that is compressed.
    """
    names = {b"xml ": "XMP", b"jumb": "C2PA"} | ({} if has_exif else {b"Exif": "EXIF"})
    kinds = [data[:4] if kind == b"brob" else kind for kind, data in boxes_in(file)]
    return [names[kind] for kind in kinds if kind in names]


def _codestream(file: bytes) -> bytes:
    """Return the beginning of the coded picture, which may lie in pieces, the last one cut."""
    if file.startswith(JXL[0]):
        return file[:_HEADER_BYTES]
    found, at = b"", 0
    while at + 8 <= len(file) and len(found) < _HEADER_BYTES:
        size, kind = struct.unpack_from(">I4s", file, at)
        begin = at + 8
        if size == 1:
            size, begin = int.from_bytes(file[begin : begin + 8], "big"), begin + 8
        end = at + size if size else len(file)  # 0: up to the end
        if end < begin:
            break
        if kind in (b"jxlc", b"jxlp"):
            begin += 4 * (kind == b"jxlp")  # the number of the piece
            found += file[begin : min(end, begin + _HEADER_BYTES)]
        at = end
    return found[:_HEADER_BYTES]


def _size(bits: _Bits) -> tuple[int, int]:
    """Read width and height."""
    is_small = bits.take(1)
    height = _side(bits, is_small)
    if ratio := bits.take(3):
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return _side(bits, is_small), height


def _side(bits: _Bits, is_small: int) -> int:
    if is_small:
        return 8 * (1 + bits.take(5))
    return bits.choose((1, 9), (1, 13), (1, 18), (1, 30))
