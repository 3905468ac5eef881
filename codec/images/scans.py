"""The scans of a JPEG: whether all of them are there, and what is left of a file that is cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .segments import jpeg_segments

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _INTERVAL = 0xDA, 0xDD
_BLOCK = 8
_UNIT_BYTES = 4096  # more than the blocks of a unit take, some of which lie beyond the picture
_FILLS = 0x33, 0xCC, 0x00, 0x55, 0x66, 0x99, 0xAA, 0xFE
_MANY_SCANS, _FEW_FILLS = 20, 2
END = b"\xff\xd9"


@dataclass(frozen=True)
class _Frame:
    """Size of the picture, and of each component, by its number, its sampling factors."""

    height: int
    width: int
    sampling: dict[int, tuple[int, int]]

    def units(self, components: bytes) -> int:
        """Return how many units a scan of some components has, which restart intervals count."""
        across, down = (max(factors) for factors in zip(*self.sampling.values(), strict=True))
        own = self.sampling[components[0]] if len(components) == 1 else (1, 1)
        width, height = -(-self.width * own[0] // across), -(-self.height * own[1] // down)
        return -(-width // _BLOCK) * -(-height // _BLOCK)


def has_all_scans(file: bytes) -> bool:
    """Tell whether all scans of a picture have begun, and all restart intervals of the last.

    A progressive file sends a coefficient in several scans, each with more of its bits. Between
    scans and between restart intervals decoders pass over whatever stands there.
    """
    frame, interval, components = None, 0, b""
    missing: dict[int, set[int]] = {}
    for marker, payload, _ in jpeg_segments(file):
        try:
            if marker in _FRAMES:
                frame = _frame(payload)
                missing = {component: set(range(64)) for component in frame.sampling}
            elif marker == _INTERVAL:
                interval = int.from_bytes(payload, "big")
            elif marker == _SCAN:
                end = 1 + 2 * payload[0]
                components = payload[1:end:2]
                first, last, bits = payload[end : end + 3]
                if not bits & 15:
                    for component in components:
                        missing[component].difference_update(range(first, last + 1))
        except (IndexError, KeyError, ValueError):
            return False
    if frame is None or any(missing.values()):
        return False
    restarts = sum(file.count(bytes([0xFF, 0xD0 + n]), file.rfind(b"\xff\xda")) for n in range(8))
    return not interval or restarts == -(-frame.units(components) // interval) - 1


def _frame(payload: bytes) -> _Frame:
    height, width = (int.from_bytes(payload[at : at + 2], "big") for at in (1, 3))
    factors = {payload[at]: divmod(payload[at + 1], 16) for at in range(6, len(payload), 3)}
    if not height or not width or not factors or not all(map(all, factors.values())):
        raise ValueError("no size")
    return _Frame(height, width, factors)


def count_of_scans(file: bytes) -> int:
    """Count the scans of a JPEG's picture."""
    return sum(marker == _SCAN for marker, _, _ in jpeg_segments(file))


def with_other_ends(file: bytes, scans: int) -> Iterator[bytes]:
    """Yield a JPEG that lacks its end, each time with other bits before a new one.

    Where all pixels are there, decoders do not look at these bits: the pictures are the same.

    Args:
        file: the JPEG.
        scans: how many it has; where they are many, and slow to decode, two ends have to do.
    """
    file = file.rstrip(b"\xff")
    for fill in _FILLS[: _FEW_FILLS if scans > _MANY_SCANS else None]:
        yield file + bytes([fill]) * _UNIT_BYTES + END


def without_cut_segment(file: bytes) -> bytes:
    """Return a JPEG that ends within a segment, without it and with an end; others as they are.

    Decoders give up a whole picture for such a segment.
    """
    for marker, _, at in jpeg_segments(file):
        size = int.from_bytes(file[at + 2 : at + 4], "big")
        if marker != END[1] and at + 2 + max(2, size) > len(file):
            return file[:at] + END
    return file
