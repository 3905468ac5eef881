"""Write what a run showed: a table for the terminal, JSON, CSV and plots."""

import csv
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from .run import OURS, Record
from .summary import WINDOW_DB, CodecSummary, Comparison, Summary


def write(out: Path, records: Sequence[Record], summary: Summary) -> None:
    """Write a run's results into a folder.

    `<codec>.json` in the schema of CompressAI's results, `summary.json`, `images.csv` with a row
    for every file, `rd.png` and `rd.svg`.
    """
    out.mkdir(parents=True, exist_ok=True)
    for codec in summary.codecs:
        _write_json(out / f"{codec.name}.json", compressai_results(codec))
    _write_json(out / "summary.json", as_json(summary))
    write_csv(out / "images.csv", records)
    plot(summary, [out / "rd.png", out / "rd.svg"])


def compressai_results(codec: CodecSummary) -> dict[str, object]:
    """Give a codec's means as CompressAI's tools read and write them."""
    return {
        "name": codec.name,
        "description": codec.description,
        "results": {
            "bpp": [point.bpp for point in codec.points],
            "psnr-rgb": [point.psnr_db for point in codec.points],
            "encoding_time": [point.encode_s for point in codec.points],
            "decoding_time": [point.decode_s for point in codec.points],
        },
    }


def as_json(summary: Summary) -> dict[str, object]:
    """Give a summary as JSON's types; null where a BD-rate does not exist."""
    return {
        "images": summary.images,
        "codecs": [asdict(codec) for codec in summary.codecs],
        "bd_rate": [
            {
                "codec": OURS,
                "anchor": row.anchor,
                "published": row.published,
                "source": row.source,
                "percent": _finite(row.bd_rate_percent),
                "range_db": row.range_db,
                "window_percent": _finite(row.window_bd_rate_percent),
                "window_range_db": row.window_range_db,
            }
            for row in summary.comparisons
        ],
    }


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write one row for every image, codec and setting."""
    names = [field.name for field in fields(Record) if field.name != "description"]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)


def table(summary: Summary) -> str:
    """Lay out a summary for a terminal."""
    lines = [f"{'codec':<12}{'setting':>8}{'bpp':>9}{'PSNR dB':>9}{'encode s':>10}{'decode s':>10}"]
    for codec in summary.codecs:
        lines += [
            f"{codec.name:<12}{point.setting:>8}{point.bpp:>9.3f}{point.psnr_db:>9.2f}"
            f"{point.encode_s:>10.3f}{point.decode_s:>10.3f}"
            for point in codec.points
        ]
    lines.append(
        f"Means over {summary.images} images. Bytes of files on disk. Seconds of one call in one"
        f" process on {os.cpu_count()} processors, the process's start-up not counted."
    )
    if summary.comparisons:
        low, high = WINDOW_DB
        lines += ["", f"BD-rate of {OURS}; the second within {low:.0f} to {high:.0f} dB"]
        lines += [_comparison_line(row) for row in summary.comparisons]
    return "\n".join(lines)


def plot(summary: Summary, paths: Sequence[Path]) -> None:
    """Draw all curves over the range of rates that this codec covers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    curves = [(codec.name, codec.curve, "-") for codec in summary.codecs]
    curves += [(_label(row), row.curve, ":") for row in summary.comparisons if row.published]
    for name, curve, style in curves:
        own = name == OURS
        axes.plot(
            curve.bpp,
            curve.psnr_db,
            style,
            label=name,
            marker="." if style == "-" else None,
            linewidth=2.2 if own else 1.2,
            color="black" if own else None,
            zorder=3 if own else 2,
        )
    # JPEG's largest files are twice ours, and would push all else into a corner.
    widest = 1.1 * max((max(curve.bpp) for name, curve, _ in curves if name == OURS), default=2)
    shown = [
        psnr
        for _, curve, _ in curves
        for rate, psnr in zip(curve.bpp, curve.psnr_db, strict=True)
        if rate <= widest and math.isfinite(psnr)
    ]
    axes.set_xlim(0, widest)
    if shown:
        axes.set_ylim(min(shown) - 0.5, max(shown) + 0.5)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR, RGB (dB)")
    axes.set_title(f"Means over {summary.images} images")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    for path in paths:
        figure.savefig(path, dpi=150)


def _comparison_line(row: Comparison) -> str:
    return (
        f"  {_label(row):<34}{_percent(row.bd_rate_percent, row.range_db)}"
        f"{_percent(row.window_bd_rate_percent, row.window_range_db)}"
    )


def _label(row: Comparison) -> str:
    return f"{row.anchor} (published)" if row.published else row.anchor


def _percent(value: float, range_db: tuple[float, float] | None) -> str:
    if range_db is None:
        return f"{'no common range':>30}"
    return f"{value:>+9.1f} % over {range_db[0]:4.1f}…{range_db[1]:4.1f} dB"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
