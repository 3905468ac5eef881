"""Pictures in grey that say something of another picture, patch by patch."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from .files import read_image
from .pixels import in_eight_bits
from .reading import to_pixels

GreySource = Image.Image | np.ndarray | str | os.PathLike[str]


def grey_picture(source: GreySource) -> Image.Image:
    """Return the luma of a picture, upright, in 8 bits and without alpha: mode L.

    Args:
        source: an image, an array as `to_pixels` takes it, or a path.

    Raises:
        OSError: the file cannot be read.
        ImageError: the picture is of a kind that is not supported.
    """
    if isinstance(source, str | os.PathLike):
        with read_image(source) as image:
            return grey_picture(image)
    pixels = to_pixels(source, strip=True)
    samples = in_eight_bits(pixels.samples)
    colour = samples[..., 0] if pixels.color.is_grey else samples[..., :3]
    return Image.fromarray(np.ascontiguousarray(colour)).convert("L")
