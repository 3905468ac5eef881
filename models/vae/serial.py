"""The serial hierarchical VAE and Ornstein-Uhlenbeck smoothing (OU-VAE, sec. 1 and 2).

    q(z_1 | x) prod q(z_l+1 | z_l)        bottom-up, drawn one after another
    p(z_L) prod p(z_l | z_l+1) p(x | z_1) no features are shared; `skips` sees two layers

Smoothing replaces the mean and deviation of p(z_l | z_l+1) by their averages over z' that are
correlated with z_l+1. It is for training only, for the generator only, and not for p(x | z_1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..distributions import Normal
from .blocks import ConvGaussian, MlpGaussian
from .coders import Distribution, GaussianPosterior, LayerCoder, Posterior, unknown_posterior
from .config import VaeConfig
from .flows import Flow, FlowPosterior

SAMPLES = 5
"""K, the correlated samples that are averaged; the paper finds that 5 to 10 suffice."""

FLOW_HIDDEN = 64


@dataclass(frozen=True)
class Drawn:
    """q(z_l | z_l-1) and the z_l that was drawn from it.

    Args:
        normal: the Gaussian, before a flow.
        z: the sample.
        posterior: what the walk hands to its coder.
    """

    normal: Normal
    z: Tensor
    posterior: Posterior


@dataclass(frozen=True)
class FixedPosterior:
    """A flow's posterior that was drawn from already."""

    mean: Tensor
    z: Tensor
    log_q: Tensor
    gaussian: Normal | None = None

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return what was drawn."""
        return self.z, self.log_q


class Serial(nn.Module):
    """q and p of all layers, as MLPs or convolutions."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.config = config
        shapes = config.latent_shapes
        below = [config.image, *shapes[:-1]]
        self.posteriors = nn.ModuleList(
            _network(config, i, [below[i]], shapes[i]) for i in range(config.layers)
        )
        # p(z_l | ...) for z_1 ... z_L-1
        self.priors = nn.ModuleList(
            _network(config, i, _seen(shapes, i + 1, config.skips), shapes[i])
            for i in range(config.layers - 1)
        )
        self.flows = nn.ModuleList()
        if config.flow_steps:
            self.flows.extend(Flow(units, config.flow_steps, FLOW_HIDDEN) for units in config.units)

    def encode(self, x: Tensor) -> list[Drawn]:
        """X (B, C, H, W) in [0, 1] -> z_1 ... z_L, drawn."""
        # an MLP sees 0 and 1, as in IWAE: -1 of all background saturates its first tanh layer
        drawn, below = [], x if self.config.network == "mlp" else 2 * x - 1
        for i, network in enumerate(self.posteriors):
            normal: Normal = network([below])
            if self.flows:
                flow = self.flows[i]
                assert isinstance(flow, Flow)
                posterior = FlowPosterior(normal, flow)
                z, log_q = posterior.draw()
                drawn.append(Drawn(normal, z, FixedPosterior(posterior.mean, z, log_q)))
            else:
                z = normal.draw()
                is_top = i == self.config.layers - 1
                drawn.append(Drawn(normal, z, GaussianPosterior(normal, z, not is_top)))
            below = z
        return drawn

    def encode_top(self, x: Tensor) -> Normal:
        """Return q(z_L | z_L-1) for one sample of what lies below, for a VampPrior."""
        return self.encode(x)[-1].normal

    def walk(
        self,
        coder: LayerCoder,
        features: Sequence[Drawn] | None,
        batch: int,
        top: Distribution | None,
        picture: Tensor | None,
    ) -> tuple[list[Tensor], Tensor]:
        """Visit z_L ... z_1; see `Ladder.walk`. In the place of h_1 stands what p(x | ...) sees."""
        assert top is not None and picture is None
        latents: list[Tensor] = []
        for number in range(1, self.config.layers + 1):
            i = self.config.layers - number
            prior = top if number == 1 else self._prior(i, latents, features)
            z = coder.code(number, prior, partial(_posterior, features, i))
            latents.append(z)
        seen = latents[-2:] if self.config.skips else latents[-1:]
        return latents, torch.cat([z.flatten(1) for z in reversed(seen)], dim=1)

    def _prior(self, i: int, above: list[Tensor], features: Sequence[Drawn] | None) -> Normal:
        """Return p(z_i+1 | z_i+2, ...), smoothed in training where q is known."""
        network = self.priors[i]
        count = 2 if self.config.skips else 1
        inputs = above[: -count - 1 : -1]  # the nearest first
        if not self.training or self.config.rho == 1 or features is None:
            return network(inputs)
        drawn = features[i + 1 : i + 1 + len(inputs)]
        return smooth(network, [correlate(d, self.config.rho, SAMPLES) for d in drawn])


def correlate(drawn: Drawn, rho: float, samples: int) -> Tensor:
    """Draw z' = mu + sigma (rho e1 + sqrt(1 - rho**2) e2), (K, B, ...) (OU-VAE, eq. 3).

    e1 is the noise that z was drawn with.
    """
    normal = drawn.normal
    noise = torch.randn(samples, *drawn.z.shape).to(drawn.z)
    kept = rho * drawn.z + (1 - rho) * normal.mean
    return kept + (1 - rho**2) ** 0.5 * normal.std * noise


def smooth(network: Callable[[list[Tensor]], Normal], inputs: list[Tensor]) -> Normal:
    """Average mean and deviation over K samples: (K, B, ...) each (OU-VAE, sec. 2.2)."""
    samples = inputs[0].shape[0]
    normal = network([x.flatten(0, 1) for x in inputs])
    mean, std = (x.unflatten(0, (samples, -1)).mean(0) for x in (normal.mean, normal.std))
    return Normal(mean, std.log())


def _posterior(features: Sequence[Drawn] | None, i: int) -> Posterior:
    return unknown_posterior() if features is None else features[i].posterior


def _seen(shapes: Sequence[tuple[int, ...]], first: int, skips: bool) -> Sequence[tuple[int, ...]]:
    """Return the shapes of what p(z_l | ...) sees: the layer above, or two with skips."""
    return shapes[first : first + (2 if skips else 1)]


def _network(
    config: VaeConfig, i: int, inputs: Sequence[tuple[int, ...]], shape: tuple[int, ...]
) -> nn.Module:
    """Build a network for a Gaussian over z_i+1."""
    if config.network == "mlp":
        sizes = [torch.Size(part).numel() for part in inputs]
        return MlpGaussian(sizes, config.mlp_hidden[i], shape[0])
    return ConvGaussian(inputs, shape, config.width, config.hidden, config.blocks)
