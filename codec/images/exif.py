"""EXIF read without Pillow, of whose reader a small EXIF may ask hundreds of megabytes.

Directories of EXIF may point to the same bytes again and again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

ORIENTATION = 274
"""The tag of the orientation, in TIFF and in EXIF."""

_PREFIX = b"Exif\0\0"
_ORDERS = {b"II": "<", b"MM": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_DIRECTORIES = {34665, 34853, 40965}  # EXIF's own, and those of GPS and interoperability
_MOST_DIRECTORIES = 8


def exif_orientation(exif: bytes) -> int:
    """Return the orientation that EXIF tells, 1...8; 1 where it tells none or is damaged."""
    found = _orientation_in(exif)
    if found is None:
        return 1
    code, at = found
    (value,) = struct.unpack_from(code, exif, at)
    return value if 1 <= value <= 8 else 1


def upright_exif(exif: bytes) -> bytes:
    """Let EXIF say that its picture stands upright; all else of it stays where it is."""
    found = _orientation_in(exif)
    if found is None:
        return exif
    (code, at), changed = found, bytearray(exif)
    struct.pack_into(code, changed, at, 1)
    return bytes(changed)


def is_bounded(exif: bytes, most: int = 0) -> bool:
    """Tell whether the values of EXIF take no more than its own length together, or `most`."""
    begin, order = _beginning(exif)
    places, total, most = [*_first(exif, begin, order)], 0, max(most, len(exif))
    for place in places:  # which grows meanwhile
        for tag, kind, count, at in _entries(exif, order, begin + place):
            size = _SIZES.get(kind, 0) * count
            (value,) = struct.unpack_from(f"{order}I", exif, at)
            if size > 4:
                total += min(size, max(0, len(exif) - begin - value))
            elif tag in _DIRECTORIES and value not in places:
                places.append(value)
            if total > most or len(places) > _MOST_DIRECTORIES:
                return False
    return True


def _orientation_in(exif: bytes) -> tuple[str, int] | None:
    """Return how the orientation is packed, and where."""
    begin, order = _beginning(exif)
    for place in _first(exif, begin, order):
        for tag, kind, count, at in _entries(exif, order, begin + place):
            if tag == ORIENTATION and kind in _INTEGERS and count == 1:
                return order + _INTEGERS[kind], at
    return None


def _beginning(exif: bytes) -> tuple[int, str]:
    """Return where EXIF begins behind its prefix, and the order of its bytes; '' for none."""
    begin = 0
    while exif.startswith(_PREFIX, begin):
        begin += len(_PREFIX)
    return begin, _ORDERS.get(exif[begin : begin + 2], "")


def _first(exif: bytes, begin: int, order: str) -> tuple[int, ...]:
    """Return the place of the first directory, where there is one."""
    is_whole = len(exif) >= begin + 8
    return struct.unpack_from(f"{order}I", exif, begin + 4) if order and is_whole else ()


def _entries(exif: bytes, order: str, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag, type, count and place of the value, as far as the directory is there."""
    if at + 2 > len(exif):
        return
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", exif, entry)
        yield tag, kind, number, entry + 8
