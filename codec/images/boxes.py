"""Boxes of AVIF, HEIC and JPEG 2000 files: how colour is told there, and what Pillow leaves there.

Layouts: ISO/IEC 14496-12 (boxes), 23008-12 (items and their properties), 15444-1 annex I (JP2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Box = tuple[bytes, bytes]
"""Type and payload."""


def boxes_in(data: bytes) -> Iterator[Box]:
    """Yield the boxes that stand in a row, as far as they are whole."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1 and begin + 8 <= len(data):
            size, begin = struct.unpack_from(">Q", data, begin)[0], begin + 8
        end = len(data) if size == 0 else at + size  # 0: up to the end
        if not begin <= end <= len(data):
            return
        yield kind, data[begin:end]
        at = end


def properties_of(file: bytes) -> list[Box]:
    """Return the properties of the primary item of an AVIF or HEIC file; none where it is odd."""
    try:
        meta = dict(boxes_in(_first(file, b"meta")[4:]))
        inside = list(boxes_in(meta[b"iprp"]))
        every = list(boxes_in(dict(inside)[b"ipco"]))
        numbers = _associated([p for kind, p in inside if kind == b"ipma"], _primary(meta[b"pitm"]))
        return [every[number - 1] for number in numbers if 0 < number <= len(every)]
    except (KeyError, IndexError, struct.error):
        return []


def nclx_of(file: bytes) -> tuple[int, int] | None:
    """Return the code points of primaries and transfer (ITU-T H.273) of an AVIF or HEIC file."""
    for kind, payload in properties_of(file):
        if kind == b"colr" and payload[:4] == b"nclx" and len(payload) >= 8:
            return struct.unpack_from(">HH", payload, 4)
    return None


_UUIDS = {
    b"JpgTiffExif->JP2": "EXIF",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "XMP",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "IPTC",
}


def jp2_metadata_of(file: bytes) -> list[str]:
    """Name the metadata of a JPEG 2000 file, which Pillow does not read."""
    uuids = [payload[:16] for kind, payload in boxes_in(file) if kind == b"uuid"]
    return [_UUIDS[uuid] for uuid in uuids if uuid in _UUIDS]


def bits_of(file: bytes) -> int:
    """Return the bits a channel of an AVIF or HEIC file; 8 where it does not tell."""
    for kind, payload in properties_of(file):
        if kind == b"pixi" and len(payload) > 5:  # version, count, bits of each
            return max(payload[5:])
    return 8


def auxiliaries_of(file: bytes) -> list[str]:
    """Name the pictures that an AVIF or HEIC file has beside the primary one, alpha excepted."""
    meta = dict(boxes_in(_first(file, b"meta")[4:]))
    properties = dict(boxes_in(meta.get(b"iprp", b""))).get(b"ipco", b"")
    kinds = [payload[4:] for kind, payload in boxes_in(properties) if kind == b"auxC"]
    named = [kind.split(b"\0")[0].decode("ascii", "replace") for kind in kinds]
    return [f"auxiliary picture {kind.rpartition(':')[2]}" for kind in named if "alpha" not in kind]


def jp2_bits(file: bytes) -> int:
    """Return the bits a channel of a JPEG 2000 file; 8 where its boxes do not tell."""
    header = dict(boxes_in(_first(file, b"jp2h"))).get(b"ihdr", b"")
    return (header[10] & 0x7F) + 1 if len(header) > 10 and header[10] != 0xFF else 8


def jp2_profile(file: bytes) -> bytes:
    """Return the ICC profile of a JPEG 2000 file, empty where it has none."""
    for kind, payload in boxes_in(_first(file, b"jp2h")):
        if kind == b"colr" and payload[:1] in (b"\2", b"\3"):
            return payload[3:]
    return b""


def _first(file: bytes, wanted: bytes) -> bytes:
    return next((payload for kind, payload in boxes_in(file) if kind == wanted), b"")


def _primary(pitm: bytes) -> int:
    return struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)[0]


def _associated(tables: list[bytes], item: int) -> list[int]:
    """Return the numbers of the properties of an item, from 1 on."""
    for table in tables:
        wide_item, wide_number = table[0], table[3] & 1
        (entries,), at = struct.unpack_from(">I", table, 4), 8
        for _ in range(entries):
            (found,) = struct.unpack_from(">I" if wide_item else ">H", table, at)
            at += 4 if wide_item else 2
            count = table[at]
            step, mask = (2, 0x7FFF) if wide_number else (1, 0x7F)
            packed = table[at + 1 : at + 1 + count * step]
            at += 1 + count * step
            if found == item:
                numbers = struct.unpack(f">{count}{'H' if wide_number else 'B'}", packed)
                return [number & mask for number in numbers]
    return []
