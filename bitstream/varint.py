"""Unsigned integers in seven bits a byte, least significant first (LEB128), shortest form only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, InvalidField, Truncated

MAX_VARINT = 2**32 - 1
MAX_VARINT_BYTES = 5


def pack_varints(values: Iterable[int]) -> bytes:
    """Write integers one behind the other.

    Args:
        values: each in 0...2**32 - 1.

    Raises:
        ArgumentError: a value is outside that range.
    """
    out = bytearray()
    for value in values:
        if not 0 <= value <= MAX_VARINT:
            raise ArgumentError(f"count {value} is outside 0...{MAX_VARINT}")
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def unpack_varints(data: bytes, count: int) -> tuple[NDArray[np.int64], int]:
    """Read `count` integers from the beginning of `data`; what follows them is ignored.

    Time and memory grow with `data` and not with `count`, which a file may lie about.

    Returns:
        The values, int64 `(count,)`, and the number of bytes they took.

    Raises:
        Truncated: `data` holds fewer integers.
        InvalidField: an integer is longer than it needs to be or exceeds 2**32 - 1.
    """
    octets = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(octets < 0x80)[:count]  # the last byte of each integer
    # Integers of more than five bytes are wrong, whether their end is here or not.
    begun = int(ends[-1]) + 1 if ends.size else 0
    if ends.size < count and octets.size - begun < MAX_VARINT_BYTES:
        raise Truncated(f"the file is cut within integer {ends.size + 1} of {count}")
    starts = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    lengths = ends - starts + 1
    if ends.size < count or np.any(lengths > MAX_VARINT_BYTES):
        raise InvalidField(f"an integer takes more than {MAX_VARINT_BYTES} bytes")
    if np.any((lengths > 1) & (octets[ends] == 0)):
        raise InvalidField("an integer is written with more bytes than it needs")
    if not count:
        return np.zeros(0, np.int64), 0
    place = np.arange(begun) - np.repeat(starts, lengths)  # 0...4 within each integer
    values = np.add.reduceat((octets[:begun] & 0x7F).astype(np.int64) << (7 * place), starts)
    if np.any(values > MAX_VARINT):
        raise InvalidField(f"integer {int(values.max())} is outside 0...{MAX_VARINT}")
    return values, begun
