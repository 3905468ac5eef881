"""Image files as plain RGB of 8 bits, which training and the benchmark look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import one_line
from .pixels import in_eight_bits
from .reading import to_pixels


def read_rgb(path: Path) -> np.ndarray:
    """Read the pixels of an image as uint8 (H, W, 3), without alpha and metadata.

    Grey of 16 bits is scaled to 8.

    Raises:
        OSError: it cannot be read; the error names it.
    """
    try:
        with Image.open(path) as image:
            if not image.mode.startswith(("I", "F")):
                return np.asarray(image.convert("RGB"))
            # of these Pillow would clip the samples, and show nearly all of them as white
            grey = in_eight_bits(to_pixels(image).samples)[..., :1]
            return np.repeat(grey, 3, axis=2)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = f"cannot be read as an image ({one_line(error)})"
        raise OSError(None, message, str(path)) from error
