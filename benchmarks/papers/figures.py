"""The papers' figures, drawn again of what was measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .jobs import Table
from .rules import Results
from .store import Sheets

Result = dict[str, Any]
Draw = Callable[[Results], Figure | None]


def new(width: float = 6.0, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return an empty figure that no window shows."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def kl_distribution(results: Results) -> Figure | None:
    """Share of units below a KL (DCT-VAE, fig. 1)."""
    figure, axes = new()
    drawn = False
    for job, runs in results.items():
        if runs and runs[0].get("unit_kl"):
            kl = np.maximum(runs[0]["unit_kl"], 1e-6)
            axes.plot(kl, np.linspace(0, 1, len(kl)), label=job)
            drawn = True
    axes.set_xscale("log")
    axes.set_xlabel("KL of a unit (nats)")
    axes.set_ylabel("share of units below")
    axes.legend(fontsize="small")
    return figure if drawn else None


def _by_number(results: Results, pattern: str, key: str) -> dict[str, list[tuple[float, float]]]:
    """Gather points (number in the job's name, mean of a key) by the name's other part."""
    found: dict[str, list[tuple[float, float]]] = {}
    for job, runs in results.items():
        match = re.fullmatch(pattern, job)
        values = [r[key] for r in runs if r.get(key) is not None]
        if match and values:
            series = " ".join(part for part in match.groupdict().get("series", "").split())
            if "rest" in match.groupdict():
                series = f"{series} {match['rest']}".strip()
            found.setdefault(series, []).append((float(match["number"]), float(np.mean(values))))
    return {series: sorted(points) for series, points in found.items()}


def _lines(axes: Axes, series: dict[str, list[tuple[float, float]]]) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker=".", label=name)
    axes.legend(fontsize="small")


def context_sizes(results: Results) -> Figure | None:
    """The bound against the side of the context (DCT-VAE, fig. 3)."""
    series = _by_number(results, r"(?P<series>dct|downsample) (?P<number>\d+)", "elbo")
    if not series:
        return None
    figure, axes = new()
    _lines(axes, series)
    none = [r["elbo"] for r in results.get("none", ())]
    if none:
        axes.axhline(float(np.mean(none)), linestyle="--", color="tab:orange")
    axes.set_xlabel("side of the context")
    axes.set_ylabel("bound (nats)")
    return figure


def ablation(results: Results) -> Figure | None:
    """The bound against kind, side and prior of the pseudo-inputs (DVP-VAE, fig. 5)."""
    pattern = r"(?P<series>\w+) (?P<number>\d+) (?P<rest>\w+)"
    series = _by_number(results, pattern, "elbo")
    if not series:
        return None
    figure, axes = new()
    _lines(axes, series)
    axes.set_xlabel("side of the pseudo-input")
    axes.set_ylabel("bound (nats)")
    return figure


def phase(results: Results) -> Figure | None:
    """KL of the top layer against rho (OU-VAE, fig. 1)."""
    series = _by_number(results, r"(?P<series>\w+) rho (?P<number>[\d.]+)", "top_kl")
    if not series:
        return None
    figure, axes = new()
    _lines(axes, series)
    axes.set_xlabel("rho")
    axes.set_ylabel("KL of the top layer (nats)")
    return figure


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


def _histories(results: Results, column: int, label: str, *, log: bool) -> Figure | None:
    figure, axes = new()
    drawn = False
    for job, runs in results.items():
        history = runs[0].get("history") if runs else None
        if history:
            steps, values = [row[0] for row in history], [row[column] for row in history]
            axes.plot(steps, values, label=job, linewidth=1)
            drawn = True
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.legend(fontsize="x-small", ncols=2)
    return figure if drawn else None


def top_kl_curves(results: Results) -> Figure | None:
    """KL of the top layer while training (OU-VAE, fig. 2)."""
    return _histories(results, 3, "KL of the top layer (nats)", log=False)


def gradients(results: Results) -> Figure | None:
    """Norm of the gradient while training (DVP-VAE, fig. 7)."""
    return _histories(results, 2, "norm of the gradient", log=True)


def similarity(results: Results) -> Figure | None:
    """MS-SSIM against the number of layers (DCT-VAE, fig. 4)."""
    figure, axes = new()
    drawn = False
    for job, runs in results.items():
        if runs and runs[0].get("ms_ssim"):
            values = runs[0]["ms_ssim"]
            axes.plot(range(1, len(values) + 1), values, marker=".", label=job)
            drawn = True
    axes.set_xlabel("layers from the top, the context being the first")
    axes.set_ylabel("MS-SSIM")
    axes.legend(fontsize="small")
    return figure if drawn else None


def rate_distortion(results: Results) -> Figure | None:
    """Bits a pixel and PSNR of every photograph (DCT-VAE, fig. 5)."""
    figure, axes = new()
    drawn = False
    for job, runs in results.items():
        if runs and runs[0].get("points"):
            bpp, psnr, jpeg = np.array(runs[0]["points"]).T
            axes.scatter(bpp, psnr, label=job, s=12)
            axes.scatter(jpeg, psnr, label=f"JPEG at the PSNR of {job}", s=12, marker="x")
            drawn = True
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR (dB)")
    axes.legend(fontsize="small")
    return figure if drawn else None


FIGURES: dict[str, Draw] = {
    "kl_distribution": kl_distribution,
    "context_sizes": context_sizes,
    "ablation": ablation,
    "phase": phase,
    "grid": grid,
    "top_kl_curves": top_kl_curves,
    "gradients": gradients,
    "similarity": similarity,
    "rate_distortion": rate_distortion,
}


def sheet(pictures: np.ndarray) -> Figure:
    """Lay out pictures, uint8 (rows, columns, H, W[, 3])."""
    rows, columns, h, w = pictures.shape[:4]
    padded = np.full((rows, columns, h + 2, w + 2, *pictures.shape[4:]), 255, np.uint8)
    padded[:, :, 1:-1, 1:-1] = pictures
    joined = padded.swapaxes(1, 2).reshape(rows * (h + 2), columns * (w + 2), *padded.shape[4:])
    figure, axes = new(columns * 0.8, rows * 0.8)
    axes.imshow(joined, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    return figure


def draw(
    table: Table, results: Results, sheets: Callable[[Result], Sheets], out: Path
) -> Sequence[str]:
    """Write the figures of a table as PNG and SVG; return their names without the suffix."""
    stem = table.name.replace("/", "-")
    figures: dict[str, Figure | None] = {
        f"{stem}-{name}": FIGURES[name](results) for name in table.figures if name in FIGURES
    }
    if "sheets" in table.figures:
        for job, runs in results.items():
            for run in runs:
                for name, pictures in sheets(dict(run)).items():
                    seed = f"-{run['seed']}" if run.get("seed") else ""
                    figures[f"{stem}-{job}{seed}-{name}"] = sheet(pictures)
    out.mkdir(parents=True, exist_ok=True)
    drawn = {name: figure for name, figure in figures.items() if figure}
    # without these, the same figures would be other bytes every time
    with matplotlib.rc_context({"svg.hashsalt": "hvae-codec"}):
        for name, figure in drawn.items():
            figure.savefig(out / f"{name}.png", dpi=110)
            figure.savefig(out / f"{name}.svg", metadata={"Date": None})
    return list(drawn)
