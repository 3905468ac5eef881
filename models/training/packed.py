"""What a pack runs on the machine that it was brought to: a process a model, all at once.

python -m hvae_codec.models.training.packed FOLDER --minutes MINUTES --out OUT

OUT gets, of each range of qualities, `28-64.pt`, averaged weights in half precision, about every
minute, and `28-64.jsonl`, what validation found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SAVE_EVERY_S = 60.0
EMA = 0.998
"""A few minutes of steps are no more than some thousands."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train all ranges of a pack beside each other; return 0 if all came to their ends."""
    parser = argparse.ArgumentParser(prog="pack.zip")
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, required=True, help="Of the clock, for all of it.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for what comes back.")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = json.loads((arguments.folder / "settings.json").read_text())
    if arguments.only is not None:
        try:
            run(arguments.folder, arguments.out, settings, arguments.minutes, arguments.only)
        except KeyboardInterrupt:  # SIGTERM, or Ctrl-C: all is saved
            return 1
        return 0
    ends = time.monotonic() + 60 * arguments.minutes
    children = []

    def stop(*_: object) -> None:
        for child in children:
            child.terminate()  # each saves, and ends

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `&` has it
            signal.signal(number, stop)
    for number in range(len(settings["qualities"])):
        left = str((ends - time.monotonic()) / 60)
        own = ["--minutes", left, "--out", str(arguments.out), "--only", str(number)]
        command = [sys.executable, "-m", __spec__.name, str(arguments.folder), *own]
        children.append(subprocess.Popen(command))
    return max(abs(child.wait()) for child in children)


def run(folder: Path, out: Path, settings: dict[str, Any], minutes: float, number: int) -> None:
    """Train the model of one range; see `pack.write_pack`."""
    began = time.monotonic()
    import torch

    from ...codec.networks.threads import processors
    from .config import BatchSizes, TrainConfig
    from .loop import train

    ranges = settings["qualities"]
    qualities = tuple(ranges[number])
    starts = sorted((folder / "start").iterdir(), key=lambda path: int(path.stem))
    cores = processors()
    cuda = torch.cuda.is_available()
    if not cuda:
        torch.set_num_threads(max(1, cores // len(ranges)))
    name = f"{qualities[0]}-{qualities[1]}"
    config = TrainConfig(
        data=folder / "data",
        valid=folder / "valid",
        out=folder / "runs" / name,
        start=starts[min(number, len(starts) - 1)],
        grow=settings["grow"],
        qualities=qualities,
        by_clock=True,
        learning_rate=settings["rate"],
        ema=EMA,
        sizes=BatchSizes(
            settings["crops"], settings["crop_px"], wide_crops=0, graphics=settings["graphics"]
        ),
        workers=max(1, cores // len(ranges) - 1) if cuda else 0,
        compile=cuda,
        minutes=minutes - (time.monotonic() - began) / 60,
        valid_every_s=SAVE_EVERY_S,
        valid_images=4,
        light=out / f"{name}.pt",
    )
    found = config.out / "metrics.jsonl"
    try:
        train(config)
    finally:  # Ctrl-C has saved as well
        if found.exists():
            shutil.copyfile(found, out / f"{name}.jsonl")


if __name__ == "__main__":
    sys.exit(main())
