"""The quality of tiles as networks take it: one for all of it, or one a patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PATCH, LATENT, FINE = 1, 4, 8
"""Positions a side of a patch at strides 32, 8 and 4, where layers are conditioned."""


@dataclass(frozen=True, eq=False)
class PatchQualities:
    """A quality a patch.

    Attributes:
        base: the file's, which chooses the latent model.
        patches: (B, h, w) integers in 0...100, of each tile.
    """

    base: int
    patches: NDArray[np.int64]


Quality = int | PatchQualities


def base_of(quality: Quality) -> int:
    """Return the quality that chooses the latent model."""
    return quality.base if isinstance(quality, PatchQualities) else quality


def positions_of(quality: Quality, a_side: int) -> NDArray[np.int64]:
    """Return the quality of each position, so many a side of a patch.

    Returns:
        (B, 1, h a_side, w a_side), or (1, 1, 1, 1) where there is but one.
    """
    if isinstance(quality, PatchQualities):
        return quality.patches[:, None].repeat(a_side, axis=2).repeat(a_side, axis=3)
    return np.full((1, 1, 1, 1), quality, np.int64)
