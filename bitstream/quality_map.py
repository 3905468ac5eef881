"""The quality map: by how much the quality of each patch differs from the header's.

    varint     bytes of the payload
    payload    1 byte   unit, 1...100: offsets are multiples of it
               words    uint32, little-endian, those which are popped first standing first
    4          CRC32 of the section before it, little-endian

The section is there only if the header says so. Offsets stand row by row. Each is predicted from
those around it that are known; what it is more than that is coded in bits whose chances adapt to
those that came before under the same context, as integers.
"""

from __future__ import annotations

import struct
import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .ans import EntropyCoder, check_empty, coder_of, pop_bit, push_bits, words_of
from .errors import ArgumentError, MapDamaged, StreamDamaged, field_errors
from .header import MAX_QUALITY
from .source import Cursor
from .varint import pack_varints

Offsets = NDArray[np.int16]

_ONE = 1 << 16  # a chance of one
_LONGEST_MEMORY = 40  # bits that a chance remembers at most
_UNARY = 6  # magnitudes up to here are counted bit by bit
_REST_BITS = 8  # of a larger one


class _Bits(Protocol):
    """Codes a bit under the chance of a context: writes the one it is given, or reads one."""

    def code(self, context: tuple[int, ...], bit: bool) -> bool: ...


class _Chances:
    """How likely a bit is to be set, in 128ths, by what was seen under its context."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], tuple[int, int]] = {}

    def of(self, context: tuple[int, ...]) -> int:
        chance, _ = self._seen.get(context, (_ONE // 2, 0))
        return min(max(chance >> 9, 1), 127)

    def learn(self, context: tuple[int, ...], bit: bool) -> None:
        chance, count = self._seen.get(context, (_ONE // 2, 0))
        count = min(count + 1, _LONGEST_MEMORY)
        self._seen[context] = chance + ((_ONE if bit else 0) - chance) // (count + 1), count


class _Writer:
    def __init__(self) -> None:
        self.chances = _Chances()
        self.bits: list[bool] = []
        self.under: list[int] = []

    def code(self, context: tuple[int, ...], bit: bool) -> bool:
        self.bits.append(bit)
        self.under.append(self.chances.of(context))
        self.chances.learn(context, bit)
        return bit

    def words(self) -> NDArray[np.uint32]:
        coder = coder_of()
        push_bits(coder, np.array(self.bits, np.int32), np.array(self.under))
        return words_of(coder)


class _Reader:
    def __init__(self, coder: EntropyCoder):
        self.chances, self.coder = _Chances(), coder

    def code(self, context: tuple[int, ...], bit: bool) -> bool:
        bit = pop_bit(self.coder, self.chances.of(context))
        self.chances.learn(context, bit)
        return bit


def _code(bits: _Bits, context: int, value: int) -> int:
    """Code an integer: whether it is zero, its sign, its magnitude."""
    if not bits.code((0, context), value != 0):
        return 0
    is_negative = bits.code((1, context), value < 0)
    size, magnitude = abs(value), 1
    while magnitude <= _UNARY and bits.code((2, context, magnitude), size > magnitude):
        magnitude += 1
    if magnitude > _UNARY:
        rest = size - magnitude
        for place in range(_REST_BITS):
            magnitude += bits.code((3, place), bool(rest >> place & 1)) << place
    return -magnitude if is_negative else magnitude


def _walk(bits: _Bits, steps: NDArray[np.int64]) -> None:
    """Code steps (h, w) in place: read those that are there, or write those that were coded."""
    rows, columns = steps.shape
    above = [0] * columns
    for row in range(rows):
        here = steps[row].tolist()
        left = corner = above[0]
        for column in range(columns):
            up, beyond = above[column], above[min(column + 1, columns - 1)]
            roughness = abs(up - corner) + abs(left - corner) + abs(beyond - up)
            predicted = (2 * left + up + beyond + 2) >> 2 if row else left
            context = min(roughness, 6) + 7 * (row > 0)
            here[column] = predicted + _code(bits, context, here[column] - predicted)
            if abs(here[column]) > MAX_QUALITY:  # before more work is done for what is no map
                raise StreamDamaged(f"an offset of a patch is beyond {MAX_QUALITY} qualities")
            left, corner = here[column], up
        steps[row] = above = here


def pack_map(offsets: Offsets) -> bytes:
    """Write the section.

    Args:
        offsets: integers (h, w) within -100...100, of each patch.
    """
    unit = max(1, int(np.gcd.reduce(np.abs(offsets), axis=None)))
    writer = _Writer()
    _walk(writer, offsets.astype(np.int64) // unit)
    payload = bytes([unit]) + writer.words().astype("<u4").tobytes()
    section = pack_varints([len(payload)]) + payload
    return section + struct.pack("<I", zlib.crc32(section))


def unpack_map(cursor: Cursor, size: tuple[int, int], quality: int) -> Offsets:
    """Read the section, and move the cursor behind it.

    Args:
        cursor: at its beginning.
        size: of the picture, in patches.
        quality: the header's.

    Returns:
        int16 (h, w).

    Raises:
        Truncated: the data ends within it.
        MapDamaged: the CRC32 does not match, or what is there is no map.
        InvalidField: a patch has a quality outside 0...100.
    """
    begin = cursor.at
    payload = cursor.take(int(cursor.varints(1)[0]))
    cursor.check_crc(begin, MapDamaged("the quality map does not match its checksum"))
    if len(payload) % 4 != 1 or not 1 <= payload[0] <= MAX_QUALITY:
        raise MapDamaged(f"the quality map has {len(payload)} bytes that are no map")
    steps = np.zeros(size, np.int64)
    try:
        coder = coder_of(np.frombuffer(payload[1:], "<u4").astype(np.uint32))
        _walk(_Reader(coder), steps)
        check_empty(coder)
    except StreamDamaged as error:
        raise MapDamaged(f"the quality map does not decode ({error})") from error
    offsets = steps * payload[0]
    with field_errors():
        check_map(offsets, size, quality)
    return offsets.astype(np.int16)


def check_map(offsets: NDArray[np.integer], size: tuple[int, int], quality: int) -> None:
    """Refuse offsets that are none.

    Args:
        offsets: integers of any shape.
        size: (h, w) of the picture, in patches.
        quality: the header's.

    Raises:
        ArgumentError: they are of another size, or lead out of 0...100.
    """
    if offsets.shape != size or offsets.dtype.kind not in "iu":
        raise ArgumentError(f"the quality map is {offsets.dtype} {offsets.shape}, not {size}")
    low, high = quality + int(offsets.min()), quality + int(offsets.max())
    if low < 0 or high > MAX_QUALITY:
        raise ArgumentError(f"qualities {low}...{high} of patches are outside 0...{MAX_QUALITY}")
