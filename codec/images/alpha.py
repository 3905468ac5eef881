"""Alpha, coded without loss beside the colour, and the colour that alpha hides.

Each tile of alpha is the VP8L stream of a lossless WebP. Alpha of 8 bits is its green channel. Of
16 bits, the upper 8 are its green channel and the lower 8 its red one. Nobody sees colour under
full transparency: the encoder replaces it by one that takes few bits.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from ...bitstream import StreamDamaged

_RIFF_BYTES = 20  # "RIFF", size, "WEBP", "VP8L", size: all known without looking
_SIGNATURE = 0x2F


def encode_alpha(alpha: np.ndarray) -> bytes:
    """Code a plane of alpha.

    Args:
        alpha: uint8 or uint16 (H, W), sides up to 2048.
    """
    wide = alpha.astype(np.uint16)
    high, low = (wide >> 8, wide & 0xFF) if alpha.dtype == np.uint16 else (wide, wide * 0)
    channels = np.stack([low, high, np.zeros_like(low)], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(channels).save(buffer, "WEBP", lossless=True, quality=100, method=4)
    file = buffer.getvalue()
    assert file[12:16] == b"VP8L"
    return file[_RIFF_BYTES : _RIFF_BYTES + struct.unpack_from("<I", file, 16)[0]]


def decode_alpha(data: bytes, height: int, width: int, bit_depth: int) -> np.ndarray:
    """Decode what `encode_alpha` coded.

    Args:
        data: the stream.
        height: of the plane, in px.
        width: of the plane, in px.
        bit_depth: 8 or 16.

    Returns:
        uint8 or uint16 (H, W).

    Raises:
        StreamDamaged: the data is no such stream, or the stream of another size.
    """
    # The size is looked at first, so that a made-up one takes no memory.
    size = struct.unpack_from("<I", data, 1)[0] & 0xFFFFFFF if len(data) >= 5 else -1
    if size != width - 1 | height - 1 << 14 or data[0] != _SIGNATURE:
        raise StreamDamaged(f"its alpha is not {width}x{height} pixels")
    padded = data + b"\0" * (len(data) % 2)
    riff = struct.pack("<4sI8sI", b"RIFF", len(padded) + 12, b"WEBPVP8L", len(data))
    try:
        with Image.open(io.BytesIO(riff + padded), formats=["WEBP"]) as image:
            channels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise StreamDamaged(f"its alpha does not decode ({error})") from error
    if bit_depth == 8:
        return channels[..., 1].copy()
    return channels[..., 1].astype(np.uint16) << 8 | channels[..., 0]


def fill_hidden(color: np.ndarray, visible: np.ndarray, nothing: float = 128.0) -> np.ndarray:
    """Replace hidden colours by smooth ones from around them.

    The picture of the visible colours is halved until no pixel of it lacks a colour. Each hidden
    colour comes from the finest of these pictures that has one.

    Args:
        color: float32 (C, H, W).
        visible: bool (1, H, W), true where a colour counts.
        nothing: the colour where none counts anywhere.

    Returns:
        float32 (C, H, W); `color` itself where all of it is visible.
    """
    if visible.all():
        return color
    if not visible.any():
        return np.full_like(color, nothing)
    total = _halved(visible.astype(np.float32))
    mean = _halved(np.where(visible, color, np.float32(0))) / np.maximum(total, np.float32(1e-6))
    coarse = fill_hidden(mean, total > 0, nothing)
    height, width = color.shape[1:]
    return np.where(visible, color, _stretched(_stretched(coarse, height, 1), width, 2))


def _halved(planes: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels, and at an odd edge those that are there: (C, H, W) -> half, rounded up.

    A repeated edge has the same averages.
    """
    padding = [(0, 0), *((0, side % 2) for side in planes.shape[1:])]
    even = np.pad(planes, padding, mode="edge") if any(last for _, last in padding) else planes
    rows = even[:, 0::2] + even[:, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)


def _stretched(planes: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Interpolate linearly to a larger size of one axis; the outer edges of the pixels coincide."""
    last = planes.shape[axis] - 1
    places = (np.arange(size) + 0.5) * (last + 1) / size - 0.5
    places = places.clip(0, last)
    before = places.astype(np.intp)
    after = np.minimum(before + 1, last)
    weight = (places - before).astype(np.float32)
    weight = weight[:, None] if axis == 1 else weight
    return planes.take(before, axis) * (1 - weight) + planes.take(after, axis) * weight
