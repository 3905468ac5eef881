"""What happens at a layer of the walk.

`Hvae.walk` visits the context, and `Ladder.walk` or `Serial.walk` z_L ... z_1. Each hands a prior
and a way to get the posterior to a coder, and the coder answers with the value of the variable.
The coder alone decides whether that is inference, generation, or something in between:

    z = coder.code(layer, prior, posterior)

Layer 0 is the context u. Layer k is z_(L + 1 - k), so layer 1 is the top one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ..distributions import Normal, sum_images


class Distribution(Protocol):
    """A prior p(z): a `Normal` or a prior of the top variable."""

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z), (B,), or a sample of its bound, in nats."""
        ...

    def draw(self, temperature: float = 1.0) -> Tensor:
        """Draw z."""
        ...


class Posterior(Protocol):
    """A posterior q(z | ...), of which a sample can be drawn with its log density."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return z and log q(z), (B,), in nats."""
        ...

    @property
    def gaussian(self) -> Normal | None:
        """The posterior where it is Gaussian."""
        ...

    @property
    def mean(self) -> Tensor:
        """The mean of the posterior, or what stands for it, (B, ...): see `FlowPosterior`."""
        ...


def unknown_posterior() -> Posterior:
    """Refuse to give a posterior where no image is known.

    Raises:
        ValueError: always.
    """
    raise ValueError("a posterior needs an image")


@dataclass(frozen=True)
class GaussianPosterior:
    """q(z) = N(mean, std**2).

    Args:
        gaussian: the Gaussian.
        drawn: z, where it was drawn already.
        shapes_prior: whether the prior was made of what was drawn after z, from q(z_l+1 | z_l).
    """

    gaussian: Normal
    drawn: Tensor | None = None
    shapes_prior: bool = False

    @property
    def mean(self) -> Tensor:
        """See `Posterior`."""
        return self.gaussian.mean

    def draw(self) -> tuple[Tensor, Tensor]:
        """See `Posterior`."""
        z = self.gaussian.draw() if self.drawn is None else self.drawn
        return z, self.gaussian.log_density(z)

    def kl_units(self, prior: Normal, z: Tensor) -> Tensor:
        """Return KL(q || prior) of each unit, or its estimate log q(z) - log p(z), in nats.

        The closed form is an expectation over a z that knows nothing of the prior. Where z shapes
        the prior, the expectation is over both together (OU-VAE, eq. 5), and one sample stands
        for it.
        """
        if self.shapes_prior:
            return self.gaussian.log_units(z) - prior.log_units(z)
        return self.gaussian.kl_units(prior)


class LayerCoder(Protocol):
    """Decides the value of a variable."""

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        """Return the value of the variable of a layer.

        Args:
            layer: 0 for the context, 1 for z_L, ..., L for z_1.
            prior: p(z_l | what lies above).
            posterior: gives q(z_l | x, what lies above); cannot be asked without an image.
        """
        ...


@dataclass(frozen=True)
class LayerTerms:
    """What inference met at a layer.

    Args:
        layer: 0 for the context, 1 for z_L, ..., L for z_1.
        kl: (B,), KL(q || p) in closed form where there is one, log q(z) - log p(z) otherwise.
        kl_units: (B, M), the same for each unit; None where p or q is no Gaussian.
        log_ratio: (B,), log p(z) - log q(z) at the sample.
        mean: (B, M), means of q; see `Posterior.mean`.
    """

    layer: int
    kl: Tensor
    kl_units: Tensor | None
    log_ratio: Tensor
    mean: Tensor


@dataclass
class Inference:
    """Takes z from q, and keeps the terms of the bound and the posteriors, by layer."""

    terms: list[LayerTerms] = field(default_factory=list)
    posteriors: list[Posterior] = field(default_factory=list)

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        """See `LayerCoder`."""
        q = posterior()
        z, log_q = q.draw()
        log_ratio = prior.log_density(z) - log_q
        units = None
        if isinstance(prior, Normal) and isinstance(q, GaussianPosterior):
            units = q.kl_units(prior, z).flatten(1)
        kl = -log_ratio if units is None else sum_images(units)
        self.terms.append(LayerTerms(layer, kl, units, log_ratio, q.mean.flatten(1)))
        self.posteriors.append(q)
        return z


@dataclass(frozen=True)
class Generation:
    """Draws z from p."""

    temperature: float = 1.0

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        """See `LayerCoder`."""
        return prior.draw(self.temperature)


@dataclass(frozen=True)
class First:
    """Takes the layers below `count` from one coder, the rest from another (DCT-VAE, eq. 8).

    `First(1, Inference(), Generation())` infers the context and draws all else.
    """

    count: int
    first: LayerCoder
    rest: LayerCoder

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        """See `LayerCoder`."""
        coder = self.first if layer < self.count else self.rest
        return coder.code(layer, prior, posterior)
