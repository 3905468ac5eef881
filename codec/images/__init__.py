"""Image files, Pillow images and arrays in and out: pixels with their metadata. No tensors."""

from .alpha import decode_alpha, encode_alpha
from .files import format_of, is_image_name, read_image, write_image
from .fill import continue_edges, fill_hidden
from .lossless import decode_lossless, encode_lossless
from .metadata import METADATA_KEYS, RAW_EXIF, info_of, metadata_from, metadata_of
from .pixels import MODES, Pixels, to_image, to_pixels

__all__ = [
    "METADATA_KEYS",
    "MODES",
    "RAW_EXIF",
    "Pixels",
    "continue_edges",
    "decode_alpha",
    "decode_lossless",
    "encode_alpha",
    "encode_lossless",
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
