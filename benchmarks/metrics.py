"""What is measured: bits per pixel, PSNR, and the Bjøntegaard delta rate between two curves."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """A rate–distortion curve; the points may stand in any order.

    Attributes:
        bpp: rates, in bits per pixel.
        psnr_db: qualities, in dB, as many as rates.
    """

    bpp: tuple[float, ...]
    psnr_db: tuple[float, ...]


def bits_per_pixel(file_bytes: int, width: int, height: int) -> float:
    """Divide the bits of a file by the pixels of its image."""
    return 8 * file_bytes / (width * height)


def psnr_rgb(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """Measure the PSNR over all samples of an RGB image together, in dB.

    Args:
        original: (H, W, 3), uint8.
        decoded: (H, W, 3), uint8.

    Returns:
        Infinity for equal images.

    Raises:
        ValueError: the shapes differ.
    """
    if original.shape != decoded.shape:
        raise ValueError(f"shapes differ: {original.shape} and {decoded.shape}")
    error = original.astype(np.float64) - decoded.astype(np.float64)
    mse = float(np.mean(error**2))
    return 10 * math.log10(255**2 / mse) if mse > 0 else math.inf


def overlap_db(
    anchor: Curve, test: Curve, window_db: tuple[float, float] | None = None
) -> tuple[float, float] | None:
    """Find the PSNR range that both curves cover, within a window; None where there is none."""
    curves = (_clean(anchor), _clean(test))
    if any(not curve.psnr_db for curve in curves):
        return None
    limits = [(curve.psnr_db[0], curve.psnr_db[-1]) for curve in curves]
    if window_db:
        limits.append(window_db)
    low, high = max(limit[0] for limit in limits), min(limit[1] for limit in limits)
    return (low, high) if low < high else None


def bd_rate(anchor: Curve, test: Curve, window_db: tuple[float, float] | None = None) -> float:
    """Average the rate of one curve against another over the PSNR range that both cover.

    Bjøntegaard 2001 (VCEG-M33), with log rate as a monotone piecewise cubic (PCHIP) of PSNR. The
    cubics go through all points, also those outside the window, which only limits the average.

    Args:
        anchor: the curve to compare with.
        test: the curve to judge.
        window_db: average over no more than this range of PSNR.

    Returns:
        Per cent; negative where `test` needs fewer bits. NaN where the curves share no range.
    """
    import bjontegaard

    limits = overlap_db(anchor, test, window_db)
    if limits is None:
        return math.nan
    anchor, test = _clean(anchor), _clean(test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the range is reported beside the result
        _, anchor_log_rate, test_log_rate = bjontegaard.bd_rate(  # pyright: ignore
            np.array(anchor.bpp),
            np.array(anchor.psnr_db),
            np.array(test.bpp),
            np.array(test.psnr_db),
            method="pchip",
            require_matching_points=False,
            interpolators=True,
            min_overlap=0,
        )
    area = test_log_rate.integrate(*limits) - anchor_log_rate.integrate(*limits)
    return 100 * (10 ** (area / (limits[1] - limits[0])) - 1)


def _clean(curve: Curve) -> Curve:
    """Sort by PSNR; of equal PSNRs keep the cheapest; drop lossless points."""
    best: dict[float, float] = {}
    for rate, psnr in zip(curve.bpp, curve.psnr_db, strict=True):
        if math.isfinite(psnr):
            best[psnr] = min(rate, best.get(psnr, math.inf))
    psnrs = tuple(sorted(best))
    return Curve(tuple(best[psnr] for psnr in psnrs), psnrs)
