"""The colour space that is coded: full-range BT.601 (JPEG), each plane about zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rows are Y, Cb, Cr. Errors of one unit in each weigh about the same in RGB (1.00, 1.09, 0.82), so
# a squared error in YCbCr stands for one in RGB.
RGB_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
YCBCR_TO_RGB = np.linalg.inv(RGB_TO_YCBCR)


def to_rgb(ycbcr: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return RGB in 0...255, not clamped, of YCbCr about zero: (3, H, W) float32."""
    rgb = np.tensordot(YCBCR_TO_RGB.astype(np.float32), ycbcr, axes=1)
    return rgb + np.float32(128)
