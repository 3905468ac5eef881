"""The settings of a training run, and what they are when nothing is said. No PyTorch here."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from ...codec.quality.curve import MAX_QUALITY

EVERY_QUALITY = (0, MAX_QUALITY)


@dataclass(frozen=True)
class BatchSizes:
    """Crops a batch: for the codec, and wider ones for the context prior alone."""

    crops: int = 8
    crop_px: int = 128
    wide_crops: int = 4
    wide_px: int = 384
    graphics: float = 0.0
    """Share of the crops that are no photographs."""


def default_cooldown(steps: int) -> int:
    """Return over how many last steps the rate falls, where nobody says: at most half of them."""
    return min(TrainConfig.cooldown, steps // 2)


def default_simulate(steps: int) -> int:
    """Return how many last steps simulate integers, where nobody says: at most a tenth."""
    return min(TrainConfig.simulate, steps // 10)


@dataclass(frozen=True)
class TrainConfig:
    """One run. The model is the preset's, or that of the weights it starts from."""

    data: Path
    valid: Path
    out: Path
    preset: str = "base"
    resume: bool = False
    start: Path | None = None
    """A checkpoint or a weight file that a new run starts from (warm restart)."""
    grow: bool = False
    """Give what it starts from all coefficients (`growth`)."""
    qualities: tuple[int, int] = EVERY_QUALITY
    """The model's range, both ends included; models that share a file may overlap a little."""
    eye: float = 0.0
    """Share of the error that SSIMULACRA2 sees in the objective; the rest is squared error."""
    steps: int = 200_000
    warmup: int = 200
    cooldown: int = 10_000
    """Last steps, over which the learning rate falls to 2 % (cosine); constant before them."""
    simulate: int = 1_000
    """Last steps, trained with simulated integer arithmetic."""
    learning_rate: float = 8e-4
    linear_rate: float = 0.03
    """Share of the learning rate that the linear skeleton gets."""
    ema: float = 0.999
    clip: float = 1.0
    sizes: BatchSizes = field(default_factory=BatchSizes)
    seed: int = 0
    workers: int = 1
    compile: bool = False
    minutes: float = float("inf")
    """Stop, with a checkpoint, after so long, counted from the call of `train`."""
    by_clock: bool = False
    """Let the rate fall over all of `minutes`, and simulate integers in the last two fifths of
    them, however many steps that takes. `steps`, `cooldown` and `simulate` mean nothing then."""
    light: Path | None = None
    """Where the averaged weights are saved as well, in half precision and without the rest."""
    valid_every_s: float = 600.0
    valid_images: int = 10
    valid_qualities: tuple[int, ...] = (10, 30, 50, 70, 90)
    """Those of them that lie in the range are validated; its middle, if none does."""

    @property
    def end(self) -> int:
        """The step at which training ends, unless the clock or somebody ends it."""
        return sys.maxsize if self.by_clock else self.steps
