"""PNGs put together by hand, right or wrong."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, payload: bytes, flaw: int = 0) -> bytes:
    """Return a chunk; a flaw is what its checksum is wrong by."""
    crc = zlib.crc32(kind + payload) ^ flaw
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", crc)
