"""Image files, Pillow images and arrays in and out: pixels with their metadata. No tensors."""

from .alpha import decode_alpha, encode_alpha, fill_hidden
from .files import format_of, is_image_name, read_image, write_image
from .metadata import METADATA_KEYS, RAW_EXIF, info_of, metadata_from, metadata_of
from .pixels import MODES, Pixels, to_image, to_pixels

__all__ = [
    "METADATA_KEYS",
    "MODES",
    "RAW_EXIF",
    "Pixels",
    "decode_alpha",
    "encode_alpha",
    "fill_hidden",
    "format_of",
    "info_of",
    "is_image_name",
    "metadata_from",
    "metadata_of",
    "read_image",
    "to_image",
    "to_pixels",
    "write_image",
]
