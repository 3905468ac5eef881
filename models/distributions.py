"""Gaussians, Bernoullis and discretised mixtures, each with what a bound needs of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LOG_2PI = math.log(2 * math.pi)


def sum_images(x: Tensor) -> Tensor:
    """Sum over everything but the batch: (B, ...) -> (B,)."""
    return x.flatten(1).sum(1)


@dataclass(frozen=True)
class Normal:
    """A Gaussian with independent units, each of mean `mean` and deviation exp(`log_std`).

    Both are (B, ...) of one shape.
    """

    mean: Tensor
    log_std: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviations, (B, ...)."""
        return self.log_std.exp()

    def draw(self, temperature: float = 1.0) -> Tensor:
        """Draw z by reparameterisation, its deviation scaled by `temperature`."""
        return self.mean + temperature * self.std * torch.randn_like(self.mean)

    def log_units(self, z: Tensor) -> Tensor:
        """Return the log density of each unit, (B, ...), in nats."""
        scaled = (z - self.mean) * torch.exp(-self.log_std)
        return -0.5 * (scaled.square() + LOG_2PI) - self.log_std

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log density of each sample, (B,), in nats."""
        return sum_images(self.log_units(z))

    def log_cells(self, z: Tensor, step: Tensor) -> Tensor:
        """Return the log mass of each unit's cell z +- step / 2, (B, ...), in nats.

        Computed on the side of the mean where the tail is small, so that far cells keep precision.
        """
        inverse = torch.exp(-self.log_std)
        centre = (z - self.mean).abs() * inverse
        half = 0.5 * step * inverse
        # P(centre - half < N(0, 1) < centre + half), both ends reflected to the left tail
        near, far = _log_tail(centre - half), _log_tail(centre + half)
        return near + torch.log(-torch.expm1((far - near).clamp(max=-1e-7)))

    def kl_units(self, prior: Normal) -> Tensor:
        """Return KL(self || prior) of each unit, (B, ...), in nats."""
        ratio = torch.exp(2 * (self.log_std - prior.log_std))
        distance = ((self.mean - prior.mean) * torch.exp(-prior.log_std)).square()
        return 0.5 * (ratio + distance - 1) + prior.log_std - self.log_std


def _log_tail(x: Tensor) -> Tensor:
    """Return log P(N(0, 1) > x)."""
    return torch.special.log_ndtr(-x)


def bernoulli_log(x: Tensor, logits: Tensor) -> Tensor:
    """Return log p(x) of each pixel; x in [0, 1], the logits of its shape, in nats."""
    return -functional.binary_cross_entropy_with_logits(logits, x, reduction="none")


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of discretised logistics on 256 levels (PixelCNN++, Salimans 2017).

    Green depends on red, and blue on both, by linear coefficients of the mean.

    Args:
        log_weights: (B, K, H, W), not normalised.
        means, log_scales: (B, K, C, H, W), for x in [-1, 1].
        couplings: (B, K, C (C - 1) / 2, H, W) in [-1, 1].
    """

    log_weights: Tensor
    means: Tensor
    log_scales: Tensor
    couplings: Tensor

    @staticmethod
    def parameters(channels: int, components: int) -> int:
        """Return how many numbers a pixel needs."""
        return components * (1 + 2 * channels + channels * (channels - 1) // 2)

    @classmethod
    def of(cls, raw: Tensor, channels: int, components: int) -> LogisticMixture:
        """Read the parameters from a network's output, (B, parameters, H, W)."""
        b, _, h, w = raw.shape
        pairs = channels * (channels - 1) // 2
        rows = raw.view(b, components, 1 + 2 * channels + pairs, h, w)
        weights, means, scales, couplings = rows.split([1, channels, channels, pairs], dim=2)
        return cls(weights[:, :, 0], means, scales.clamp(min=-7), torch.tanh(couplings))

    def log_pixels(self, x: Tensor) -> Tensor:
        """Return log p(x) of each pixel, (B, H, W), in nats; x is (B, C, H, W) in [0, 1]."""
        scaled = 2 * x - 1
        masses = torch.stack(
            [
                logistic_cell(self.mean_of(c, scaled), self.log_scales[:, :, c], scaled[:, c, None])
                for c in range(x.shape[1])
            ],
            dim=2,
        )  # (B, K, C, H, W)
        weights = torch.log_softmax(self.log_weights, dim=1)
        return torch.logsumexp(weights + masses.sum(2), dim=1)

    def mean_of(self, channel: int, scaled: Tensor) -> Tensor:
        """Return the means of a channel, (B, K, H, W), given the channels before it.

        Args:
            channel: 0 ... C - 1.
            scaled: (B, C, H, W) in [-1, 1]; channels from `channel` on are not read.
        """
        return self._coupled([scaled[:, None, before] for before in range(channel)])

    def _coupled(self, known: Sequence[Tensor]) -> Tensor:
        """Return the means of a channel, (B, K, H, W), given those before, (B, 1 or K, H, W)."""
        channel = len(known)
        mean = self.means[:, :, channel]
        first = channel * (channel - 1) // 2
        for before, value in enumerate(known):
            mean = mean + self.couplings[:, :, first + before] * value
        return mean

    def level_probabilities(self, channel: int, scaled: Tensor) -> Tensor:
        """Return p(x_c | x_<c) of each of the 256 levels, (B, H, W, 256).

        Args:
            channel: 0 ... C - 1.
            scaled: (B, C, H, W) in [-1, 1]; channels from `channel` on are not read.
        """
        log_weights = self.log_weights  # of each component, given the channels before
        for c in range(channel):
            mean, log_scale = self.mean_of(c, scaled), self.log_scales[:, :, c]
            log_weights = log_weights + logistic_cell(mean, log_scale, scaled[:, c, None])
        weights = torch.softmax(log_weights, dim=1)[..., None]
        edges = (2 * torch.arange(255).to(scaled) + 1) / 255 - 1  # between neighbouring levels
        inverse = torch.exp(-self.log_scales[:, :, channel, ..., None])
        below = torch.sigmoid((edges - self.mean_of(channel, scaled)[..., None]) * inverse)
        cumulative = functional.pad((weights * below).sum(1), (1, 0))
        return functional.pad(cumulative, (0, 1), value=1.0).diff(dim=-1)

    def draw(self) -> Tensor:
        """Draw x, (B, C, H, W) in [0, 1], on the 256 levels."""
        noise = -torch.log(-torch.log(torch.rand_like(self.log_weights).clamp(1e-5, 1 - 1e-5)))
        chosen = (self.log_weights + noise).argmax(1, keepdim=True)
        channels = self.means.shape[2]
        scaled = torch.zeros_like(self.means[:, 0])
        for c in range(channels):
            mean = self.mean_of(c, scaled).gather(1, chosen)[:, 0]
            scale = self.log_scales[:, :, c].gather(1, chosen)[:, 0].exp()
            u = torch.rand_like(mean).clamp(1e-5, 1 - 1e-5)
            value = mean + scale * (u.log() - torch.log1p(-u))
            # on its level, which is what the channels after it see
            scaled[:, c] = ((value + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
        return (scaled + 1) / 2

    def mean(self) -> Tensor:
        """Return the mean of x, (B, C, H, W) in [0, 1], the ends of the range not weighed."""
        means: list[Tensor] = []  # of each component, whose channels depend on one another alone
        for _ in range(self.means.shape[2]):
            means.append(self._coupled(means))
        weights = torch.softmax(self.log_weights, dim=1)[:, :, None]
        scaled = (weights * torch.stack(means, dim=2)).sum(1)
        return ((scaled + 1) / 2).clamp(0, 1)


def logistic_cell(mean: Tensor, log_scale: Tensor, scaled: Tensor) -> Tensor:
    """Return the log mass of a level of 256 under a logistic, the ends of the range open.

    Args:
        mean: (B, K, H, W).
        log_scale: the same.
        scaled: the level in [-1, 1]; broadcasts to that shape.
    """
    inverse = torch.exp(-log_scale)
    upper = inverse * (scaled - mean + 1 / 255)
    lower = inverse * (scaled - mean - 1 / 255)
    # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b))
    middle = functional.logsigmoid(upper) + functional.logsigmoid(-lower)
    middle = middle + torch.log(-torch.expm1(lower - upper))
    bottom, top = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    return torch.where(scaled < -0.999, bottom, torch.where(scaled > 0.999, top, middle))
