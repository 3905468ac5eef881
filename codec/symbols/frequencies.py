"""The DCT coefficients that are coded, and their order: coarse frequencies first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..config import LATENT_STRIDE, ModelConfig

Coefficient = tuple[int, int, int]
"""Plane (0 is luma), row frequency, column frequency."""

_CHROMA_FACTOR = 1.4142
"""Chroma frequencies count as that much higher, because the eye and the bits say so."""


def context_order(config: ModelConfig) -> list[Coefficient]:
    """Return the 32x32 DCT coefficients of the context channels, coarse to fine."""
    sides = (config.luma_context, config.chroma_context, config.chroma_context)
    kept = [(p, i, j) for p, d in enumerate(sides) for i in range(d) for j in range(d)]
    return sorted(kept, key=lambda c: (_square(c), c))


def latent_order(channels: int) -> list[Coefficient]:
    """Return the first `channels` 8x8 DCT coefficients by frequency: 61 of 140 are luma's."""
    side = range(LATENT_STRIDE)
    every = [(p, i, j) for p in range(3) for i in side for j in side]
    every.sort(key=lambda c: (_square(c) * (_CHROMA_FACTOR**2 if c[0] else 1), c))
    return every[:channels]


def _square(coefficient: Coefficient) -> int:
    """Return that of a frequency; roots of equal squares may be rounded differently."""
    return coefficient[1] ** 2 + coefficient[2] ** 2


def context_gain(config: ModelConfig) -> list[float]:
    """Return the factor of each context coefficient's step: 1 for the means, 1.25 for the rest.

    An error of a mean shows in a whole patch. Of the other coefficients, the latents correct what
    matters.
    """
    return [1.0 if i == j == 0 else 1.25 for _, i, j in context_order(config)]


def dct_matrix(size: int) -> NDArray[np.float32]:
    """Return the orthonormal type-II DCT as a (frequency, sample) matrix."""
    n = np.arange(size)
    matrix = np.cos(math.pi / size * (n[None, :] + 0.5) * n[:, None])
    matrix[0] *= math.sqrt(0.5)
    return (matrix * math.sqrt(2.0 / size)).astype(np.float32)
