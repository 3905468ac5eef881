"""What users call, in one place."""

from .decode import (
    Decoded,
    EncodedImage,
    decode,
    decode_parts,
    decode_with,
    open,
    quality_map,
    sample,
    verify,
)
from .encode import encode, encode_with
from .images import ImageSource
from .info import inspect

__all__ = [
    "Decoded",
    "EncodedImage",
    "ImageSource",
    "decode",
    "decode_parts",
    "decode_with",
    "encode",
    "encode_with",
    "inspect",
    "open",
    "quality_map",
    "sample",
    "verify",
]
