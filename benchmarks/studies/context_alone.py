"""Compares the context alone, decoded without latents, with JPEG files of the same PSNR.

After DCT-VAE (Kuzina and Tomczak 2023), figures 5 and 6.
"""

from __future__ import annotations

import io
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ...codec import api
from ...codec.symbols.stack import Sampling
from ..bjontegaard_delta import Curve
from ..metrics import psnr_rgb
from ..run import read_image
from ..tables import counted_images

JPEG_QUALITIES = (2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40)
SHEET_LEVELS = (0, 1, 2, 4, None)
SHEET_PX = 256


@dataclass(frozen=True)
class Point:
    """A picture of few bits: of the context alone, or of JPEG."""

    image: str
    setting: int
    bpp: float
    psnr_db: float


def report(points: list[Point], paths: list[Path], plotted: Path | None) -> str:
    """Compare the context alone with JPEG: a table, and a plot where one is asked for.

    Args:
        points: of every photograph at every quality.
        paths: the photographs.
        plotted: where the plot goes.
    """
    context = curve_of(points)
    other = curve_of([point for path in paths for point in jpeg(path)])
    if plotted:
        plot(plotted, context, other, len(paths))
    return against_jpeg(settings_of(points), context, other)


def jpeg(path: Path) -> list[Point]:
    """Encode an image as a small JPEG at several qualities."""
    image = read_image(path)
    original, points = np.asarray(image), []
    for quality in JPEG_QUALITIES:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality, optimize=True)
        decoded = np.asarray(Image.open(out).convert("RGB"))
        bpp = 8 * out.tell() / (image.width * image.height)
        points.append(Point(path.name, quality, bpp, psnr_rgb(original, decoded)))
    return points


def settings_of(points: list[Point]) -> list[int]:
    """Return each setting once, in order."""
    return list(dict.fromkeys(point.setting for point in points))


def curve_of(points: list[Point]) -> Curve:
    """Return the mean curve over images."""
    groups = [[p for p in points if p.setting == setting] for setting in settings_of(points)]
    return Curve(
        tuple(statistics.mean(p.bpp for p in group) for group in groups),
        tuple(statistics.mean(p.psnr_db for p in group) for group in groups),
    )


def against_jpeg(qualities: list[int], context: Curve, other: Curve) -> str:
    """Say what JPEG takes for the PSNR of each context, in Markdown.

    Between JPEG's points bits are linear in PSNR. A context beyond them gets `<` or `>` and the
    bits of the nearest.
    """
    by_db = sorted(zip(other.db, other.bpp, strict=True))
    lines = [
        "| quality | PSNR dB | context alone, bpp | JPEG at this PSNR, bpp |",
        "|---|---|---|---|",
    ]
    for quality, bpp, db in zip(qualities, context.bpp, context.db, strict=True):
        beyond = "< " if db < by_db[0][0] else "> " if db > by_db[-1][0] else ""
        jpeg_bpp = float(np.interp(db, [d for d, _ in by_db], [b for _, b in by_db]))
        lines.append(f"| {quality} | {db:.2f} | {bpp:.4f} | {beyond}{jpeg_bpp:.4f} |")
    return "\n".join(lines)


def plot(path: Path, context: Curve, other: Curve, images: int) -> None:
    """Draw the context alone against JPEG (DCT-VAE, figure 5)."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in (("context alone", context), ("JPEG", other)):
        axes.plot(curve.bpp, curve.db, marker=".", label=name)
    title = f"Means over {counted_images(images)}"
    axes.set(xlabel="bits per pixel", ylabel="PSNR, RGB (dB)", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def sheet(path: Path, images: list[Path], quality: int = 30) -> None:
    """Write a sheet of examples (DCT-VAE, figure 6).

    Each row shows the original, then what the context alone and more and more levels of latents
    decode to, then the context with latents drawn from the model.
    """
    lines = []
    for source in images:
        image = read_image(source)
        data = api.encode(image, quality, tune="psnr")
        cells = [np.asarray(image)]
        for levels in SHEET_LEVELS:
            cells.append(np.asarray(api.decode(data, levels=levels).convert("RGB")))
        drawn = api.decode(data, levels=0, sampling=Sampling(temperature=0.7))
        cells.append(np.asarray(drawn.convert("RGB")))
        lines.append(np.concatenate([_corner(cell) for cell in cells], axis=1))
    Image.fromarray(np.concatenate(lines)).save(path)


def _corner(image: np.ndarray) -> np.ndarray:
    """Cut the first corner of an image, `SHEET_PX` a side; what a small one lacks is black."""
    part = image[:SHEET_PX, :SHEET_PX]
    missing = [(0, SHEET_PX - side) for side in part.shape[:2]]
    return np.pad(part, (*missing, (0, 0)))
