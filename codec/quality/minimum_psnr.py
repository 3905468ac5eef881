"""The PSNR that a picture has at least at a quality, from what photographs have.

Photographs: means over 41 of 512x512 pixels, the validation part of CID22, with the shipped
weights. A picture that networks would code with less PSNR is coded exactly.
"""

from __future__ import annotations

import numpy as np

from .curve import mse_of

_QUALITIES = (0, 10, 25, 40, 55, 70, 85, 100)
_PSNR_DB = (26.0, 27.7, 30.2, 33.0, 35.8, 38.9, 41.8, 44.3)
_BPP = (0.14, 0.17, 0.25, 0.41, 0.65, 1.06, 1.60, 2.36)

_MARGIN_DB = 3.0
"""How far below photographs any picture may fall."""

_EYE_LESS_DB = 2.0
"""How much less photographs have by the weights for the eye: on Kodak 0.7 to 1.8 dB."""

_SPREAD_DB = 5.0
"""How far below the mean the photograph lies that is hardest to code, at every quality."""


def typical_bpp(quality: float) -> float:
    """Return the mean bits a pixel that photographs take at a quality."""
    return float(np.interp(quality, _QUALITIES, _BPP))


def minimum_graphics_psnr_db(quality: float, tune: str) -> float:
    """Return the PSNR that graphics have at least: the mean of photographs, less 3 dB."""
    less = _MARGIN_DB + (_EYE_LESS_DB if tune == "eye" else 0)
    return float(np.interp(quality, _QUALITIES, _PSNR_DB)) - less


def minimum_psnr_db(quality: float, tune: str) -> float:
    """Return the PSNR that every picture has at least: of the hardest photograph, less 3 dB."""
    return minimum_graphics_psnr_db(quality, tune) - _SPREAD_DB


def merging_mse(quality: float) -> float:
    """Return the squared error of a pixel up to which exact patches may share colours.

    It is that of the minimum PSNR of graphics. From 90 on it is 0. It is never above 16 squared:
    outlines that move further get halos.
    """
    return 0.0 if quality >= 90 else min(mse_of(minimum_graphics_psnr_db(quality, "psnr")), 16.0**2)
