"""Samples of 16 bits that fill a small part of their range: 12 bits, or an MRI of 400 levels.

Steps of quantisation are fractions of the whole range. So the samples are stretched to all of it
before they are coded, and the file says to what they are squeezed again.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from ...bitstream import InvalidField, Metadata, MetadataKind
from .pixels import Pixels

_FULL = 65535
_PACKED = struct.Struct("<HH")


def stretched(pixels: Pixels) -> Pixels:
    """Stretch colour that takes less than half of 16 bits; the metadata then says its range."""
    if pixels.bit_depth != 16:
        return pixels
    samples, has_alpha = pixels.samples, pixels.color.has_alpha
    color = samples[..., :-1] if has_alpha else samples
    visible = color[samples[..., -1] > 0] if has_alpha else color
    if not visible.size:
        return pixels
    low, high = int(visible.min()), int(visible.max())
    if high - low > _FULL // 2 or high == low:
        return pixels
    table = (np.arange(_FULL + 1, dtype=np.int64).clip(low, high) - low) * _FULL + (high - low) // 2
    table = (table // (high - low)).astype(np.uint16)
    item = MetadataKind.RANGE, _PACKED.pack(low, high)
    metadata = tuple(sorted((*pixels.metadata, item)))
    return replace(pixels, source=_mapped(samples, table, has_alpha), metadata=metadata)


def stretched_as(pixels: Pixels, metadata: Metadata) -> Pixels:
    """Stretch an image if the metadata of its file says that this was done."""
    return stretched(pixels) if MetadataKind.RANGE in dict(metadata) else pixels


def squeezed(pixels: Pixels, metadata: Metadata) -> Pixels:
    """Undo `stretched`.

    Raises:
        InvalidField: the range is none.
    """
    item = dict(metadata).get(MetadataKind.RANGE)
    if item is None:
        return pixels
    low, high = range_of(item)
    if pixels.bit_depth != 16:
        raise InvalidField("a range of 16 bits is told of samples of 8")
    table = (np.arange(_FULL + 1, dtype=np.int64) * (high - low) + _FULL // 2) // _FULL + low
    return replace(
        pixels, source=_mapped(pixels.samples, table.astype(np.uint16), pixels.color.has_alpha)
    )


def range_of(item: bytes) -> tuple[int, int]:
    """Return the least and the largest sample.

    Raises:
        InvalidField: the item does not hold two numbers that ascend.
    """
    low, high = _PACKED.unpack(item) if len(item) == _PACKED.size else (0, 0)
    if low >= high:
        raise InvalidField(f"the range of samples {item[:8].hex(' ')} is none")
    return low, high


def _mapped(samples: np.ndarray, table: np.ndarray, has_alpha: bool) -> np.ndarray:
    mapped = table[samples]
    if has_alpha:
        mapped[..., -1] = samples[..., -1]
    return mapped
