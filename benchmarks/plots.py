"""Draws rate against distortion, and speed against BD-rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .bjontegaard_delta import Curve
from .codecs import OURS, OURS_EYE, PROGRAM
from .summary import CodecSummary, Comparison, Summary
from .tables import counted_images, label

TITLES = {
    "rd_psnr": "rate and PSNR",
    "rd_ms_ssim": "rate and MS-SSIM",
    "rd_ssimulacra2": "rate and SSIMULACRA2",
    "speed": "speed and BD-rate",
}
"""What each file shows; it is written as PNG and as SVG."""

# Of some thirty published curves a plot holds these; the tables have all.
_DRAWN = {"bpg-444", "vtm-9.1", "bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor",
          "elic2022", "qarv-base"}  # fmt: skip
_COLOURS = matplotlib.color_sequences["tab10"] + matplotlib.color_sequences["Dark2"]


def draw(summary: Summary, out: Path) -> None:
    """Write all plots into a folder; those without data are left out, and old ones removed."""
    figures = {
        "rd_psnr": _rate_distortion(summary, lambda row: row.psnr_curve, "PSNR, RGB (dB)"),
        "rd_ms_ssim": _rate_distortion(
            summary, lambda row: row.ms_ssim_curve, "MS-SSIM, -10 log10(1 - x) (dB)"
        ),
        "rd_ssimulacra2": _rate_distortion(
            summary, lambda row: row.ssimulacra2_curve, "SSIMULACRA2"
        ),
        "speed": _speed(summary),
    }
    # without these, the same figures would be other bytes every time
    with matplotlib.rc_context({"svg.hashsalt": PROGRAM}):
        for name, figure in figures.items():
            for suffix, metadata in ((".png", {}), (".svg", {"Date": None})):
                path = (out / name).with_suffix(suffix)
                if figure:
                    figure.savefig(path, dpi=150, metadata=metadata)
                else:
                    path.unlink(missing_ok=True)


def _rate_distortion(
    summary: Summary, curve_of: Callable[[Comparison], Curve | None], title: str
) -> Figure | None:
    figure, axes = _axes(7, 5)
    curves = [
        (row, colour, finite)
        for row, colour in _drawn(summary)
        if (curve := curve_of(row)) and (finite := _finite(curve)).db
    ]
    if not curves:
        return None
    for row, colour, curve in curves:
        _plot(axes, row, colour, curve)
    # JPEG's largest files are twice ours, and would push all else into a corner.
    widest = 1.1 * max(
        (max(curve.bpp) for row, _, curve in curves if row.codec == OURS),
        default=max(max(curve.bpp) for *_, curve in curves),
    )
    shown = [
        db
        for *_, curve in curves
        for rate, db in zip(curve.bpp, curve.db, strict=True)
        if rate <= widest
    ]
    axes.set_xlim(0, widest)
    axes.set_ylim(min(shown) - 0.5, max(shown) + 0.5)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(title)
    axes.set_title(f"Means over {counted_images(summary.images)}")
    axes.legend(loc="lower right", fontsize="small", ncols=2)
    return figure


def _plot(axes: Axes, row: Comparison, colour: object, curve: Curve) -> None:
    own = row.codec in (OURS, OURS_EYE)
    axes.plot(
        *zip(*sorted(zip(curve.bpp, curve.db, strict=True)), strict=True),
        ":" if row.published else "-",
        label=label(row.codec, row.published),
        marker=None if row.published else ".",
        linewidth=2.4 if own else 1.2,
        color=colour,
        zorder=3 if own else 2,
    )


def _speed(summary: Summary) -> Figure | None:
    """Plot rate against coding time. Times of published models are measured with random weights."""
    colours = {row.codec: (row, colour) for row, colour in _drawn(summary, everything=True)}
    timed = [
        (codec, *colours[codec.name])
        for codec in summary.codecs
        if not math.isnan(codec.seconds.encode_mps)
        and codec.name in colours
        and not math.isnan(colours[codec.name][0].against_anchor.rate_percent)
    ]
    if not timed:
        return None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, call in zip(panels, ("encode", "decode"), strict=True):
        for codec, row, colour in timed:
            _speed_point(axes, codec, row, colour, getattr(codec.seconds, f"{call}_mps"))
        axes.set_xscale("log")
        axes.margins(0.2)
        axes.set_xlabel(f"{call}: megapixels a second")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"BD-rate to {summary.anchor} (%)")
    panels[0].invert_yaxis()
    figure.suptitle("Up and to the right is better; hollow: published curve, times measured here")
    return figure


def _speed_point(
    axes: Axes, codec: CodecSummary, row: Comparison, colour: object, speed: float
) -> None:
    percent = row.against_anchor.rate_percent
    axes.plot(speed, percent, "o", color=colour, fillstyle="none" if row.published else "full")
    axes.annotate(
        codec.name,
        (speed, percent),
        xytext=(5, 4),
        textcoords="offset points",
        fontsize="small",
        fontweight="bold" if codec.name in (OURS, OURS_EYE) else "normal",
    )


def _drawn(summary: Summary, *, everything: bool = False) -> list[tuple[Comparison, object]]:
    """Choose the curves to draw, each with the colour that it has in all plots."""
    rows = [
        row for row in summary.comparisons if everything or not row.published or row.codec in _DRAWN
    ]
    others = (row.codec for row in summary.comparisons if row.codec != OURS)
    numbers = {name: number for number, name in enumerate(others)}
    return [
        (row, "black" if row.codec == OURS else _COLOURS[numbers[row.codec] % len(_COLOURS)])
        for row in rows
    ]


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _finite(curve: Curve) -> Curve:
    points = [p for p in zip(curve.bpp, curve.db, strict=True) if math.isfinite(p[1])]
    return Curve(tuple(bpp for bpp, _ in points), tuple(db for _, db in points))
