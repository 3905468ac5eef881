"""Bjøntegaard deltas between two curves (VCEG-M33), over a stated window."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Window = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A rate–distortion curve; the points may stand in any order.

    Attributes:
        bpp: rates, in bits per pixel.
        db: qualities on a scale that rises, as many as rates: PSNR, MS-SSIM or Butteraugli in
            dB, or SSIMULACRA2, whose units then stand wherever "dB" does.
    """

    bpp: tuple[float, ...]
    db: tuple[float, ...]


@dataclass(frozen=True)
class Delta:
    """One curve against another.

    Attributes:
        rate_percent: BD-rate; negative where fewer bits are needed. NaN without a common range.
        db: BD-PSNR; positive where the same bits give more. NaN without a common range.
        range_db: the qualities over which the rate was averaged.
    """

    rate_percent: float
    db: float
    range_db: Window | None


def delta(anchor: Curve, test: Curve, window_db: Window | None = None) -> Delta:
    """Judge `test` against `anchor`, over what both cover of a window."""
    return Delta(
        bd_rate(anchor, test, window_db),
        bd_psnr(anchor, test, window_db),
        overlap_db(anchor, test, window_db),
    )


def overlap_db(anchor: Curve, test: Curve, window_db: Window | None = None) -> Window | None:
    """Find the quality range that both curves cover, within a window; None where there is none."""
    curves = (_by_quality(anchor), _by_quality(test))
    if any(not curve.db for curve in curves):
        return None
    limits = [(curve.db[0], curve.db[-1]) for curve in curves]
    return _common([*limits, window_db] if window_db else limits)


def bd_rate(anchor: Curve, test: Curve, window_db: Window | None = None) -> float:
    """Average the rate of one curve against another over the range of qualities that both cover.

    Log rate is a monotone piecewise cubic (PCHIP) of quality. The cubics go through all points,
    also those outside the window, which only limits the average.

    Args:
        anchor: the curve to compare with.
        test: the curve to judge.
        window_db: average over no more than this range of qualities.

    Returns:
        Per cent; negative where `test` needs fewer bits. NaN where the curves share no range.
    """
    limits = overlap_db(anchor, test, window_db)
    if limits is None:
        return math.nan
    curves = _interpolators("bd_rate", _by_quality(anchor), _by_quality(test))
    return 100 * (10 ** _mean_difference(curves, limits) - 1)


def bd_psnr(anchor: Curve, test: Curve, window_db: Window | None = None) -> float:
    """Average the quality of one curve against another over the range of rates that both cover.

    As `bd_rate`; a window of qualities stands for the rates at which the anchor has them.

    Returns:
        dB; positive where `test` is better. NaN where the curves share no range.
    """
    if overlap_db(anchor, test, window_db) is None:
        return math.nan
    sorted_anchor, sorted_test = _by_rate(anchor), _by_rate(test)
    limits = [
        (math.log10(curve.bpp[0]), math.log10(curve.bpp[-1]))
        for curve in (sorted_anchor, sorted_test)
    ]
    if window_db:
        by_quality = _by_quality(anchor)
        log_rate, _ = _interpolators("bd_rate", by_quality, by_quality)
        inside = np.clip(window_db, by_quality.db[0], by_quality.db[-1])
        limits.append((float(log_rate(inside[0])), float(log_rate(inside[1]))))
    common = _common(limits)
    if common is None:
        return math.nan
    return _mean_difference(_interpolators("bd_psnr", sorted_anchor, sorted_test), common)


def _interpolators(name: str, anchor: Curve, test: Curve) -> tuple[Any, Any]:
    """Return the library's cubics: log10 rate of quality, or quality of log10 rate."""
    import bjontegaard

    function: Callable[..., Any] = getattr(bjontegaard, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the range is reported beside the result
        _, anchor_curve, test_curve = function(
            *(np.array(values) for values in (anchor.bpp, anchor.db, test.bpp, test.db)),
            method="pchip",
            require_matching_points=False,
            interpolators=True,
            min_overlap=0,
        )
    return anchor_curve, test_curve


def _mean_difference(curves: tuple[Any, Any], limits: Window) -> float:
    anchor, test = curves
    return float(test.integrate(*limits) - anchor.integrate(*limits)) / (limits[1] - limits[0])


def _common(ranges: list[Window]) -> Window | None:
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return (low, high) if low < high else None


def _by_quality(curve: Curve) -> Curve:
    """Sort by quality; of equal ones keep the cheapest; drop what is lossless or missing."""
    best: dict[float, float] = {}
    for rate, db in zip(curve.bpp, curve.db, strict=True):
        if math.isfinite(db):
            best[db] = min(rate, best.get(db, math.inf))
    qualities = tuple(sorted(best))
    return Curve(tuple(best[db] for db in qualities), qualities)


def _by_rate(curve: Curve) -> Curve:
    """Sort by rate; of equal ones keep the best; drop what is lossless or missing."""
    best: dict[float, float] = {}
    for rate, db in zip(curve.bpp, curve.db, strict=True):
        if math.isfinite(db):
            best[rate] = max(db, best.get(rate, -math.inf))
    rates = tuple(sorted(best))
    return Curve(rates, tuple(best[rate] for rate in rates))
