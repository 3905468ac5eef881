"""Jobs and tables as data: what is trained, what is measured, and what a paper claims of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...models.vae.config import VaeConfig
from ...models.vae.metrics import DRAWS
from ...models.vae.objectives import TrainConfig
from .rules import Rule
from .scales import Scale

VERSION = 3
"""Part of every hash: raised when a configuration changes its meaning, as by another default."""


@dataclass(frozen=True)
class Job:
    """One thing to measure.

    Args:
        name: in its table.
        data: name of the set of images; empty where nothing is trained on one.
        model: what is trained.
        training: how, but for its seed.
        kind: how it is measured; see `measures.KINDS`.
        seeds: how many runs.
        tries: settings among which this one's were chosen on validation images.
        options: of its measure.
    """

    name: str
    data: str = ""
    model: VaeConfig = field(default_factory=VaeConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    kind: str = "train"
    seeds: int = 1
    tries: int = 1
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON has any
        """Return an option of the measure."""
        return dict(self.options).get(name, default)

    def seeded(self, seed: int) -> Job:
        """Return the job with the seed of one run."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

    def run_key(self, fingerprint: str) -> str:
        """Name the trained model: a hash of all that it depends on.

        Args:
            fingerprint: of the images; empty where there are none.
        """
        return _digest([fingerprint, self.model.to_json(), self.training.to_json()])

    def key(self, fingerprint: str, scale: Scale) -> str:
        """Name the measurement: a hash of the model, the measure and the test images."""
        sizes = [scale.test_images, scale.likelihood_images, scale.samples, scale.chain]
        if self.kind == "train" and self.draws > 1:
            sizes.append(self.draws)
        return _digest([self.run_key(fingerprint), self.kind, list(self.options), sizes])

    @property
    def draws(self) -> int:
        """How many samples of z each image gets when active units are counted (`metrics.bound`).

        A top-down model gets one, as in the public code of DCT-VAE and DVP-VAE.
        """
        return DRAWS if self.model.inference == "serial" and self.model.layers > 1 else 1


def _digest(content: list[Any]) -> str:
    text = json.dumps([VERSION, *content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Chosen:
    """Settings of the serial models, chosen on the plain VAE's validation bound."""

    rate: float = 1e-3
    batch: int = 128
    epsilon: float = 1e-8
    tries: int = 1


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper.

    Args:
        name: as the command has it.
        source: paper, table and figure.
        claim: what the paper says.
        paper: its figures, by job or as a whole.
        jobs: what to run.
        rule: when the claim counts as reproduced.
        columns: numbers to show.
        figures: names of functions of `figures`.
        departures: what is not as in the paper.
        searched: it uses the settings that `ou-vae/search` chose.
    """

    name: str
    source: str
    claim: str
    paper: str
    jobs: Callable[[Scale, Chosen], list[Job]]
    rule: Rule
    columns: tuple[str, ...]
    figures: tuple[str, ...] = ()
    departures: str = ""
    searched: bool = False


def ladder(scale: Scale, data: str, **changes: Any) -> VaeConfig:  # noqa: ANN401
    """Return a top-down model for a set at a scale (DVP-VAE, table 7)."""
    base: dict[str, Any] = {"width": scale.width, "hidden": scale.width, "blocks": scale.blocks}
    if data == "cifar10":
        base |= {
            "image": (3, 32, 32),
            "scales": ((16, 4), (8, 3), (4, 2)),
            "latent_channels": 3,
            "width": scale.colour_width,
            "hidden": scale.colour_width,
            "likelihood": "logistic",
            "mixtures": 2 if scale.tiny else 10,
            "log_snr": (7.0, -10.0),
        }
    base |= scale.changes.get(data, {})
    if scale.tiny:
        base |= {"diffusion_width": 4, "diffusion_steps": 2, "diffusion_blocks": 1}
        base["scales"] = ((8, 2), (4, 2)) if data == "cifar10" else ((7, 2), (4, 2))
    if scale.tiny and "scales" in changes:
        # depth stays under test, resolution does not
        sides = (8, 4) if data == "cifar10" else (7, 4)
        changes = changes | {
            "scales": tuple(
                (side, layers) for side, (_, layers) in zip(sides, changes["scales"], strict=False)
            )
        }
    return VaeConfig(**(base | changes))


def dvp(side: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the options of the diffusion-based VampPrior (DVP-VAE, sec. 3)."""
    return {"context": "dct", "context_side": side, "prior": "diffusion"} | changes


def dct_vae(side: int, data: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the options of DCT-VAE's context: a lattice, and a short diffusion of u itself.

    The schedule begins with the noise of the first step in the paper's public code.
    """
    bits, steps, schedule, first = (2, 7, "linear-beta", 1.8)
    if data == "cifar10":
        bits, steps, schedule, first = (5, 40, "cosine", 6.0)
    return {
        "context": "dct",
        "context_side": side,
        "context_code": "lattice",
        "context_bits": bits,
        "prior": "diffusion",
        "predict": "input",
        "schedule": schedule,
        "log_snr": (first, -7.0),
        "diffusion_steps": steps,
        "diffusion_train_steps": steps,
    } | changes


def conv_training(scale: Scale, data: str, **changes: Any) -> TrainConfig:  # noqa: ANN401
    """Return how a convolutional model is trained (DVP-VAE, table 7)."""
    base: dict[str, Any] = {
        "steps": scale.conv_steps,
        "batch": scale.conv_batch,
        "rate": 1e-2,
        "last_rate": 1e-5,
        "warmup": min(500, scale.conv_steps // 10),
        "clip": 5.0,
    }
    if data == "omniglot":
        base |= {"last_rate": 1e-4, "clip": 2.0}
    if data == "cifar10":
        base |= {"steps": scale.colour_steps, "batch": scale.colour_batch, "rate": 3e-3}
        base |= {"last_rate": 1e-4, "clip": 150.0}
    return TrainConfig(**(base | changes))


def conv_job(
    scale: Scale,
    name: str,
    data: str,
    seeds: int = 1,
    kind: str = "train",
    options: tuple[tuple[str, Any], ...] = (),
    **model: Any,  # noqa: ANN401
) -> Job:
    """Return a job of a top-down model; `model` are changes of `ladder`."""
    config, training = ladder(scale, data, **model), conv_training(scale, data)
    return Job(name, data, config, training, kind, seeds, options=options)


def serial(scale: Scale, units: tuple[int, ...], **changes: Any) -> VaeConfig:  # noqa: ANN401
    """Return a serial MLP with 200 hidden units before each layer (OU-VAE, sec. 5.1)."""
    base: dict[str, Any] = {
        "inference": "serial",
        "network": "mlp",
        "readout": "bottom",
        "units": units,
        "mlp_hidden": (16 if scale.tiny else 200,) * len(units),
    }
    return VaeConfig(**(base | changes))


def tapered(scale: Scale, **changes: Any) -> VaeConfig:  # noqa: ANN401
    """Return the serial MLP of 64-32-16-8 units (OU-VAE, sec. 5.1)."""
    hidden = (16, 16, 16, 16) if scale.tiny else (512, 256, 128, 64)
    return serial(scale, (64, 32, 16, 8), mlp_hidden=hidden, **changes)


def serial_training(scale: Scale, chosen: Chosen, **changes: Any) -> TrainConfig:  # noqa: ANN401
    """Return how a serial model is trained, with the settings that the search chose."""
    base: dict[str, Any] = {
        "steps": scale.serial_steps,
        "batch": scale.conv_batch if scale.tiny else chosen.batch,
        "optimiser": "adam",
        "rate": chosen.rate,
        "last_rate": chosen.rate / 100,
        "epsilon": chosen.epsilon,
        "weight_decay": 0.0,
        "clip": 1e9,
    }
    return TrainConfig(**(base | changes))
