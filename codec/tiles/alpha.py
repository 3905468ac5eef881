"""Alpha, coded without loss beside the colour.

Each tile of alpha is the VP8L stream of a lossless WebP. Alpha of 8 bits is its green channel. Of
16 bits, the upper 8 are its green channel and the lower 8 its red one.
"""

from __future__ import annotations

import numpy as np

from .lossless import decode_vp8l, encode_vp8l


def encode_alpha(alpha: np.ndarray) -> bytes:
    """Code a plane of alpha.

    Args:
        alpha: uint8 or uint16 (H, W), sides up to 2048.
    """
    wide = alpha.astype(np.uint16)
    high, low = (wide >> 8, wide & 0xFF) if alpha.dtype == np.uint16 else (wide, wide * 0)
    channels = np.stack([low, high, np.zeros_like(low)], axis=2).astype(np.uint8)
    return encode_vp8l(channels)


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
    channels = decode_vp8l(data, height, width)
    if bit_depth == 8:
        return channels[..., 1].copy()
    return channels[..., 1].astype(np.uint16) << 8 | channels[..., 0]
