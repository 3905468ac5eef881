"""ICC, EXIF, XMP and what else is told of an image, verbatim, in a section of their own.

    1      number of items, 1...6
    then for each item, kinds ascending:
    1      kind
    1...5  length in bytes, varint, >= 1
           the bytes
    4      CRC32 of the section before it, little-endian

The section is there only if the header says so.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

from .errors import ArgumentError, InvalidField, MetadataDamaged, field_errors
from .source import Cursor
from .varint import pack_varints


class MetadataKind(IntEnum):
    """What an item of metadata is."""

    ICC = 0
    EXIF = 1
    XMP = 2
    TEXT = 3  # a JSON object of strings, in UTF-8
    DPI = 4  # across and down, each uint32 in 1/10000 of a pixel an inch, little-endian
    RANGE = 5  # samples of 16 bits are 0...65535 for least...largest, each uint16, little-endian


Metadata = tuple[tuple[MetadataKind, bytes], ...]


def pack_metadata(items: Metadata) -> bytes:
    """Write the section; nothing at all without items.

    Raises:
        ArgumentError: an item is empty, or the kinds do not ascend.
    """
    if not items:
        return b""
    _check_kinds([kind for kind, _ in items])
    section = bytearray([len(items)])
    for kind, payload in items:
        if not payload:
            raise ArgumentError(f"metadata {kind.name} is empty; leave it out")
        section += bytes([kind]) + pack_varints([len(payload)]) + payload
    return bytes(section) + struct.pack("<I", zlib.crc32(section))


def unpack_metadata(cursor: Cursor) -> Metadata:
    """Read the section, and move the cursor behind it.

    Raises:
        Truncated: the data ends within it.
        MetadataDamaged: the CRC32 does not match.
        InvalidField: no items, an empty or unknown one, or the kinds do not ascend.
    """
    begin = cursor.at
    count = cursor.byte()
    kinds: list[int] = []
    payloads: list[bytes] = []
    for _ in range(count):
        kinds.append(cursor.byte())
        length = int(cursor.varints(1)[0])
        payloads.append(cursor.take(length))
    cursor.check_crc(begin, MetadataDamaged("the metadata does not match its checksum"))
    if not count or not all(payloads):
        raise InvalidField("the metadata section has an empty item, or none at all")
    with field_errors():
        _check_kinds(kinds)
    return tuple((MetadataKind(k), p) for k, p in zip(kinds, payloads, strict=True))


def _check_kinds(kinds: list[int] | list[MetadataKind]) -> None:
    if any(kind not in list(MetadataKind) for kind in kinds):
        raise ArgumentError(
            f"metadata of kinds {[int(k) for k in kinds]}: only 0...{max(MetadataKind)} are known"
        )
    if sorted(set(kinds)) != kinds:
        raise ArgumentError(f"metadata of kinds {[int(k) for k in kinds]}: not ascending")
