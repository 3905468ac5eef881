"""Pictures in grey that say something of another picture, patch by patch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .pixels import in_eight_bits
from .sources import ImageSource, pixels_of


def grey_picture(source: ImageSource) -> Image.Image:
    """Return the luma of a picture, upright, in 8 bits and without alpha: mode L.

    Args:
        source: the picture.

    Raises:
        OSError: the file cannot be read.
        ImageError: the picture is of a kind that is not supported.
    """
    pixels = pixels_of(source, strip=True)
    samples = in_eight_bits(pixels.samples)
    colour = samples[..., 0] if pixels.color.is_grey else samples[..., :3]
    return Image.fromarray(np.ascontiguousarray(colour)).convert("L")
