"""The hierarchical VAE: context, walk and likelihood together, and the terms of its bound.

log p(x) >= E[ log p(x | z) ] - KL(q(u | x) || p(u)) - sum_l E[ KL(q(z_l | ...) || p(z_l | ...)) ]
               reconstruction   context                 layers
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from .coders import Generation, Inference, LayerCoder, LayerTerms, Posterior, unknown_posterior
from .config import VaeConfig
from .contexts import Context
from .ladder import Features, Ladder
from .likelihoods import likelihood_of
from .priors import top_prior
from .readouts import ConvReadout, MlpReadout
from .serial import Drawn, Serial


@dataclass(frozen=True)
class Terms:
    """The bound of each image, term by term, in nats.

    Args:
        reconstruction: (B,), log p(x | z).
        layers: what inference met, the context first where there is one, then z_L ... z_1.
    """

    reconstruction: Tensor
    layers: tuple[LayerTerms, ...]

    @property
    def kl(self) -> Tensor:
        """Sum of all KL terms, the context's included, (B,)."""
        return torch.stack([layer.kl for layer in self.layers]).sum(0)

    @property
    def elbo(self) -> Tensor:
        """The bound with KL in closed form where there is one, (B,)."""
        return self.reconstruction - self.kl

    @property
    def log_weight(self) -> Tensor:
        """Importance weight log p(x, z, u) - log q(z, u | x) at the sample, (B,)."""
        ratios = torch.stack([layer.log_ratio for layer in self.layers])
        return self.reconstruction + ratios.sum(0)


@dataclass(frozen=True)
class Walked:
    """A walk's values: u, z_L ... z_1, and the features of the readout."""

    context: Tensor | None
    latents: tuple[Tensor, ...]
    features: Tensor


class Hvae(nn.Module):
    """A hierarchical VAE as its configuration says."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.config = config
        self.context = None if config.context == "none" else Context(config)
        top = config.context_shape if self.context else config.latent_shapes[-1]
        self.prior = top_prior(config, top)
        self.hierarchy: Ladder | Serial
        self.hierarchy = Ladder(config) if config.inference == "ladder" else Serial(config)
        self.readout: ConvReadout | MlpReadout
        self.readout = MlpReadout(config) if config.network == "mlp" else ConvReadout(config)
        self.likelihood = likelihood_of(config)

    def fit(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Take from training images what is known before training: S of a DCT, means of pixels.

        Args:
            batches: goes through the images, x (B, C, H, W) in [0, 1], whenever it is called.
        """
        if self.context:
            self.context.fit(batches())
        self.likelihood.fit(batches())

    def walk(
        self,
        coder: LayerCoder,
        batch: int,
        features: Features | list[Drawn] | None = None,
        posterior: Callable[[], Posterior] | None = None,
    ) -> Walked:
        """Visit u and z_L ... z_1 with a coder: the one walk of all uses.

        Args:
            coder: decides each value.
            batch: B.
            features: what the posteriors of z need, from `hierarchy.encode`.
            posterior: gives q(u | x).
        """
        cell = self.context.cell if self.context else None
        top = self.prior(batch, cell, self.hierarchy.encode_top)
        u = picture = None
        if self.context:
            u = coder.code(0, top, posterior or unknown_posterior)
            picture, top = self.context.picture(u), None
        latents, h = self.hierarchy.walk(coder, features, batch, top, picture)  # type: ignore[arg-type]
        return Walked(u, tuple(latents), self.readout(latents, h))

    def infer(self, coder: LayerCoder, x: Tensor) -> Walked:
        """Walk with images x (B, C, H, W) in [0, 1] at hand, whose posteriors can be asked."""
        features = self.hierarchy.encode(x)
        posterior = partial(self.context.posterior, x) if self.context else None
        return self.walk(coder, x.shape[0], features, posterior)

    def terms(self, x: Tensor) -> Terms:
        """Draw z once from q for each image x (B, C, H, W), and return the terms of the bound."""
        inference = Inference()
        walked = self.infer(inference, x)
        reconstruction = self.likelihood.log_prob(x, walked.features)
        return Terms(reconstruction, tuple(inference.terms))

    @torch.no_grad()
    def sample(self, count: int, temperature: float = 1.0) -> tuple[Tensor, Tensor | None]:
        """Draw images: means of p(x | z), (count, C, H, W), and contexts as pictures."""
        walked = self.walk(Generation(temperature), count)
        picture = None
        if self.context and walked.context is not None:
            picture = self.context.picture(walked.context)
        return self.likelihood.mean(walked.features), picture


def parameters(model: nn.Module) -> int:
    """Return how many numbers are learned."""
    return sum(p.numel() for p in model.parameters())
