"""Priors of the top variable: z_L, or the context u where a model has one.

Each gives a `Distribution` for a batch. A plain Gaussian is a `Normal`, so that its KL has a
closed form. The others are mixtures, or a bound by diffusion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .. import diffusion
from ..distributions import Normal, sum_images
from .coders import Distribution
from .config import VaeConfig
from .denoiser import InputNetwork, NoiseNetwork

EncodeTop = Callable[[Tensor], Normal]
"""Gives q(z_L | x) for images x (K, C, H, W)."""


class TopPrior(Protocol):
    """Gives p of the top variable, for a batch, perhaps on a lattice."""

    def __call__(self, batch: int, cell: Tensor | None, encode_top: EncodeTop) -> Distribution:
        """Return p of the top variable for `batch` samples."""
        ...


@dataclass(frozen=True)
class LatticeNormal:
    """A Gaussian that gives a point of a lattice the mass of its cell."""

    normal: Normal
    cell: Tensor

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log mass, (B,), in nats."""
        return sum_images(self.normal.log_cells(z, self.cell))

    def draw(self, temperature: float = 1.0) -> Tensor:
        """Draw a point of the lattice."""
        return rounded(self.normal.draw(temperature), self.cell)


def rounded(z: Tensor, cell: Tensor | None) -> Tensor:
    """Return the nearest points of a lattice; z itself where there is none."""
    return z if cell is None else cell * torch.floor(z / cell + 0.5)


class GaussianPrior(nn.Module):
    """N(0, I), or a Gaussian whose means and deviations are learned."""

    mean: Tensor
    log_std: Tensor

    def __init__(self, shape: tuple[int, ...], learned: bool):
        super().__init__()
        for name in ("mean", "log_std"):
            zeros = torch.zeros(shape)
            if learned:
                self.register_parameter(name, nn.Parameter(zeros))
            else:
                self.register_buffer(name, zeros, persistent=False)

    def forward(self, batch: int, cell: Tensor | None, encode_top: EncodeTop) -> Distribution:
        """See `TopPrior`."""
        shape = (batch, *self.mean.shape)
        normal = Normal(self.mean.expand(shape), self.log_std.expand(shape))
        return normal if cell is None else LatticeNormal(normal, cell)


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians with independent units (DVP-VAE, eq. 4 and 7).

    Args:
        batch: how many `draw` gives.
        components: (K, ...) means and deviations.
        log_weights: (K,), normalised.
        cell: distance of the points of a lattice, or None.
    """

    batch: int
    components: Normal
    log_weights: Tensor
    cell: Tensor | None = None

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log p(z, component), (B, K), in nats."""
        normal = Normal(self.components.mean[None], self.components.log_std[None])
        z = z[:, None]
        units = normal.log_units(z) if self.cell is None else normal.log_cells(z, self.cell)
        return units.flatten(2).sum(2) + self.log_weights

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z), (B,), in nats."""
        return torch.logsumexp(self.log_joint(z), dim=1)

    def draw(self, temperature: float = 1.0) -> Tensor:
        """Draw z, (batch, ...)."""
        chosen = torch.multinomial(self.log_weights.exp(), self.batch, replacement=True)
        normal = Normal(self.components.mean[chosen], self.components.log_std[chosen])
        return rounded(normal.draw(temperature), self.cell)


class MixturePrior(nn.Module):
    """A mixture of Gaussians with learned weights, means and deviations."""

    def __init__(self, shape: tuple[int, ...], components: int):
        super().__init__()
        self.mean = nn.Parameter(0.5 * torch.randn(components, *shape))
        self.log_std = nn.Parameter(torch.full((components, *shape), -0.5))
        self.logits = nn.Parameter(torch.zeros(components))

    def forward(self, batch: int, cell: Tensor | None, encode_top: EncodeTop) -> Distribution:
        """See `TopPrior`."""
        components = Normal(self.mean, self.log_std.clamp(min=-7))
        return Mixture(batch, components, torch.log_softmax(self.logits, 0), cell)


class VampPrior(nn.Module):
    """The mean of q(z_L | u_k) over K learned pseudo-inputs (Tomczak 2018; DVP-VAE, eq. 4)."""

    def __init__(self, image: tuple[int, int, int], components: int):
        super().__init__()
        self.pseudo_inputs = nn.Parameter(torch.randn(components, *image) - 1)

    def forward(self, batch: int, cell: Tensor | None, encode_top: EncodeTop) -> Distribution:
        """See `TopPrior`."""
        components = encode_top(torch.sigmoid(self.pseudo_inputs))
        count = len(self.pseudo_inputs)
        uniform = components.mean.new_full((count,), -math.log(count))
        return Mixture(batch, components, uniform, cell)


@dataclass(frozen=True)
class Diffusion:
    """A Gaussian diffusion over (B, c, d, d).

    In training the log density is one sample of the bound. Otherwise it is the log weight of a
    chain of T steps, whose mean is the bound for T, and which is proper as an importance weight.
    """

    prior: DiffusionPrior
    batch: int
    cell: Tensor | None

    def log_density(self, z: Tensor) -> Tensor:
        """See the class; (B,), in nats."""
        prior = self.prior
        if prior.training:
            return prior.bound(z, prior.train_steps, self.cell)
        return diffusion.chain_log_weight(z, prior.reverse, prior.schedule, prior.steps, self.cell)

    def draw(self, temperature: float = 1.0) -> Tensor:
        """Draw u, (batch, c, d, d), in T steps."""
        prior = self.prior
        start = temperature * prior.network.place.new_empty(self.batch, *prior.shape).normal_()
        u = diffusion.draw_chain(start, prior.reverse, prior.schedule, prior.steps, temperature)
        return rounded(u, self.cell)


class DiffusionPrior(nn.Module):
    """The diffusion-based VampPrior (DVP-VAE, sec. 3.4), and the prior of DCT-VAE (app. C)."""

    def __init__(self, shape: tuple[int, ...], config: VaeConfig):
        super().__init__()
        self.shape = shape
        self.steps, self.train_steps = config.diffusion_steps, config.diffusion_train_steps
        self.schedule = diffusion.Schedule(config.schedule, config.log_snr)
        channels, side = shape[0], shape[-1]
        width, blocks = config.diffusion_width, config.diffusion_blocks
        self.network: NoiseNetwork | InputNetwork
        self.reverse: diffusion.Reverse
        if config.predict == "noise":
            self.network = NoiseNetwork(channels, side, width, blocks)
            self.reverse = diffusion.FixedVariance(self.network)
        else:
            self.network = InputNetwork(channels, side, width, blocks)
            self.reverse = diffusion.LearnedVariance(self.network)

    def forward(self, batch: int, cell: Tensor | None, encode_top: EncodeTop) -> Distribution:
        """See `TopPrior`."""
        return Diffusion(self, batch, cell)

    def bound(self, u: Tensor, steps: int, cell: Tensor | None) -> Tensor:
        """Return one sample of the bound on log r(u), (B,), in nats.

        Args:
            u: (B, c, d, d).
            steps: T; 0 is continuous time.
            cell: distance of the points of a lattice, or None.
        """
        ends = u.new_tensor([0.0, 1.0])
        first, last = (end.expand(u.shape[0]) for end in self.schedule(ends))
        y = diffusion.forward(u, first).draw()
        reconstruction = sum_images(diffusion.log_units(self.reverse.last(y, first), u, cell))
        if steps:
            kl = diffusion.stepwise_kl(u, self.reverse, self.schedule, steps)
        else:
            kl = diffusion.continuous_kl(u, self.reverse, self.schedule)
        return reconstruction - diffusion.prior_kl(u, last) - kl


def top_prior(config: VaeConfig, shape: tuple[int, ...]) -> nn.Module:
    """Build the prior that a configuration names, for a top variable of a shape."""
    if config.prior in ("normal", "gaussian"):
        return GaussianPrior(shape, learned=config.prior == "gaussian")
    if config.prior == "mixture":
        return MixturePrior(shape, config.components)
    if config.prior == "vamp":
        return VampPrior(config.image, config.components)
    return DiffusionPrior(shape, config)
