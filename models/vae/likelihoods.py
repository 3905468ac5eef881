"""p(x | z): Bernoulli or discretised logistics, given the features of the readout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from ..distributions import LogisticMixture, bernoulli_log, sum_images
from .blocks import glorot
from .config import VaeConfig
from .pixelcnn import PixelCnn

RAREST = 1e-3
"""Smallest probability of a 0, and of a 1, that a pixel starts with."""


class Likelihood(Protocol):
    """A distribution of images x (B, C, H, W) in [0, 1] given features."""

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take from training images (B, C, H, W) in [0, 1] what is known before training."""
        ...

    def log_prob(self, x: Tensor, features: Tensor) -> Tensor:
        """Return log p(x | z), (B,), in nats."""
        ...

    def mean(self, features: Tensor) -> Tensor:
        """Return the mean of x, or what stands for it, (B, C, H, W)."""
        ...


def raw_channels(config: VaeConfig) -> int:
    """Return how many numbers a pixel's distribution needs."""
    if config.likelihood == "logistic":
        return LogisticMixture.parameters(config.image[0], config.mixtures)
    return config.image[0]


class Pixels(nn.Module):
    """The distribution of pixels given its parameters (B, n, H, W)."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.kind, self.channels = config.likelihood, config.image[0]
        self.mixtures = config.mixtures

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return log p(x), (B,), in nats."""
        if self.kind == "bernoulli":
            return sum_images(bernoulli_log(x, raw))
        return sum_images(self.mixture(raw).log_pixels(x))

    def mean(self, raw: Tensor) -> Tensor:
        """Return the mean of x, (B, C, H, W)."""
        if self.kind == "bernoulli":
            return torch.sigmoid(raw)
        return self.mixture(raw).mean()

    def draw(self, raw: Tensor) -> Tensor:
        """Draw x, (B, C, H, W)."""
        if self.kind == "bernoulli":
            return torch.bernoulli(torch.sigmoid(raw))
        return self.mixture(raw).draw()

    def mixture(self, raw: Tensor) -> LogisticMixture:
        """Return the distribution of discretised logistics."""
        return LogisticMixture.of(raw, self.channels, self.mixtures)


class Independent(nn.Module):
    """Pixels that are independent given z."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.pixels, self.shape = Pixels(config), config.image[1:]
        outputs = raw_channels(config)
        if config.network == "mlp":
            self.head: nn.Linear | nn.Conv2d = nn.Linear(
                config.mlp_hidden[0], outputs * self.shape[0] * self.shape[1]
            )
            glorot(self.head)
        else:
            self.head = nn.Conv2d(config.width, outputs, 3, padding=1)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Start from the mean of all pixels, or of each where each has a bias (IWAE's code).

        Without this a model spends its first hundreds of steps on the mean, and may stay there
        with all units asleep.

        Args:
            batches: training images, (B, C, H, W) in [0, 1].
        """
        if self.pixels.kind != "bernoulli":
            return  # measured: discretised logistics gain nothing from their marginal
        sums, count = torch.zeros(()), 0
        for x in batches:
            sums, count = sums + x.sum(0), count + x.shape[0]
        means = sums / count
        if isinstance(self.head, nn.Conv2d):
            means = means.mean((1, 2))
        with torch.no_grad():
            self.head.bias.copy_(torch.logit(means, RAREST).flatten())  # type: ignore[union-attr]

    def raw(self, features: Tensor) -> Tensor:
        """Return the parameters of all pixels, (B, n, H, W)."""
        return self.head(features).view(features.shape[0], -1, *self.shape)

    def log_prob(self, x: Tensor, features: Tensor) -> Tensor:
        """See `Likelihood`."""
        return self.pixels.log_prob(x, self.raw(features))

    def mean(self, features: Tensor) -> Tensor:
        """See `Likelihood`."""
        return self.pixels.mean(self.raw(features))


class Autoregressive(nn.Module):
    """Pixels that see those before them (PixelVAE, Gulrajani 2017; notes, eq. 2)."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.pixels, self.image = Pixels(config), config.image
        self.network = PixelCnn(
            config.image, config.width, config.pixelcnn_layers, raw_channels(config)
        )

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Need nothing of the training set."""

    def log_prob(self, x: Tensor, features: Tensor) -> Tensor:
        """See `Likelihood`."""
        return self.pixels.log_prob(x, self.network(x, features))

    def mean(self, features: Tensor) -> Tensor:
        """Draw x: the mean given z alone has no closed form."""
        return self.draw(features)

    def draw(self, features: Tensor) -> Tensor:
        """Draw x, (B, C, H, W): one pass of the network for each pixel, in raster order."""
        x = features.new_zeros(features.shape[0], *self.image)
        for row in range(self.image[1]):
            for column in range(self.image[2]):
                drawn = self.pixels.draw(self.network(x, features))
                x[:, :, row, column] = drawn[:, :, row, column]
        return x


def likelihood_of(config: VaeConfig) -> Independent | Autoregressive:
    """Build p(x | z) of a configuration."""
    return Autoregressive(config) if config.pixelcnn_layers else Independent(config)
