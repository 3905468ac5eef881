"""Image files, Pillow images and arrays in and out: pixels with their metadata. No tensors."""

from .exif import exif_orientation
from .files import format_of, is_image_name, read_image
from .masks import grey_picture
from .metadata import METADATA_KEYS, UPRIGHT, info_of, metadata_from
from .pages import RAW_PHOTOGRAPH, choose_page, is_raw_name
from .pixels import MODES, Pixels, in_eight_bits, to_image
from .previews import without_previews
from .reading import to_pixels
from .rgb import read_rgb
from .signatures import suffix_of
from .sources import ImageSource, pixels_of
from .span import squeezed, stretched, stretched_as
from .writing import HAVE_QUALITY, Style, Written, write_image

__all__ = [
    "HAVE_QUALITY",
    "METADATA_KEYS",
    "MODES",
    "RAW_PHOTOGRAPH",
    "UPRIGHT",
    "ImageSource",
    "Pixels",
    "Style",
    "Written",
    "choose_page",
    "exif_orientation",
    "format_of",
    "grey_picture",
    "in_eight_bits",
    "info_of",
    "is_image_name",
    "is_raw_name",
    "metadata_from",
    "pixels_of",
    "read_image",
    "read_rgb",
    "squeezed",
    "stretched",
    "stretched_as",
    "suffix_of",
    "to_image",
    "to_pixels",
    "without_previews",
    "write_image",
]
