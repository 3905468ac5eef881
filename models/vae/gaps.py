"""Inference gaps of a VAE with one stochastic layer (Cremer 2018; notes on suboptimality).

    log p(x) - ELBO(q) = [log p(x) - ELBO(q*)]  +  [ELBO(q*) - ELBO(q)]
                          approximation gap          amortisation gap

q* is the best Gaussian for each image, found by gradient ascent from q. log p(x) is the
importance weighted bound with many samples. Where q is a flow, the best Gaussian is not the best of
its family, and the gap has no such parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions import Normal
from .coders import Distribution, GaussianPosterior, Inference, Posterior
from .metrics import log_likelihood
from .model import Hvae


@dataclass(frozen=True)
class Gaps:
    """Means over images, in nats; `best` is None where q is a flow, and so are both parts."""

    log_likelihood: float
    best: float | None
    amortised: float

    @property
    def approximation(self) -> float | None:
        """What the Gaussian family costs."""
        return None if self.best is None else self.log_likelihood - self.best

    @property
    def amortisation(self) -> float | None:
        """What one network for all images costs."""
        return None if self.best is None else self.best - self.amortised


def gaps(model: Hvae, x: Tensor, *, steps: int, samples: int, evaluate: int) -> Gaps:
    """Measure both gaps on images x (B, C, H, W).

    Args:
        model: a ladder or serial model of one stochastic layer, in evaluation mode.
        x: images in [0, 1].
        steps: of gradient ascent for q*.
        samples: K of the estimate of log p(x).
        evaluate: samples that each ELBO is the mean of.

    Raises:
        ValueError: the model has a context or more than one layer.
    """
    if model.config.layers != 1 or model.context:
        raise ValueError(f"gaps are for one layer without a context, not {model.config.layers}")
    with torch.no_grad():
        amortised = torch.stack([model.terms(x).log_weight for _ in range(evaluate)]).mean()
    likelihood = log_likelihood(model, [x], samples).iwae.mean()
    start = _posterior(model, x)
    if start is None:
        return Gaps(float(likelihood), None, float(amortised))
    best = _optimise(model, x, start, steps)
    with torch.no_grad():
        value = torch.stack([_elbo(model, x, best) for _ in range(evaluate)]).mean()
    return Gaps(float(likelihood), float(value), float(amortised))


@torch.no_grad()
def _posterior(model: Hvae, x: Tensor) -> Normal | None:
    """Return q, where the search for q* begins; None where it is a flow."""
    inference = Inference()
    model.infer(inference, x)
    return inference.posteriors[0].gaussian


def _optimise(model: Hvae, x: Tensor, start: Normal, steps: int) -> Normal:
    mean, log_std = (
        t.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        for t in (start.mean, start.log_std)
    )
    optimiser = torch.optim.Adam([mean, log_std], lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        (-_elbo(model, x, Normal(mean, log_std)).sum()).backward(inputs=[mean, log_std])
        optimiser.step()
    return Normal(mean.detach(), log_std.detach())


class _Fixed(Inference):
    """Inference with a given Gaussian in the place of q."""

    def __init__(self, normal: Normal):
        super().__init__()
        self.normal = normal

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        return super().code(layer, prior, lambda: GaussianPosterior(self.normal))


def _elbo(model: Hvae, x: Tensor, q: Normal) -> Tensor:
    coder = _Fixed(q)
    walked = model.walk(coder, x.shape[0])
    return model.likelihood.log_prob(x, walked.features) - coder.terms[0].kl
