"""Image files, Pillow images and arrays in and out: pixels with their metadata. No tensors."""

from .alpha import decode_alpha, encode_alpha
from .files import format_of, is_image_name, read_image
from .fill import continue_edges, fill_hidden
from .lossless import decode_lossless, encode_lossless, least_lossless_bytes
from .masks import GreySource, grey_picture
from .merging import merge_colors
from .metadata import METADATA_KEYS, UPRIGHT, exif_orientation, info_of, metadata_from
from .pages import RAW_PHOTOGRAPH, is_raw_name
from .pixels import MODES, Pixels, in_eight_bits, to_image, to_pixels
from .previews import without_previews
from .rgb import read_rgb
from .span import squeezed, stretched, stretched_as
from .writing import HAVE_QUALITY, Style, Written, write_image

__all__ = [
    "HAVE_QUALITY",
    "METADATA_KEYS",
    "MODES",
    "RAW_PHOTOGRAPH",
    "UPRIGHT",
    "GreySource",
    "Pixels",
    "Style",
    "Written",
    "continue_edges",
    "decode_alpha",
    "decode_lossless",
    "encode_alpha",
    "encode_lossless",
    "exif_orientation",
    "fill_hidden",
    "format_of",
    "grey_picture",
    "in_eight_bits",
    "info_of",
    "is_image_name",
    "is_raw_name",
    "least_lossless_bytes",
    "merge_colors",
    "metadata_from",
    "read_image",
    "read_rgb",
    "squeezed",
    "stretched",
    "stretched_as",
    "to_image",
    "to_pixels",
    "without_previews",
    "write_image",
]
