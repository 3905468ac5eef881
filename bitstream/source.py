"""Read pieces of bytes or of a seekable file, never more than is there."""

from __future__ import annotations

import io
import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .errors import BitstreamError, Truncated
from .varint import MAX_VARINT_BYTES, unpack_varints

Source = bytes | bytearray | memoryview | IO[bytes]

_CHUNK = 1 << 16  # varints at a time: bounds the memory that a huge index takes


class Cursor:
    """A place in a file, at its beginning first.

    Args:
        source: bytes, or a seekable binary file (whose own position is moved about).
    """

    def __init__(self, source: Source) -> None:
        """Stand at the beginning of `source`."""
        self._file = (
            io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
        )
        self._file.seek(0, io.SEEK_END)  # a mapped file does not tell where that is
        self.size = self._file.tell()
        self.at = 0

    def peek(self, count: int) -> bytes:
        """Return the next `count` bytes, or as many as there are."""
        count = max(0, min(count, self.size - self.at))
        self._file.seek(self.at)
        read = self._file.read(count)
        while len(read) < count and (more := self._file.read(count - len(read))):
            read += more  # an unbuffered file may give less than it has
        return read

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes and move behind them.

        Raises:
            Truncated: there are fewer. Nothing was read then.
        """
        if count > self.size - self.at:
            raise Truncated(
                f"the file is cut after {self.size} bytes: {count} should follow byte {self.at}"
            )
        taken = self.peek(count)
        if len(taken) < count:  # the file shrank meanwhile
            raise Truncated(f"{count} bytes announced at offset {self.at}, {len(taken)} came")
        self.at += count
        return taken

    def byte(self) -> int:
        """Take one byte."""
        return self.take(1)[0]

    def uint32(self) -> int:
        """Take four bytes, little-endian."""
        return struct.unpack("<I", self.take(4))[0]

    def check_crc(self, begin: int, mismatch: BitstreamError) -> None:
        """Take a CRC32, and compare it with that of the bytes from `begin` up to it.

        Raises:
            Truncated: it is not there.
            BitstreamError: `mismatch`, where it is another.
        """
        end, self.at = self.at, begin
        crc = zlib.crc32(self.take(end - begin))
        if crc != self.uint32():
            raise mismatch

    def varints(self, count: int) -> NDArray[np.int64]:
        """Take varints, int64 `(count,)`.

        Raises:
            Truncated: the data ends before.
            InvalidField: one is malformed.
        """
        chunks = [np.zeros(0, np.int64)]
        for begin in range(0, count, _CHUNK):
            wanted = min(_CHUNK, count - begin)
            values, taken = unpack_varints(self.peek(wanted * MAX_VARINT_BYTES), wanted)
            self.at += taken
            chunks.append(values)
        return np.concatenate(chunks)
