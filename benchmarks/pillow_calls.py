"""Encoding and decoding by Pillow; a process that does nothing else imports nothing else."""

import importlib
import io
from typing import Any

from PIL import Image


def encode(format_name: str, options: dict[str, Any], image: Image.Image, quality: int) -> bytes:
    """Encode an image with the format's own options."""
    _register(format_name)
    buffer = io.BytesIO()
    image.save(buffer, format_name, quality=quality, **options)
    return buffer.getvalue()


def encode_jpeg2000(image: Image.Image, tenths_db: int) -> bytes:
    """Encode an image so that it has a PSNR."""
    buffer = io.BytesIO()
    image.save(
        buffer,
        "JPEG2000",
        irreversible=True,
        mct=1,  # Pillow would code red, green and blue apart
        quality_mode="dB",
        quality_layers=[tenths_db / 10],
    )
    return buffer.getvalue()


def encode_jpegli(image: Image.Image, quality: int) -> bytes:
    """Encode an image as a JPEG of jpegli."""
    pyjpegli = importlib.import_module("pyjpegli")
    return pyjpegli.encode(image.convert("RGB").tobytes(), *image.size, quality=quality)


def decode(format_name: str, data: bytes) -> Image.Image:
    """Decode the bytes of a file, which must be of the format."""
    _register(format_name)
    return Image.open(io.BytesIO(data), formats=[format_name]).convert("RGB")


def _register(format_name: str) -> None:
    """Load the plugin that a format needs; Pillow has no other way to find it."""
    if format_name == "JXL":
        importlib.import_module("pillow_jxl")
    elif format_name == "HEIF":
        importlib.import_module("pillow_heif").register_heif_opener()
