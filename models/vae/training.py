"""The training loop. A step is a pure function of (seed, step), so a run resumes at any step."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ...codec.errors import WeightsError
from ..descent import descend
from ..saved import read_saved, write_saved
from .model import Hvae
from .objectives import TrainConfig, objective, rate_at

EMA = 0.999
"""Decay of the averaged weights, which are evaluated (DVP-VAE, table 7)."""

RECORDS = 100
"""Lines of the history of a whole run."""

SAVE_S = 120.0


class Source(Protocol):
    """Training images."""

    def batch(self, step: int, count: int, seed: int) -> Tensor:
        """Return x, (B, C, H, W) float32 in [0, 1]: a function of these alone."""
        ...


@dataclass
class Progress:
    """Where a run stands.

    Args:
        step: updates made.
        history: records of the run: step, loss, norm of the gradient, KL of each layer.
        seconds: of a core, spent in updates: other work on the machine hardly changes them.
        skipped: updates left out for a gradient that is not finite.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0


def optimiser_of(model: Hvae, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimiser of all weights."""
    options: dict[str, Any] = {
        "lr": config.rate, "eps": config.epsilon, "weight_decay": config.weight_decay,
    }  # fmt: skip
    if config.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), fused=True, **options)
    return torch.optim.Adamax(model.parameters(), **options)


NOISE = 1 << 31
"""Sets the stream of noise apart from that of images and their binarisation, which sources draw.

PyTorch's generator takes 32 bits of a seed."""


def seed_of(seed: int, step: int) -> int:
    """Return the seed of a step's images; no two runs of up to 500 seeds share one."""
    lap, place = divmod(step, 1_000_003)
    return seed * 1_000_003 + place + lap * 500_001_500


class Trainer:
    """A model, its optimiser and its averaged weights."""

    def __init__(self, model: Hvae, config: TrainConfig, source: Source):
        model.to(memory_format=torch.channels_last)  # a third faster on a CPU
        self.model, self.config, self.source = model, config, source
        self.optimiser = optimiser_of(model, config)
        self.progress = Progress()
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self) -> dict[str, Any]:
        """Make one update; return its record."""
        config, step = self.config, self.progress.step
        torch.manual_seed(NOISE + seed_of(config.seed, step))
        x = self.source.batch(step, config.batch, config.seed)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, config)
        self.model.train()
        loss, terms = objective(
            self.model, x.contiguous(memory_format=torch.channels_last), config, step
        )
        norm, taken = descend(loss, self.model.parameters(), self.optimiser, config.clip)
        self.progress.skipped += not taken
        self._follow()
        self.progress.step += 1
        kls = [round(float(layer.kl.detach().mean()), 5) for layer in terms.layers]
        return {"step": step, "loss": float(loss.detach()), "gradient": float(norm), "kl": kls}

    def _follow(self) -> None:
        """Move the averaged weights towards the weights; early on they follow faster."""
        step = self.progress.step
        decay = min(EMA, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self, path: Path) -> None:
        """Write all that a run needs to go on, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        saved = {
            "config": json.dumps([self.model.config.to_json(), self.config.to_json()]),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "progress": dataclasses.asdict(self.progress),
        }
        write_saved(path, saved)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            WeightsError: it is not a checkpoint, or is of another configuration.
        """
        keys = {"config", "model", "average", "optimiser", "progress"}
        saved = read_saved(path, keys, "checkpoint")
        if saved["config"] != json.dumps([self.model.config.to_json(), self.config.to_json()]):
            raise WeightsError(f"{path.name} is a run of another configuration")
        self.model.load_state_dict(saved["model"])
        self.average = saved["average"]
        self.optimiser.load_state_dict(saved["optimiser"])
        self.progress = Progress(**saved["progress"])


def train(
    trainer: Trainer,
    path: Path | None = None,
    deadline: Callable[[], bool] = lambda: False,
    watch: Callable[[int, dict[str, Any]], None] = lambda step, record: None,
) -> bool:
    """Train until the last step or the deadline; the model then holds the averaged weights.

    Args:
        trainer: what to train.
        path: checkpoint, read where it exists and written every two minutes and at the end.
        deadline: tells whether to stop.
        watch: gets every record of the history; it may add to it.

    Returns:
        Whether the last step was reached.
    """
    progress, config = trainer.progress, trainer.config
    if path and path.exists():
        trainer.load(path)
        progress = trainer.progress
    first = progress.step
    every = max(1, config.steps // RECORDS)
    saved = time.monotonic()
    while progress.step < config.steps and not deadline():
        began = time.process_time()
        record = trainer.update()
        progress.seconds += time.process_time() - began
        if record["step"] % every == 0 or progress.step == config.steps:
            watch(progress.step, record)
            progress.history.append(record)
        if path and time.monotonic() - saved > SAVE_S:
            trainer.save(path)
            saved = time.monotonic()
    if path and (progress.step > first or not path.exists()):
        trainer.save(path)
    done = progress.step >= config.steps
    if done:
        trainer.model.load_state_dict(trainer.average)
        trainer.model.eval()
    return done
