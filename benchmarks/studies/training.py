"""How fast training is: kinds of one step in turns, in pixels a second of CPU time.

python -m hvae_codec.benchmarks.studies.training --kinds float32 bfloat16 --rounds 6

CPU time tells two steps apart where other programs share the machine. It counts all threads.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...codec.config import PRESETS
from ...models.dct_vae import DctVae
from ...models.training.graphics import draw
from ...models.training.loop import compile_blocks
from ...models.training.losses import objective
from ...models.training.state import optimiser_for

KINDS = ("float32", "bfloat16", "compiled")
"""`compiled` is float32 with compiled residual blocks."""


def stepper(model: DctVae, kind: str, crops: Tensor) -> Callable[[], tuple[float, float, float]]:
    """Return what takes a step, and returns the CPU seconds forward, backward and of the update."""
    optimiser = optimiser_for(model)
    if kind == "compiled":
        compile_blocks(model)

    def step() -> tuple[float, float, float]:
        times = [time.process_time()]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bfloat16"):
            loss, _ = objective(model, crops, crops[:0])
        times.append(time.process_time())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        times.append(time.process_time())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()  # at a rate of zero: all kinds stay where they are
        times.append(time.process_time())
        return times[1] - times[0], times[2] - times[1], times[3] - times[2]

    return step


def main(argv: Sequence[str] | None = None) -> None:
    """Take steps of each kind in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--crop-px", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args(argv)
    torch.manual_seed(0)
    model = DctVae(PRESETS[arguments.preset]).to(memory_format=torch.channels_last)
    model.context.prior.requires_grad_(False)
    drawn = draw(np.random.default_rng(0), arguments.crop_px, "drawing")
    crops = torch.from_numpy(np.stack([drawn] * arguments.crops)).permute(0, 3, 1, 2)
    steps = {kind: stepper(copy.deepcopy(model), kind, crops) for kind in arguments.kinds}
    for step in steps.values():
        step()
        step()  # the optimiser's bases are there, and blocks compiled
    taken: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in steps}
    for _ in range(arguments.rounds):
        for kind, step in steps.items():
            taken[kind].append(step())
    pixels = arguments.crops * arguments.crop_px**2
    for kind, rows in taken.items():
        parts = np.median(rows, axis=0)
        seconds = float(np.median(np.sum(rows, axis=1)))
        shares = "  ".join(
            f"{name} {100 * part / parts.sum():.0f} %"
            for name, part in zip(("forward", "backward", "update"), parts, strict=True)
        )
        print(f"{kind:9} {pixels / seconds / 1e3:8.1f} kpx/s  {seconds:.2f} s  {shares}")


if __name__ == "__main__":
    main()
