"""Pictures of the whole that metadata holds, which a part of the picture is not to carry."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from .signatures import JPEG

_PREFIX = b"Exif\0\0"
_OFFSET, _LENGTH = 513, 514  # of a thumbnail in JPEG
_STRIPS, _STRIP_LENGTHS = 273, 279  # of one that is not compressed
_WHERE = _OFFSET, _LENGTH, _STRIPS, _STRIP_LENGTHS
_SHORT, _LONG = 3, 4

_JPEG_END = b"\xff\xd9"
_XMP_ELEMENTS = b"xmpGImg:image", b"GImage:Data", b"GDepth:Data"
_XMP_ATTRIBUTES = [
    re.compile(rb"((?:xmpGImg:image|GImage:Data|GDepth:Data)\s*=\s*\")[^\"]*", re.DOTALL),
    re.compile(rb"((?:xmpGImg:image|GImage:Data|GDepth:Data)\s*=\s*')[^']*", re.DOTALL),
]


def without_previews(info: Mapping[str, Any]) -> dict[str, Any]:
    """Blank the thumbnails in EXIF and XMP; all else of both stays where it is."""
    cleaned = dict(info)
    if exif := info.get("exif"):
        cleaned["exif"] = _exif_without_thumbnail(exif)
    if xmp := info.get("xmp"):
        cleaned["xmp"] = _xmp_without_pictures(xmp)
    return cleaned


def _between(data: bytes | bytearray, begin: bytes, end: bytes) -> Iterator[tuple[int, int]]:
    """Find what lies between two marks, in one pass: a file may hold a million of the first."""
    at = data.find(begin)
    while at >= 0:
        at += len(begin)
        stop = data.find(end, at)
        if stop < 0:
            return
        yield at, stop
        at = data.find(begin, stop + len(end))


def _xmp_without_pictures(xmp: bytes) -> bytes:
    for name in _XMP_ELEMENTS:
        kept, at = [], 0
        for begin, stop in _between(xmp, b"<%s>" % name, b"</%s>" % name):
            kept.append(xmp[at:begin])
            at = stop
        xmp = b"".join([*kept, xmp[at:]])
    for pattern in _XMP_ATTRIBUTES:
        xmp = pattern.sub(rb"\1", xmp)
    return xmp


def _exif_without_thumbnail(exif: bytes) -> bytes:
    """Unlink the second directory, which is the thumbnail's, and blank what it points to.

    Offsets stay what they are, also those in the notes of makers. Notes hold previews, too.
    """
    prefix = _PREFIX if exif.startswith(_PREFIX) else b""
    tiff = bytearray(exif[len(prefix) :])
    places: list[tuple[int, int]] = []
    with suppress(struct.error):  # damaged: what is left is searched for pictures all the same
        places = _unlink_thumbnail(tiff)
    places += [
        (begin - len(JPEG), stop + len(_JPEG_END))
        for begin, stop in _between(tiff, JPEG, _JPEG_END)
    ]
    end = blanked = 0  # what is blank from `end` to `blanked`
    for begin, stop in sorted(places):
        begin, stop = max(begin, blanked), min(stop, len(tiff))
        if begin >= stop:
            continue
        tiff[begin:stop] = bytes(stop - begin)
        end, blanked = end if begin == blanked else begin, stop
    return prefix + bytes(tiff[:end] if blanked == len(tiff) else tiff)


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
        if tag in _WHERE and tag not in tags:
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
