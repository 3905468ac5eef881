"""Samples coded without loss, by coders that Pillow has.

8 bits a channel     the VP8L stream of a lossless WebP, alpha included
16 bits a channel    a JPEG 2000 codestream a channel, each behind its size (varint), red and
                     blue as differences from green
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bitstream import BitstreamError, StreamDamaged
from ...bitstream.varint import MAX_VARINT_BYTES, pack_varints, unpack_varints

Samples = NDArray[Any]
"""uint8 or uint16."""

_RIFF_BYTES = 20  # "RIFF", size, "WEBP", "VP8L", size: all known without looking
_SIGNATURE = 0x2F
_JPEG_2000_BEGIN = b"\xff\x4f\xff\x51"
# width, height and their origin; the same of a JPEG 2000 tile; components
_JPEG_2000_SIZE = struct.Struct(">4s4x8IH")
_REPETITIVE_BPP = 2.0
_DENSE_BPP = 6.0  # from here on nothing repeats
_SURELY, _SURELY_DENSE = 0.25, 0.8  # text takes 0.28 of what the fast method says, photographs 0.9
_MIDDLE = 1 << 15


def encode_lossless(samples: Samples, *, quickly: bool = False) -> bytes:
    """Code samples without loss.

    Args:
        samples: uint8 or uint16 (H, W, C) of 1 to 4 channels; grey, colour, with alpha or not.
        quickly: for a few more bytes, in a third of the time or less.
    """
    if samples.dtype == np.uint8:
        colour = _as_color(samples.astype(np.uint8, copy=False))
        return _vp8l(colour, method=4, effort=75) if quickly else encode_vp8l(colour)
    planes = [_to_jpeg_2000(plane) for plane in np.moveaxis(_less_green(samples, -1), 2, 0)]
    return b"".join(pack_varints([len(plane)]) + plane for plane in planes)


def least_lossless_bytes(samples: Samples) -> float:
    """Return how many bytes samples take at least, in a tenth of the time of coding them."""
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    fast = len(_vp8l(_as_color(samples), method=1, effort=0))
    is_dense = 8 * fast > _DENSE_BPP * samples.shape[0] * samples.shape[1]
    return fast * (_SURELY_DENSE if is_dense else _SURELY)


def decode_lossless(data: bytes, shape: tuple[int, int, int], bit_depth: int) -> Samples:
    """Decode what `encode_lossless` coded.

    Args:
        data: the stream.
        shape: height, width and channels.
        bit_depth: 8 or 16.

    Returns:
        uint8 or uint16 (H, W, C).

    Raises:
        StreamDamaged: the data is no such stream, or one of another shape.
    """
    height, width, channels = shape
    if bit_depth == 8:
        colour = decode_vp8l(data, height, width)
        kept = slice(0, None, 3) if channels == 2 else slice(channels)  # grey and alpha
        return colour[..., kept]
    planes, at = [], 0
    for _ in range(channels):
        try:
            (size,), taken = unpack_varints(data[at : at + MAX_VARINT_BYTES], 1)
        except BitstreamError as error:
            raise StreamDamaged(f"its planes are not there ({error})") from error
        begin, at = at + taken, at + taken + int(size)
        if at > len(data):
            raise StreamDamaged(f"a plane of {size} bytes is cut")
        planes.append(_from_jpeg_2000(data[begin:at], height, width))
    return _less_green(np.stack(planes, axis=2), 1)


def encode_vp8l(samples: NDArray[np.uint8]) -> bytes:
    """Code (H, W, 3 or 4) samples, those under full transparency included, as a VP8L stream.

    What takes few bits repeats itself: a longer search then pays, and is short.
    """
    stream = _vp8l(samples, method=4)
    if len(stream) * 8 < _REPETITIVE_BPP * samples.shape[0] * samples.shape[1]:
        return min(stream, _vp8l(samples, method=5), key=len)
    return stream


def _vp8l(samples: NDArray[np.uint8], method: int, effort: int = 100) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(samples))
    image.save(buffer, "WEBP", lossless=True, exact=True, quality=effort, method=method)
    file = buffer.getvalue()
    assert file[12:16] == b"VP8L"
    return file[_RIFF_BYTES : _RIFF_BYTES + struct.unpack_from("<I", file, 16)[0]]


def decode_vp8l(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Decode a VP8L stream of a known size to samples (H, W, 4).

    Raises:
        StreamDamaged: the data is no such stream, or the stream of another size.
    """
    # The size is looked at first, so that a made-up one takes no memory.
    size = struct.unpack_from("<I", data, 1)[0] & 0xFFFFFFF if len(data) >= 5 else -1
    if size != width - 1 | height - 1 << 14 or data[0] != _SIGNATURE:
        raise StreamDamaged(f"it is not a VP8L stream of {width}x{height} pixels")
    padded = data + b"\0" * (len(data) % 2)
    riff = struct.pack("<4sI8sI", b"RIFF", len(padded) + 12, b"WEBPVP8L", len(data))
    try:
        with Image.open(io.BytesIO(riff + padded), formats=["WEBP"]) as image:
            return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError) as error:
        raise StreamDamaged(f"its VP8L stream does not decode ({error})") from error


def _as_color(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give grey three equal channels: (H, W, 1...4) -> (H, W, 3 or 4)."""
    channels = samples.shape[2]
    return samples if channels > 2 else samples[..., [0, 0, 0, 1][: channels + 2]]


def _less_green(samples: Samples, sign: int) -> Samples:
    """Turn red and blue of 16 bits into differences from green (sign -1), or back (1)."""
    if samples.shape[2] < 3:
        return samples
    wide = samples.astype(np.int32)
    wide[..., [0, 2]] += sign * (wide[..., [1]] - _MIDDLE)
    return wide.astype(np.uint16)  # modulo 2**16


def _to_jpeg_2000(plane: NDArray[np.uint16]) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(plane))
    image.save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue()


def _from_jpeg_2000(data: bytes, height: int, width: int) -> NDArray[np.uint16]:
    # As of VP8L, the size is looked at first.
    size = _JPEG_2000_SIZE.unpack_from(data) if len(data) >= _JPEG_2000_SIZE.size else ()
    if size != (_JPEG_2000_BEGIN, *2 * (width, height, 0, 0), 1):  # one tile: many take memory
        raise StreamDamaged(f"a plane is not one of {width}x{height} pixels")
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG2000"]) as image:
            if image.mode != "I;16":
                raise StreamDamaged("a plane does not have 16 bits")
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise StreamDamaged(f"a plane does not decode ({error})") from error
