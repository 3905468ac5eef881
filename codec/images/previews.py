"""Pictures of the whole that metadata holds, which a part of the picture is not to carry."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_PREFIX = b"Exif\0\0"
_OFFSET, _LENGTH = 513, 514  # of a thumbnail in JPEG
_STRIPS, _STRIP_LENGTHS = 273, 279  # of one that is not compressed
_SHORT, _LONG = 3, 4

_JPEG = re.compile(rb"\xff\xd8\xff.*?\xff\xd9", re.DOTALL)
_XMP_PICTURES = [
    re.compile(rb"(<(xmpGImg:image|GImage:Data|GDepth:Data)>).*?(?=</\2>)", re.DOTALL),
    re.compile(rb"((xmpGImg:image|GImage:Data|GDepth:Data)\s*=\s*\")[^\"]*", re.DOTALL),
    re.compile(rb"((xmpGImg:image|GImage:Data|GDepth:Data)\s*=\s*')[^']*", re.DOTALL),
]


def without_previews(info: Mapping[str, Any]) -> dict[str, Any]:
    """Blank the thumbnails in EXIF and XMP; all else of both stays where it is."""
    cleaned = dict(info)
    if exif := info.get("exif"):
        cleaned["exif"] = _exif_without_thumbnail(exif)
    if xmp := info.get("xmp"):
        for pattern in _XMP_PICTURES:
            xmp = pattern.sub(rb"\1", xmp)
        cleaned["xmp"] = xmp
    return cleaned


def _exif_without_thumbnail(exif: bytes) -> bytes:
    """Unlink the second directory, which is the thumbnail's, and blank what it points to.

    Offsets stay what they are, also those in the notes of makers. Notes hold previews, too.
    """
    prefix = _PREFIX if exif.startswith(_PREFIX) else b""
    tiff = bytearray(exif[len(prefix) :])
    places: list[tuple[int, int]] = []
    with suppress(struct.error):  # damaged: what is left is searched for pictures all the same
        places = _unlink_thumbnail(tiff)
    places += [found.span() for found in _JPEG.finditer(tiff)]
    end = len(tiff)
    for begin, stop in sorted(places, reverse=True):
        stop = min(stop, end)
        tiff[begin:stop] = bytes(max(0, stop - begin))
        if stop == end:
            end = min(begin, end)
    return prefix + bytes(tiff[:end])


def _unlink_thumbnail(tiff: bytearray) -> list[tuple[int, int]]:
    """Unlink the second directory, and return where it and its pixels lie."""
    order = ">" if tiff[:2] == b"MM" else "<"
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    link = first + 2 + 12 * count
    (second,) = struct.unpack_from(f"{order}I", tiff, link)
    if not second:
        return []
    tiff[link : link + 4] = bytes(4)
    (count,) = struct.unpack_from(f"{order}H", tiff, second)
    tags = {}
    for at in range(second + 2, second + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", tiff, at)
        tags[tag] = _values(tiff, order, at + 8, kind, number)
    places = [(second, second + 2 + 12 * count + 4)]
    for offset, length in ((_OFFSET, _LENGTH), (_STRIPS, _STRIP_LENGTHS)):
        begins_and_sizes = zip(tags.get(offset, ()), tags.get(length, ()), strict=False)
        places += [(begin, begin + size) for begin, size in begins_and_sizes]
    return places


def _values(tiff: bytearray, order: str, at: int, kind: int, number: int) -> tuple[int, ...]:
    if kind not in (_SHORT, _LONG):
        return ()
    code, size = ("H", 2) if kind == _SHORT else ("I", 4)
    if number * size > 4:
        (at,) = struct.unpack_from(f"{order}I", tiff, at)
    return struct.unpack_from(f"{order}{min(number, len(tiff))}{code}", tiff, at)
