"""What a JPEG XL file tells at its beginning and its reader for Pillow does not: bits, animation.

Layout: ISO/IEC 18181-1, 9.2 and annex D. Fields are packed from the lowest bit on.
"""

from __future__ import annotations

from .boxes import boxes_in

_SIGNATURE = b"\xff\x0a"


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


def header_of(file: bytes) -> tuple[int, bool]:
    """Return the bits a channel of a JPEG XL file, and whether it is an animation."""
    bits = _Bits(_codestream(file)[2:66])
    _skip_size(bits)
    if bits.take(1):  # all by default
        return 8, False
    has_animation = False
    if bits.take(1):  # further fields
        bits.take(3)  # orientation
        if bits.take(1):
            _skip_size(bits)  # at which it is to be shown
        if bits.take(1):  # a preview, whose size tells nothing here
            return 8, False
        has_animation = bool(bits.take(1))
        if has_animation:
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))  # ticks a second
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))  # loops
            bits.take(1)  # time codes
    if bits.take(1):  # floats, of which Pillow has a mode that is refused
        return 8, has_animation
    return bits.choose((8, 0), (10, 0), (12, 0), (1, 6)), has_animation


def leftovers_of(file: bytes) -> list[str]:
    """Name what stands beside the picture that its reader leaves there."""
    names = {b"xml ": "XMP", b"jumb": "C2PA"}
    kinds = [data[:4] if kind == b"brob" else kind for kind, data in boxes_in(file)]
    return [names[kind] for kind in kinds if kind in names]


def _codestream(file: bytes) -> bytes:
    if file.startswith(_SIGNATURE):
        return file
    for kind, payload in boxes_in(file):
        if kind == b"jxlc":
            return payload
        if kind == b"jxlp":
            return payload[4:]
    return b""


def _skip_size(bits: _Bits) -> None:
    is_small = bits.take(1)
    _skip_side(bits, is_small)
    if not bits.take(3):  # or a ratio gives the width
        _skip_side(bits, is_small)


def _skip_side(bits: _Bits, is_small: int) -> None:
    if is_small:
        bits.take(5)
    else:
        bits.choose((1, 9), (1, 13), (1, 18), (1, 30))
