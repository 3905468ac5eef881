"""How many pixels a file may ask for: as many as Pillow allows, which does not read every file."""

from __future__ import annotations

from PIL import Image


def check_size(width: int, height: int) -> None:
    """Refuse a picture, before it is unpacked, that Pillow would take for a bomb.

    Raises:
        DecompressionBombError: it has more than twice `Image.MAX_IMAGE_PIXELS`.
    """
    limit = 2 * (Image.MAX_IMAGE_PIXELS or width * height)
    if width * height > limit:
        raise Image.DecompressionBombError(
            f"Image size ({width * height} pixels) exceeds limit of {limit} pixels"
        )
