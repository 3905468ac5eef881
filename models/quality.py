"""Quality 0...100 as a point on the rate-distortion curve: lambda, and the step size it implies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

QUALITIES = 101
"""Number of quality levels."""

LMBDA_MIN = 4e-4
LMBDA_MAX = 0.6


def lmbda_of(quality: Tensor) -> Tensor:
    """Return lambda, in bits a pixel against 255^2 MSE (CompressAI's convention), for `quality`.

    Args:
        quality: (B,) in 0...100, real values allowed.
    """
    return LMBDA_MIN * (LMBDA_MAX / LMBDA_MIN) ** (quality.float() / (QUALITIES - 1))


def step_of(quality: Tensor) -> Tensor:
    """Return the step for orthonormal coefficients of pixels in 0...255.

    At high rate a coefficient has D = step^2 / 12 and dR/dD = -1 / (2 ln2 D) bits. The MSE in RGB
    is about the sum of those of Y, Cb and Cr (`dct.RGB_TO_YCBCR`), so a coefficient's share of the
    loss is R + lambda * D, with its minimum at D = 1 / (2 lambda ln2): step^2 = 6 / (lambda ln2).
    """
    return torch.sqrt(6.0 / (lmbda_of(quality) * math.log(2.0)))
