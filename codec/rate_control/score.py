"""SSIMULACRA2, the score that people judge codecs by, of the maps of the package of that name.

The scales and the blur are here: the package (0.3) leaves the last scale of small pictures out and
mirrors them at two of their borders, where the reference in libjxl does neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import MetricMissing

SCALES = 6
SMALLEST_PX = 8
"""Of a side of what is halved once more."""

_SIGMA, _REACH = 1.5, 5


def check_metric() -> None:
    """Refuse to go on without the metric's package.

    Raises:
        MetricMissing: it is not installed.
    """
    try:
        import ssimulacra2  # noqa: F401
    except ModuleNotFoundError as error:
        raise MetricMissing(
            "SSIMULACRA2 needs a package that is not installed: pip install 'hvae-codec[metric]'"
        ) from error


def ssimulacra2(original: Image.Image, decoded: Image.Image) -> float:
    """Return the score of two pictures as they look on grey: 100 is equal, 90 hardly told apart.

    Args:
        original: the one; with a side below `SMALLEST_PX` every score is 100.
        decoded: the other, of its size.

    Raises:
        MetricMissing: the metric's package is not installed.
    """
    check_metric()
    from ssimulacra2 import ssimulacra2 as parts

    pair = [parts.srgb_to_linear(_on_grey(image)) for image in (original, decoded)]
    found = parts.Msssim()
    for scale in range(SCALES):
        if min(pair[0].shape[:2]) < SMALLEST_PX:
            break
        if scale:
            pair = [parts.downsample(image, 2, 2) for image in pair]
        found.scales.append(_at_scale(parts, pair))
    return float(found.score())


def _at_scale(parts: Any, pair: list[NDArray[np.float64]]) -> Any:  # noqa: ANN401
    """Return the means of the error maps of two linear pictures (h, w, 3)."""
    one, other = (parts.make_positive_xyb(parts.linear_rgb_to_xyb(image)) for image in pair)
    means = _blurred(one), _blurred(other)
    squares = (_blurred(product) for product in (one * one, other * other, one * other))
    found = parts.MsssimScale()
    found.avg_ssim = parts.ssim_map(*means, *squares)
    found.avg_edgediff = parts.edge_diff_map(one, means[0], other, means[1])
    return found


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur an image; beyond its borders are zeros."""
    from scipy import ndimage

    return ndimage.gaussian_filter(image, (_SIGMA, _SIGMA, 0), mode="constant", radius=_REACH)


def _on_grey(image: Image.Image) -> NDArray[np.float64]:
    if "A" in image.getbands():
        shown = image.convert("RGBA")
        grey = Image.new("RGBA", image.size, (128, 128, 128, 255))
        image = Image.alpha_composite(grey, shown)
    return np.asarray(image.convert("RGB"), np.float64)
