"""Quality 0...100 as a point on the rate-distortion curve: lambda, and the step size it implies.

The functions take a number, a NumPy array or a torch tensor and return the same kind.
"""

from __future__ import annotations

import math
from typing import Any

MAX_QUALITY = 100

QUALITIES = MAX_QUALITY + 1
"""Number of quality levels."""

CURVATURE = 6 / math.log(2)
"""Bits that a symbol a step away costs by the curvature of the distortion, for an orthonormal
transform (`step_of`)."""

LMBDA_MIN = 4e-4
LMBDA_MAX = 0.6


def lmbda_of(quality: Any) -> Any:  # noqa: ANN401
    """Return lambda in bits a pixel against 255^2 MSE (CompressAI's convention).

    Args:
        quality: in 0...100; real values are allowed.
    """
    return LMBDA_MIN * (LMBDA_MAX / LMBDA_MIN) ** (quality / MAX_QUALITY)


def psnr_db(mse: float, largest: float = 255) -> float:
    """Return the PSNR of a mean squared error in dB; infinity where there is none.

    Args:
        mse: of samples in 0...largest.
        largest: that a sample can be.
    """
    return 10 * math.log10(largest**2 / mse) if mse > 0 else math.inf


def mse_of(psnr_db: float) -> float:
    """Return the mean squared error of a PSNR, in 8-bit levels."""
    return 255**2 / 10 ** (psnr_db / 10)


def step_of(quality: Any) -> Any:  # noqa: ANN401
    """Return the quantisation step for orthonormal coefficients of pixels in 0...255.

    At high rate a coefficient has D = step^2 / 12 and dR/dD = -1 / (2 ln2 D) bits. The MSE in RGB
    is about the sum of those of Y, Cb and Cr. So a coefficient's share of the loss is
    R + lambda * D, with its minimum at D = 1 / (2 lambda ln2): step^2 = 6 / (lambda ln2).

    Args:
        quality: in 0...100; real values are allowed.
    """
    return (6.0 / (lmbda_of(quality) * math.log(2.0))) ** 0.5
