"""The papers' figures, drawn again of what was measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from .jobs import Table
from .rules import Results
from .store import Sheets

Result = dict[str, Any]
Draw = Callable[[Results], Figure | None]
Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Lines by name: where their points lie, and how high."""


def new(width: float = 6.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return an empty figure that no window shows."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def lines(series: Series, x: str, y: str, marker: str = "") -> Figure | None:
    """Draw lines over axes with labels; nothing where there is no line."""
    if not series:
        return None
    figure, axes = new()
    for name, (places, values) in series.items():
        axes.plot(places, values, label=name, marker=marker, linewidth=1.2)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(fontsize="small", ncols=1 + len(series) // 8)
    return figure


def firsts(results: Results, key: str) -> dict[str, Any]:
    """Return a number or list of the first seed of each job that has it."""
    return {job: runs[0][key] for job, runs in results.items() if runs and runs[0].get(key)}


def by_number(results: Results, pattern: str, key: str) -> Series:
    """Gather the mean of a key by the number in a job's name; a line for each of its other parts.

    Args:
        results: of a table.
        pattern: of the names, with a group `number`; the other groups name the line.
        key: of the measured number.
    """
    found: dict[str, dict[float, float]] = {}
    for job, runs in results.items():
        match = re.fullmatch(pattern, job)
        values = [r[key] for r in runs if r.get(key) is not None]
        if match and values:
            parts = match.groupdict()
            number = float(parts.pop("number"))
            found.setdefault(" ".join(parts.values()), {})[number] = float(np.mean(values))
    return {name: (sorted(p), [p[n] for n in sorted(p)]) for name, p in found.items()}


def kl_distribution(results: Results) -> Figure | None:
    """Share of units below a KL (DCT-VAE, fig. 1)."""
    series = {
        job: (np.maximum(kl, 1e-6).tolist(), np.linspace(0, 1, len(kl)).tolist())
        for job, kl in firsts(results, "unit_kl").items()
    }
    figure = lines(series, "KL of a unit (nats)", "share of units below")
    if figure:
        figure.axes[0].set_xscale("log")
    return figure


def context_sizes(results: Results) -> Figure | None:
    """The bound against the side of the context (DCT-VAE, fig. 3)."""
    series = by_number(results, r"(?P<kind>dct|downsample) (?P<number>\d+)", "elbo")
    figure = lines(series, "side of the context", "bound (nats)", marker=".")
    none = [r["elbo"] for r in results.get("none", ())]
    if figure and none:
        level = float(np.mean(none))
        figure.axes[0].axhline(level, linestyle="--", color="tab:gray", label="none")
        figure.axes[0].legend(fontsize="small")
    return figure


def ablation(results: Results) -> Figure | None:
    """The bound against kind, side and prior of the pseudo-inputs (DVP-VAE, fig. 5)."""
    series = by_number(results, r"(?P<kind>\w+) (?P<number>\d+) (?P<prior>\w+)", "elbo")
    return lines(series, "side of the pseudo-input", "bound (nats)", marker=".")


def phase(results: Results) -> Figure | None:
    """KL of the top layer against rho (OU-VAE, fig. 1)."""
    series = by_number(results, r"(?P<data>\w+) rho (?P<number>[\d.]+)", "top_kl")
    return lines(series, "rho", "KL of the top layer (nats)", marker=".")


def grid(results: Results) -> Figure | None:
    """Share of active units against depth and width (OU-VAE, fig. 3)."""
    cells = {job: runs[0]["active_share"] for job, runs in results.items() if runs and "x" in job}
    if not cells:
        return None
    shapes = [job.split()[1].split("x") for job in cells]
    depths, widths = (sorted({int(s[i]) for s in shapes}) for i in (0, 1))
    figure = Figure(figsize=(8, 3), layout="constrained")
    for place, kind in enumerate(("VAE", "OU"), start=1):
        axes = figure.add_subplot(1, 2, place)
        share = [[cells.get(f"{kind} {d}x{w}", np.nan) for w in widths] for d in depths]
        axes.imshow(share, vmin=0, vmax=1, cmap="viridis")
        axes.set_xticks(range(len(widths)), [str(w) for w in widths])
        axes.set_yticks(range(len(depths)), [str(d) for d in depths])
        axes.set_xlabel("width")
        axes.set_ylabel("depth")
        axes.set_title(f"{kind}: share of active units")
        for (row, column), value in np.ndenumerate(np.array(share)):
            axes.text(column, row, f"{value:.0%}", ha="center", va="center", color="w")
    return figure


def top_kl_curves(results: Results) -> Figure | None:
    """KL of the top layer while training (OU-VAE, fig. 2)."""
    return lines(_histories(results, 3), "step", "KL of the top layer (nats)")


def gradients(results: Results) -> Figure | None:
    """Norm of the gradient while training (DVP-VAE, fig. 7)."""
    figure = lines(_histories(results, 2), "step", "norm of the gradient")
    if figure:
        figure.axes[0].set_yscale("log")
    return figure


def _histories(results: Results, column: int) -> Series:
    return {
        job: ([row[0] for row in history], [row[column] for row in history])
        for job, history in firsts(results, "history").items()
    }


def similarity(results: Results) -> Figure | None:
    """MS-SSIM against the number of layers (DCT-VAE, fig. 4)."""
    series = {
        job: (range(1, len(values) + 1), values)
        for job, values in firsts(results, "ms_ssim").items()
    }
    return lines(series, "layers from the top, the context being the first", "MS-SSIM", marker=".")


def rate_distortion(results: Results) -> Figure | None:
    """Bits a pixel and PSNR of every photograph (DCT-VAE, fig. 5)."""
    measured = firsts(results, "points")
    if not measured:
        return None
    figure, axes = new()
    for job, points in measured.items():
        bpp, psnr, jpeg = np.array(points, float).T  # None becomes NaN, which is not drawn
        axes.scatter(bpp, psnr, label=job, s=12)
        axes.scatter(jpeg, psnr, label=f"JPEG at the PSNR of {job}", s=12, marker="x")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR (dB)")
    axes.legend(fontsize="small")
    return figure


FIGURES: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        kl_distribution,
        context_sizes,
        ablation,
        phase,
        grid,
        top_kl_curves,
        gradients,
        similarity,
        rate_distortion,
    )
}


def sheet(pictures: np.ndarray) -> Image.Image:
    """Lay pictures, uint8 (rows, columns, H, W[, 3]), out in a grid, at twice their size."""
    rows, columns, h, w = pictures.shape[:4]
    padded = np.full((rows, columns, h + 2, w + 2, *pictures.shape[4:]), 255, np.uint8)
    padded[:, :, 1:-1, 1:-1] = pictures
    joined = padded.swapaxes(1, 2).reshape(rows * (h + 2), columns * (w + 2), *padded.shape[4:])
    return Image.fromarray(joined.repeat(2, axis=0).repeat(2, axis=1))


def draw(
    table: Table, results: Results, sheets: Callable[[Result], Sheets], out: Path
) -> Sequence[str]:
    """Write the figures of a table as PNG and SVG, its sheets as PNG.

    Returns:
        Their names without the suffix.
    """
    stem = table.name.replace("/", "-")
    figures: dict[str, Figure | None] = {
        f"{stem}-{name}": FIGURES[name](results) for name in table.figures if name in FIGURES
    }
    out.mkdir(parents=True, exist_ok=True)
    drawn = {name: figure for name, figure in figures.items() if figure}
    # without these, the same figures would be other bytes every time
    with matplotlib.rc_context({"svg.hashsalt": "hvae-codec"}):
        for name, figure in drawn.items():
            figure.savefig(out / f"{name}.png", dpi=110)
            figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    if "sheets" not in table.figures:
        return list(drawn)
    names = list(drawn)
    for job, runs in results.items():
        for run in runs:
            for name, pictures in sheets(dict(run)).items():
                seed = f"-{run['seed']}" if run.get("seed") else ""
                names.append(f"{stem}-{job}{seed}-{name}")
                sheet(pictures).save(out / f"{names[-1]}.png", optimize=True)
    return names
