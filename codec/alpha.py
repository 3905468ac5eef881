"""Alpha, coded without loss beside the colour: the VP8L stream of a lossless WebP, a tile each.

Eight bits lie in the green channel; of sixteen the upper ones do, and the lower ones in the red.
Colour under full transparency cannot be seen: the encoder makes it as cheap as it can.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..bitstream import StreamDamaged

_RIFF_BYTES = 20  # "RIFF", size, "WEBP", "VP8L", size: all known without looking
_SIGNATURE = 0x2F


def encode_alpha(alpha: np.ndarray) -> bytes:
    """Code a plane of alpha, uint8 or uint16 (H, W), sides up to 2048."""
    wide = alpha.astype(np.uint16)
    high, low = (wide >> 8, wide & 0xFF) if alpha.dtype == np.uint16 else (wide, wide * 0)
    channels = np.stack([low, high, np.zeros_like(low)], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(channels).save(buffer, "WEBP", lossless=True, quality=100, method=4)
    file = buffer.getvalue()
    assert file[12:16] == b"VP8L"
    return file[_RIFF_BYTES : _RIFF_BYTES + struct.unpack_from("<I", file, 16)[0]]


def decode_alpha(data: bytes, height: int, width: int, bit_depth: int) -> np.ndarray:
    """Undo `encode_alpha`; uint8 or uint16 (H, W).

    Raises:
        StreamDamaged: not a stream of this size.
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


def fill_hidden(color: Tensor, visible: Tensor, nothing: float = 128.0) -> Tensor:
    """Replace hidden colours by smooth ones from around them, by halving until all are seen.

    Args:
        color: (1, C, H, W).
        visible: (1, 1, H, W), true where a colour counts.
        nothing: the colour where none counts anywhere.
    """
    if visible.all() or not visible.any():
        return color if visible.all() else torch.full_like(color, nothing)
    weight = visible.to(color)
    total = F.avg_pool2d(weight, 2, ceil_mode=True)
    mean = F.avg_pool2d(color * weight, 2, ceil_mode=True) / total.clamp_min(1e-6)
    coarse = fill_hidden(mean, total > 0, nothing)
    smooth = F.interpolate(coarse, color.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(visible, color, smooth)
