"""What the papers measure of a trained model.

    elbo            the bound, KL in closed form                    DCT-VAE, OU-VAE, DVP-VAE
    iwae            log mean exp of proper importance weights       OU-VAE, L_100 and L_5000
    mean_exp_kl     the same with KL in the weights' place: NOT a bound
    kl_units        KL of each unit, mean over images               DCT-VAE, eq. 3
    active          variance of E[z | x] over images > 0.01         DCT-VAE, eq. 4 and 5

`mean_exp_kl` is what the public code of DCT-VAE and DVP-VAE computes and calls the negative
log-likelihood: log mean exp over samples of log p(x | z) - sum of analytic KL. For an exact
posterior its value is not log p(x), but log p(x) + D_2(q || p) - KL, which is larger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .coders import LayerTerms
from .model import Hvae
from .objectives import log_mean_exp
from .priors import DiffusionPrior

ACTIVE = 0.01
"""Smallest variance of an active unit (Burda 2016)."""

DRAWS = 16
"""Samples of an image's other layers, over which the mean of q is taken for active units."""

DEAD_NATS = 0.01
"""KL below which a unit says nothing, for the share of dead units."""

Batches = Iterable[Tensor]
"""Images x, (B, C, H, W) in [0, 1]."""


@dataclass(frozen=True)
class LayerUse:
    """How a layer is used, over a set of images.

    Args:
        layer: 0 for the context, 1 for z_L, ..., L for z_1.
        kl: nats an image.
        kl_units: (M,), nats; None where there is no closed form.
        variances: (M,), A_l of DCT-VAE, eq. 4: of E[z_l | x] over the images. An estimate that
            may be a little below 0.
    """

    layer: int
    kl: float
    kl_units: Tensor | None
    variances: Tensor

    @property
    def active(self) -> int:
        """How many units are active."""
        return int((self.variances > ACTIVE).sum())


@dataclass(frozen=True)
class Bound:
    """The bound over a set of images, in nats an image.

    Args:
        elbo: (N,), of each image.
        reconstruction: mean of log p(x | z).
        layers: the context first where there is one, then z_L ... z_1.
    """

    elbo: Tensor
    reconstruction: float
    layers: tuple[LayerUse, ...]

    @property
    def mean(self) -> float:
        """Mean of the bound."""
        return float(self.elbo.mean())

    @property
    def kl(self) -> float:
        """Mean of all KL terms together, the context's included."""
        return sum(layer.kl for layer in self.layers)

    @property
    def latents(self) -> tuple[LayerUse, ...]:
        """The layers without the context: what shares of active units are of."""
        return tuple(layer for layer in self.layers if layer.layer)

    @property
    def active_share(self) -> float:
        """Share of active units; the context's are not counted."""
        units = sum(layer.variances.numel() for layer in self.latents)
        return sum(layer.active for layer in self.latents) / units

    @property
    def unit_kl(self) -> Tensor:
        """KL of all units that have a closed form, without the context, sorted, (M,)."""
        found = [layer.kl_units for layer in self.latents if layer.kl_units is not None]
        return torch.cat(found).sort().values if found else torch.zeros(0)

    @property
    def dead_share(self) -> float:
        """Share of units whose KL is below 0.01 nats."""
        kl = self.unit_kl
        return float((kl < DEAD_NATS).float().mean()) if kl.numel() else math.nan


class _Sums:
    """Sums of one layer over batches."""

    def __init__(self, terms: LayerTerms):
        units = terms.mean.shape[1]
        self.layer, self.count = terms.layer, 0
        self.kl = 0.0
        zeros = torch.zeros(units, dtype=torch.float64)
        self.mean, self.square, self.noise = zeros, zeros, zeros
        self.units = None if terms.kl_units is None else torch.zeros(units, dtype=torch.float64)

    def add(self, draws: list[LayerTerms]) -> None:
        """Add a batch, of which each image's z was drawn a few times; KL is that of the first."""
        terms = draws[0]
        means = torch.stack([each.mean.double() for each in draws])  # (draws, B, M)
        mean = means.mean(0)
        self.count += len(mean)
        self.kl += float(terms.kl.double().sum())
        self.mean = self.mean + mean.sum(0)
        self.square = self.square + mean.square().sum(0)
        if len(draws) > 1:  # what the mean of a few draws still varies by, of one image
            self.noise = self.noise + means.var(0).sum(0) / len(draws)
        if self.units is not None and terms.kl_units is not None:
            self.units += terms.kl_units.double().sum(0)

    def use(self) -> LayerUse:
        n = self.count
        variances = self.square / n - (self.mean / n).square() - self.noise / n
        units = None if self.units is None else self.units / n
        return LayerUse(self.layer, self.kl / n, units, variances)


@torch.no_grad()
def bound(model: Hvae, batches: Batches, draws: int = DRAWS) -> Bound:
    """Measure the bound with one sample of z for each image, and the use of each unit.

    The variance that makes a unit active is that of E[z_l | x] over images (DCT-VAE, eq. 4; Burda
    2016). The mean of q depends on z_{>l} (ladder) or z_{<l} (serial), and the expectation is over
    these as well: with one sample of them their noise would count as activity, and a z_l that
    follows nothing but the noise of its neighbour would be active.

    Args:
        model: in evaluation mode.
        batches: images.
        draws: samples of z for each image, for the expectation; with 1 the noise counts.
    """
    sums: list[_Sums] = []
    elbo, reconstruction = [], 0.0
    for x in batches:
        terms = model.terms(x)
        with torch.random.fork_rng(devices=[]):  # the bound has the same noise for any `draws`
            more = [model.terms(x) for _ in range(draws - 1)]
        sums = sums or [_Sums(layer) for layer in terms.layers]
        for total, *layers in zip(sums, *(t.layers for t in (terms, *more)), strict=True):
            total.add(layers)
        elbo.append(terms.elbo.double())
        reconstruction += float(terms.reconstruction.double().sum())
    joined = torch.cat(elbo)
    return Bound(joined, reconstruction / len(joined), tuple(total.use() for total in sums))


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates of log p(x) from K samples, (N,) each, in nats."""

    iwae: Tensor
    mean_exp_kl: Tensor


@torch.no_grad()
def log_likelihood(model: Hvae, batches: Batches, samples: int) -> LogLikelihood:
    """Estimate log p(x) of each image by K samples of q.

    `iwae` is a lower bound in expectation (Burda 2016). `mean_exp_kl` is not a bound.
    """
    proper, public = [], []
    for x in batches:
        terms = [model.terms(x) for _ in range(samples)]
        proper.append(log_mean_exp(torch.stack([t.log_weight.double() for t in terms], dim=-1)))
        public.append(log_mean_exp(torch.stack([t.elbo.double() for t in terms], dim=-1)))
    return LogLikelihood(torch.cat(proper), torch.cat(public))


@torch.no_grad()
def continuous_context_kl(model: Hvae, batches: Batches, draws: int = 10) -> float | None:
    """Return the context's KL under a diffusion of infinitely many steps, nats an image.

    With a perfect network that of T steps is larger, and the difference is what finite steps cost.
    With another one it may be smaller: it weighs the errors at each time otherwise.

    Args:
        model: in evaluation mode.
        batches: images.
        draws: times that are drawn for each image.

    Returns:
        None where no diffusion is over the context.
    """
    if model.context is None or not isinstance(model.prior, DiffusionPrior):
        return None
    total, count = 0.0, 0
    for x in batches:
        u, log_q = model.context.posterior(x).draw()
        for _ in range(draws):
            bound_on_u = model.prior.bound(u, 0, model.context.cell)
            total += float((log_q - bound_on_u).double().sum())
            count += len(u)
    return total / count


def bits_per_dimension(nats: float, image: tuple[int, int, int]) -> float:
    """Return -nats / (dimensions ln 2) for a log-likelihood in nats."""
    return -nats / (math.prod(image) * math.log(2))


def gradient_variance(model: Hvae, x: Tensor, repeats: int) -> float:
    """Return the variance of the gradient of the bound over noise, summed over weights.

    The model is in the mode that it is in: with smoothing in training mode (OU-VAE, fig. 4).
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    square = 0.0
    for _ in range(repeats):
        loss = -model.terms(x).elbo.mean()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for sum_, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                sum_ += gradient
                square += float(gradient.double().square().sum())
    mean_square = sum(float((part / repeats).double().square().sum()) for part in total)
    return (square / repeats - mean_square) * repeats / (repeats - 1)
