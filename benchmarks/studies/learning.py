"""Plot the learning curve of a training run: validation loss against hours.

python -m hvae_codec.benchmarks.studies.learning runs/a runs/b -o docs/learning.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def read_curves(runs: Sequence[Path]) -> dict[str, list[tuple[float, float]]]:
    """Return (hours, validation loss) of each run's metrics.jsonl, by the run's name.

    Hours go on counting where a run started from another one's weights.
    """
    curves = {}
    for run in runs:
        lines = (run / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        curves[run.name] = [(row["hours"], row["valid_loss"]) for row in rows]
    return curves


def plot(curves: dict[str, list[tuple[float, float]]], out: Path) -> None:
    """Draw one line a run; the loss's axis ends 1.5 above the least."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker=".", label=name)
    losses = [loss for points in curves.values() for _, loss in points]
    axes.set_ylim(min(losses) - 0.1, min(losses) + 1.5)
    axes.set_xlabel("hours of training")
    axes.set_ylabel("validation loss, rounded symbols")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=110)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the runs, write the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    plot(read_curves(arguments.runs), arguments.out)


if __name__ == "__main__":
    main()
