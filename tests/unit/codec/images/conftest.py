"""A picture in files of all formats, their pieces, and what is read of them."""

import io
import struct
import warnings

from PIL import Image

from hvae_codec.codec.errors import LeftOut
from hvae_codec.codec.images import Pixels, read_image, to_pixels

PICTURE = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 40).convert("RGB")


def saved(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def read(file: bytes, strip: bool = False) -> tuple[Pixels, tuple[str, ...]]:
    """The pixels, and what was left out."""
    with warnings.catch_warnings(record=True) as caught, read_image(file) as image:
        warnings.simplefilter("always")
        pixels = to_pixels(image, strip=strip)
    told: list[str] = []
    for warning in caught:
        if isinstance(warning.message, LeftOut):
            told += warning.message.names
    return pixels, tuple(told)
