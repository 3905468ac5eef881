"""The grid of scales that networks predict: 64 standard deviations, in quantisation steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

SCALES = 64
"""Number of scales; scale i is SCALE_MIN * (SCALE_MAX / SCALE_MIN) ** (i / 63)."""

QUARTERS = 4
"""Networks predict scale indices in quarters."""

SCALE_MIN = 0.1
SCALE_MAX = 256.0

LOG_RATIO = math.log(SCALE_MAX / SCALE_MIN) / (SCALES - 1)
"""Logarithm of a scale over the one before it."""


def scale_of(index: ArrayLike) -> NDArray[np.float64]:
    """Return the standard deviation, in steps, of real scale indices."""
    return SCALE_MIN * np.exp(np.asarray(index, np.float64) * LOG_RATIO)
