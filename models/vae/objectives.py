"""What training minimises: the bound with its weights, or the importance weighted bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...codec.errors import ConfigError
from .config import changed_fields, checked_fields
from .model import Hvae, Terms

OPTIMISERS = ("adam", "adamax")


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        steps: updates.
        batch: images an update.
        optimiser: adam or adamax.
        rate: learning rate after the warm-up.
        last_rate: the rate that a cosine ends at; equal to `rate` it is constant.
        warmup: steps of linear warm-up.
        weight_decay: of the optimiser.
        epsilon: of the optimiser.
        clip: largest norm of the gradient.
        kl_zero: first steps without KL (KL annealing, OU-VAE, sec. 5.1).
        kl_ramp: steps over which its weight then rises to 1.
        free_nats: each layer's KL counts as no less (free bits, Kingma 2016).
        samples: K of the importance weighted bound (Burda 2016); 1 is the plain bound.
        seed: of the weights, the data's order and all noise.
    """

    steps: int = 6000
    batch: int = 128
    optimiser: str = "adamax"
    rate: float = 1e-2
    last_rate: float = 1e-5
    warmup: int = 100
    weight_decay: float = 1e-6
    epsilon: float = 1e-8
    clip: float = 5.0
    kl_zero: int = 0
    kl_ramp: int = 0
    free_nats: float = 0.0
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"optimiser {self.optimiser!r} is not one of {', '.join(OPTIMISERS)}")
        if self.samples < 1 or self.steps < 0 or self.batch < 1:
            raise ConfigError(
                f"steps {self.steps}, batch {self.batch} and samples {self.samples} are too few"
            )
        if self.samples > 1 and (self.kl_zero or self.kl_ramp or self.free_nats):
            raise ConfigError("the importance weighted bound has no KL to anneal or to free")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are not at their default, as JSON has them."""
        return changed_fields(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        """Build a configuration from what `to_json` gave; an unknown key raises ConfigError."""
        return cls(**checked_fields(cls, values))


def kl_weight(step: int, config: TrainConfig) -> float:
    """Return the weight of the KL at a step: 0, then a line, then 1."""
    if step < config.kl_zero:
        return 0.0
    if not config.kl_ramp:
        return 1.0
    return min(1.0, (step - config.kl_zero) / config.kl_ramp)


def rate_at(step: int, config: TrainConfig) -> float:
    """Return the learning rate of a step: warm-up, then a cosine to the last rate."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    done = min(1.0, step / max(1, config.steps))
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return warm * (config.last_rate + (config.rate - config.last_rate) * cosine)


def objective(model: Hvae, x: Tensor, config: TrainConfig, step: int) -> tuple[Tensor, Terms]:
    """Return the loss, in nats an image, and the terms of the bound.

    Args:
        model: the model, in training mode.
        x: (B, C, H, W) in [0, 1].
        config: how the terms are weighed.
        step: the number of the update.
    """
    if config.samples > 1:
        if model.config.prior == "diffusion":
            raise ConfigError("a diffusion prior has a bound of its own, of which IWAE is none")
        terms = model.terms(x.repeat_interleave(config.samples, 0))
        return -log_mean_exp(terms.log_weight.view(-1, config.samples)).mean(), terms
    terms = model.terms(x)
    kls = [
        layer.kl.mean().clamp(min=config.free_nats) if layer.layer else layer.kl.mean()
        for layer in terms.layers
    ]
    loss = kl_weight(step, config) * torch.stack(kls).sum() - terms.reconstruction.mean()
    return loss, terms


def log_mean_exp(weights: Tensor) -> Tensor:
    """Return log(mean(exp(w))) over the last axis: (B, K) -> (B,)."""
    return torch.logsumexp(weights, dim=-1) - math.log(weights.shape[-1])
