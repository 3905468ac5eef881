"""What is measured of a job: each kind is a function from a job to numbers and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...models.vae import metrics
from ...models.vae.gaps import gaps
from ...models.vae.model import Hvae, parameters
from ...models.vae.reconstruction import from_first, ms_ssim
from ...models.vae.training import Progress, Trainer, train
from . import cost, kodak, lossless, sheets, toys
from .data import ImageSet, Sets
from .jobs import Job
from .scales import Scale
from .store import Sheets

BATCH = 100
NOISE_SEED = 54321
"""Of the noise in evaluation: the same for every model."""


@dataclass(frozen=True)
class Task:
    """A job with what it needs to be measured.

    Args:
        job: with the seed of one run.
        sets: images.
        scale: sizes of the test.
        checkpoint: where its run is saved.
        deadline: tells whether to stop.
        tick: told of each record of training: (step, steps).
    """

    job: Job
    sets: Sets
    scale: Scale
    checkpoint: Path
    deadline: Callable[[], bool]
    tick: Callable[[int, int], None]

    @property
    def images(self) -> ImageSet:
        """The set that the job trains on."""
        return self.sets.get(self.job.data)

    def batches(self, part: str, limit: int) -> Iterator[Tensor]:
        """Yield a part of the set."""
        return self.images.batches(part, limit, BATCH)

    def some(self, limit: int) -> Tensor:
        """Return a few test images."""
        return next(self.images.batches("test", limit, limit))


class Unfinished(Exception):
    """Training was stopped before its last step; the checkpoint has all."""


Measured = tuple[dict[str, Any], Sheets]


def trained(task: Task) -> tuple[Hvae, Progress]:
    """Train the model of a job, or go on, or load it.

    Raises:
        Unfinished: the deadline came first.
    """
    config = task.job.training
    torch.manual_seed(config.seed)
    model = Hvae(task.job.model)
    model.fit(task.images.train_batches)
    trainer = Trainer(model, config, task.images)
    watch = lambda step, record: task.tick(step, config.steps)  # noqa: E731
    if not train(trainer, task.checkpoint, task.deadline, watch):
        raise Unfinished
    torch.manual_seed(NOISE_SEED)
    return model, trainer.progress


def measure_training(task: Task) -> Measured:
    """Train, and measure the bound, the use of the units and the log-likelihood."""
    model, progress = trained(task)
    return bound_of(task, model, progress), {}


def bound_of(task: Task, model: Hvae, progress: Progress) -> dict[str, Any]:
    """Measure what every trained model is measured by."""
    scale, image = task.scale, task.job.model.image
    test = metrics.bound(model, task.batches("test", scale.test_images), task.job.draws)
    valid = metrics.bound(model, task.batches("valid", scale.test_images), draws=1)
    likelihood = metrics.log_likelihood(
        model, task.batches("test", scale.likelihood_images), scale.samples
    )
    top = next(layer for layer in test.layers if layer.layer == 1)
    context = [layer.kl for layer in test.layers if not layer.layer]
    unit_kl = test.unit_kl
    return {
        "elbo": test.mean,
        "valid_elbo": valid.mean,
        "iwae": float(likelihood.iwae.mean()),
        "mean_exp_kl": float(likelihood.mean_exp_kl.mean()),
        "bpd": metrics.bits_per_dimension(test.mean, image),
        "reconstruction": test.reconstruction,
        "kl": test.kl,
        "context_kl": context[0] if context else None,
        "context_kl_continuous": metrics.continuous_context_kl(
            model, task.batches("test", scale.test_images)
        ),
        "top_kl": top.kl,
        "top_active_share": top.active / top.variances.numel(),
        "active_share": test.active_share,
        "active_units": [layer.active for layer in reversed(test.latents)],
        "dead_share": None if math.isnan(test.dead_share) else test.dead_share,
        "unit_kl_mean": float(unit_kl.mean()) if unit_kl.numel() else None,
        "unit_kl": _quantiles(unit_kl),
        "layer_kl": [layer.kl for layer in test.layers],
        **run_of(model, progress),
    }


def run_of(model: Hvae, progress: Progress) -> dict[str, Any]:
    """Return what there is to say of a run itself."""
    gradients = [record["gradient"] for record in progress.history]
    late = [g for g in gradients[len(gradients) // 5 :] if math.isfinite(g)]
    top = 1 if model.context else 0
    return {
        "parameters": parameters(model),
        "steps": progress.step,
        "minutes": progress.seconds / 60,
        "skipped": progress.skipped,
        "diverged": bool(gradients) and not math.isfinite(progress.history[-1]["loss"]),
        "largest_late_gradient": max(late, default=None),
        "history": [[r["step"], r["loss"], r["gradient"], r["kl"][top]] for r in progress.history],
    }


def _quantiles(unit_kl: Tensor, count: int = 101) -> list[float]:
    """Return quantiles of sorted values, for a distribution function."""
    if not unit_kl.numel():
        return []
    places = torch.linspace(0, len(unit_kl) - 1, count).round().long()
    return [float(v) for v in unit_kl[places]]


def measure_layers(task: Task) -> Measured:
    """Measure also MS-SSIM of reconstructions from the first m variables (DCT-VAE, eq. 8)."""
    model, progress = trained(task)
    result = bound_of(task, model, progress)
    x = task.some(task.scale.likelihood_images)
    first = 1 if model.context else 2  # layer 0 is there with a context only
    counts = range(first, task.job.model.layers + 2)
    result["ms_ssim"] = [float(ms_ssim(x, from_first(model, x, m)).mean()) for m in counts]
    return result, {}


def measure_gradient(task: Task) -> Measured:
    """Measure the variance of the gradient over noise, smoothed as in training."""
    model, progress = trained(task)
    x = task.some(min(64, task.scale.test_images))
    variance = metrics.gradient_variance(model.train(), x, 3 if task.scale.tiny else 30)
    return run_of(model, progress) | {"gradient_variance": variance}, {}


def measure_sheets(task: Task) -> Measured:
    """Measure also how much a pseudo-input looks like its image, and draw sheets."""
    model, progress = trained(task)
    result = bound_of(task, model, progress)
    result["picture_error"] = sheets.picture_error(model, task.some(task.scale.test_images))
    return result, sheets.draw(model, task.some(8))


def measure_gaps(task: Task) -> Measured:
    """Measure the inference gaps (Cremer 2018)."""
    model, progress = trained(task)
    option = task.job.option
    found = gaps(
        model,
        task.some(option("images")),
        steps=option("steps"),
        samples=option("samples"),
        evaluate=min(200, option("samples")),
    )
    measured = {
        "log_likelihood": found.log_likelihood,
        "best": found.best,
        "approximation": found.approximation,
        "amortisation": found.amortisation,
    }
    return bound_of(task, model, progress) | measured, {}


def measure_kodak(task: Task) -> Measured:
    """Measure the context of photographs in patches against JPEG (DCT-VAE, sec. 5.3.2)."""
    model, progress = trained(task)
    return run_of(model, progress) | kodak.measure(
        model, task.sets.folder, task.job.option("count", 1)
    ), {}


def measure_codec(task: Task) -> Measured:
    """Measure the context in files of the codec against JPEG."""
    return kodak.measure_files(task.sets.folder, task.job.option("quality")), {}


def measure_lossless(task: Task) -> Measured:
    """Code a chain of images and compare its size with the bound."""
    model, progress = trained(task)
    x = task.some(task.job.option("images"))
    train_images = task.images.batch(0, 64, 0)
    return run_of(model, progress) | lossless.measure(model, x, train_images), {}


def measure_cost(task: Task) -> Measured:
    """Measure time and memory of a step, in a process of its own."""
    return cost.measure(task.job), {}


def measure_categorical(task: Task) -> Measured:
    """Train the toy that must collapse (notes, Posterior Collapse)."""
    option = task.job.option
    return toys.categorical(option("values"), option("steps"), task.job.training.seed), {}


KINDS: dict[str, Callable[[Task], Measured]] = {
    "train": measure_training,
    "layers": measure_layers,
    "gradient": measure_gradient,
    "sheets": measure_sheets,
    "gaps": measure_gaps,
    "kodak": measure_kodak,
    "codec": measure_codec,
    "lossless": measure_lossless,
    "cost": measure_cost,
    "categorical": measure_categorical,
}
