"""The picture at 1/8, 1/16 or 1/32 of its size, from the context alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..color import to_rgb
from ..config import PATCH_PX
from ..quality.curve import step_of
from ..quality.qualities import PATCH, positions_of
from ..symbols.frequencies import context_gain, context_order, dct_matrix
from .conditions import CodingConditions
from .tiling import Window


def context_thumbnail(
    context: NDArray[np.float32], conditions: CodingConditions, window: Window, side: int
) -> NDArray[np.float32]:
    """Return the image of a context by an inverse DCT of its lowest frequencies.

    Args:
        context: (C, h, w) integers.
        conditions: of the file.
        window: of the context.
        side: of a patch in px, 1, 2 or 4.

    Returns:
        (3, side h, side w) RGB in 0...255, not clamped.
    """
    config = conditions.config
    steps = step_of(positions_of(conditions.at([window]), PATCH)[0, 0])
    gains = np.array(context_gain(config), np.float32)
    _, height, width = context.shape
    low = np.zeros((3, side, side, height, width), np.float32)
    for channel, (plane, i, j) in enumerate(context_order(config)):
        if max(i, j) < side:
            low[plane, i, j] = context[channel] * steps * gains[channel]
    matrix = dct_matrix(side) * (side / PATCH_PX) ** 0.5  # a mean stays a mean
    pixels = np.einsum("ui,puvyx,vj->pyixj", matrix, low, matrix, optimize=True)
    return to_rgb(pixels.reshape(3, side * height, side * width).astype(np.float32))
