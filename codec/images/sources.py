"""Images as callers have them: Pillow's, arrays, and image files."""

from __future__ import annotations

import os
from typing import IO, Any, cast

from numpy.typing import NDArray
from PIL import Image

from ..sources import read_all
from .files import read_image
from .pixels import Pixels
from .reading import to_pixels

ImageSource = (
    Image.Image
    | NDArray[Any]
    | str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Pixels
)
"""An image or an array; an image file, as its path, its bytes or itself open; or pixels."""


def pixels_of(source: ImageSource, *, strip: bool = False, page: int | None = None) -> Pixels:
    """Read the pixels and the metadata of an image.

    Args:
        source: the image; pixels are returned as they are. A file that is open is read from where
            it stands to its end.
        strip: as in `to_pixels`.
        page: as in `to_pixels`.

    Raises:
        OSError: an image file cannot be read.
        ImageError: the image is of a kind that cannot be coded.
        ArgumentError: an open file is closed, or open as text.

    Warns:
        LeftOut: as `to_pixels`.
    """
    if isinstance(source, Pixels):
        return source
    if hasattr(source, "read"):
        source = read_all(cast(IO[bytes], source))
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if isinstance(source, str | os.PathLike | bytes):
        with read_image(source) as image:
            return to_pixels(image, strip=strip, page=page)
    return to_pixels(cast(Image.Image, source), strip=strip, page=page)  # or it refuses
