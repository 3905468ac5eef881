"""The bound of a Gaussian diffusion, term by term (Kingma 2021; DVP-VAE, app. A).

Two priors are made of it: that of the papers' models (`vae.priors`), over the context of one image,
and that of the codec (`priors.gaussian_diffusion`), over a grid of contexts.

The forward process is q(y_t | u) = N(alpha_t u, sigma_t**2), alpha_t**2 + sigma_t**2 = 1, for t
from 0 to 1. All of it depends on the log signal-to-noise ratio alone:

    log_snr(t) = log(alpha_t**2 / sigma_t**2),    alpha_t**2 = sigmoid(log_snr(t))

    log r(u) >=   E log r(u | y_0)                                   reconstruction
                - KL(q(y_1 | u) || N(0, I))                          prior
                - sum_i E KL(q(y_s | y_t, u) || r(y_s | y_t))        diffusion, s = t - 1/T

DVP-VAE's eq. 31 lacks the logarithm on the left, and its eq. 17 subtracts the bound where it has
to add it. All terms are (B,), in nats. u is (B, c, d, d); on a lattice, `cell` is the distance of
its points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ..codec.errors import ConfigError
from .distributions import Normal, sum_images

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Gives the noise that is believed to be in y_t (B, c, d, d), at log_snr (B,)."""

Belief = Callable[[Tensor, Tensor], Normal]
"""Gives r(u | y_t) for y_t (B, c, d, d) at log_snr (B,)."""


# Forward process


def alpha_sigma(log_snr: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return alpha_t and sigma_t, (B, 1, 1, 1) for `like` (B, c, d, d)."""
    log_snr = _of_images(log_snr, like)
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def forward(u: Tensor, log_snr: Tensor) -> Normal:
    """Return q(y_t | u) for the log-SNR of t, (B,)."""
    alpha, sigma = alpha_sigma(log_snr, u)
    return Normal(alpha * u, sigma.log().expand_as(u))


def _of_images(x: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...) of as many axes as `like`."""
    return x.view(-1, *[1] * (like.dim() - 1))


# Schedules: log-SNR against time

# -log alpha**2 = floor + rise t + curve t**2 is the integral of beta(t) = 0.1 ... 20 (Ho 2020)
BETA_FLOOR, BETA_RISE, BETA_CURVE = 1e-4, 0.1, 9.95
BETA_ENDS = (9.21, -10.05)
"""Its log-SNR at t = 0 and t = 1, rounded to what lies within."""


@dataclass(frozen=True)
class Schedule:
    """The log signal-to-noise ratio as a function of time.

    Args:
        kind: `linear-log-snr` falls linearly from `ends[0]` to `ends[1]` (DVP-VAE, table 7).
            `linear-beta` is the part of Ho 2020's, and `cosine` that of Nichol 2021's, which lies
            between `ends`.
        ends: log-SNR at t = 0 and at t = 1; `linear-beta` goes from 9.21 to -10.05.

    Raises:
        ConfigError: the schedule does not reach an end.
    """

    kind: str
    ends: tuple[float, float]

    def __post_init__(self) -> None:
        highest, lowest = BETA_ENDS if self.kind == "linear-beta" else (math.inf, -math.inf)
        if not lowest <= self.ends[1] <= self.ends[0] <= highest:
            raise ConfigError(f"{self.kind} does not fall from {self.ends[0]} to {self.ends[1]}")

    def __call__(self, t: Tensor) -> Tensor:
        """t (B,) in [0, 1] -> log-SNR (B,)."""  # noqa: D403
        top, bottom = self.ends
        if self.kind == "linear-log-snr":
            return top + (bottom - top) * t
        first, last = self._time_of(top), self._time_of(bottom)
        t = first + (last - first) * t
        if self.kind == "linear-beta":
            return -torch.log(torch.expm1(BETA_FLOOR + BETA_RISE * t + BETA_CURVE * t.square()))
        return -2 * torch.log(torch.tan(0.5 * math.pi * t))

    def _time_of(self, log_snr: float) -> float:
        """Return when the whole schedule of `kind` reaches a log-SNR."""
        if self.kind == "cosine":
            return 2 / math.pi * math.atan(math.exp(-log_snr / 2))
        falling = math.log1p(math.exp(-log_snr)) - BETA_FLOOR
        root = math.sqrt(BETA_RISE**2 + 4 * BETA_CURVE * falling)
        return (root - BETA_RISE) / (2 * BETA_CURVE)

    def slope(self, t: Tensor) -> Tensor:
        """Return -d log_snr / dt at t (B,), >= 0."""
        with torch.enable_grad():
            t = t.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self(t).sum(), t)
        return -slope


# Reconstruction


def likelihood(y: Tensor, log_snr: Tensor) -> Normal:
    """Return r(u | y_0) = N(y_0 / alpha_0, sigma_0**2 / alpha_0**2) (DVP-VAE, eq. 30)."""
    alpha, sigma = alpha_sigma(log_snr, y)
    return Normal(y / alpha, (sigma / alpha).log().expand_as(y))


def log_units(belief: Normal, u: Tensor, cell: Tensor | None) -> Tensor:
    """Return log r(u | y_0) of each unit: a density, or on a lattice the mass of u's cell."""
    return belief.log_units(u) if cell is None else belief.log_cells(u, cell)


# Prior


def prior_kl(u: Tensor, log_snr: Tensor) -> Tensor:
    """Return KL(q(y_1 | u) || N(0, I)), with sigma_1**2 = 1 - alpha_1**2."""
    alpha, _ = alpha_sigma(log_snr, u)
    log_variance = _of_images(functional.logsigmoid(-log_snr), u)
    return 0.5 * sum_images(alpha.square() * (u.square() - 1) - log_variance)


# Diffusion


def step_kl(noise_error: Tensor, log_snr: Tensor, earlier: Tensor) -> Tensor:
    """Return KL(q(y_s | y_t, u) || r(y_s | y_t)) (Kingma 2021, eq. 13 and 14).

    Args:
        noise_error: (B,), squared error of the noise that is believed to be in y_t. An error of u
            counts exp(log_snr) times in it.
        log_snr: at t, (B,).
        earlier: at s, (B,).
    """
    return 0.5 * torch.expm1(earlier - log_snr) * noise_error


def continuous_kl(u: Tensor, reverse: Reverse, schedule: Schedule) -> Tensor:
    """Return one sample of the diffusion term for T = infinity (Kingma 2021, eq. 17).

    Times are spread evenly over the batch from one random start, which lowers the variance.
    """
    batch = u.shape[0]
    t = (torch.rand(()) + torch.arange(batch) / batch) % 1.0
    t = t.to(u)
    log_snr = schedule(t)
    alpha, sigma = alpha_sigma(log_snr, u)
    noise = torch.randn_like(u)
    found = reverse.noise(alpha * u + sigma * noise, log_snr)
    return 0.5 * schedule.slope(t) * sum_images((noise - found).square())


def stepwise_kl(u: Tensor, reverse: Reverse, schedule: Schedule, steps: int) -> Tensor:
    """Return one sample of the diffusion term for T = `steps`: that of one step, T times."""
    t = torch.randint(1, steps + 1, u.shape[:1]).to(u) / steps
    log_snr, earlier = schedule(t), schedule(t - 1 / steps)
    y = forward(u, log_snr).draw()
    q, r = step_back(y, known(u), log_snr, earlier), reverse.transition(y, log_snr, earlier)
    return steps * sum_images(q.kl_units(r))


# One step of the chain


def step_back(y: Tensor, u: Normal, log_snr: Tensor, earlier: Tensor) -> Normal:
    """Return the integral of q(y_s | y_t, u) over a Gaussian u, for s < t.

    With `known(u)` that is q(y_s | y_t, u) itself (DVP-VAE, eq. 26 to 28). With r(u | y_t) it is
    r(y_s | y_t).

    Args:
        y: y_t, (B, c, d, d).
        u: what is known of u, of the same shape.
        log_snr: at t, (B,).
        earlier: at s, (B,).
    """
    alpha_t, _ = alpha_sigma(log_snr, y)
    alpha_s, sigma_s = alpha_sigma(earlier, y)
    # 1 - SNR_t / SNR_s is the share of the noise that is taken back
    share = _of_images(-torch.expm1(log_snr - earlier), y)
    mean = (1 - share) * (alpha_s / alpha_t) * y + share * alpha_s * u.mean
    # y_s is linear in u, so the variance of u adds to that of the step
    variance = sigma_s.square() * share + (share * alpha_s * u.std).square()
    return Normal(mean, 0.5 * variance.log())


def known(u: Tensor) -> Normal:
    """Return a Gaussian without variance: u itself."""
    return Normal(u, torch.full_like(u, -math.inf))


def guess(y: Tensor, noise: Tensor, log_snr: Tensor) -> Tensor:
    """Return u for the noise that is believed to be in y_t."""
    alpha, sigma = alpha_sigma(log_snr, y)
    return (y - sigma * noise) / alpha


# The way back, as a network has it


class Reverse(Protocol):
    """What a network makes of y_t: r(y_s | y_t) of each step, and r(u | y_0) at the end."""

    @property
    def noise(self) -> Denoiser:
        """Finds the noise that is believed to be in y_t."""
        ...

    def transition(self, y: Tensor, log_snr: Tensor, earlier: Tensor) -> Normal:
        """Return r(y_s | y_t)."""
        ...

    def last(self, y: Tensor, log_snr: Tensor) -> Normal:
        """Return r(u | y_0)."""
        ...


@dataclass(frozen=True)
class FixedVariance:
    """The network finds the noise; variances are those of q(y_s | y_t, u) (Kingma 2021)."""

    noise: Denoiser

    def transition(self, y: Tensor, log_snr: Tensor, earlier: Tensor) -> Normal:
        """See `Reverse`."""
        return step_back(y, known(guess(y, self.noise(y, log_snr), log_snr)), log_snr, earlier)

    def last(self, y: Tensor, log_snr: Tensor) -> Normal:
        """See `Reverse`."""
        return likelihood(y, log_snr)


@dataclass(frozen=True)
class LearnedVariance:
    """The network gives r(u | y_t), a Gaussian whose variance widens every step (DCT-VAE, app. C).

    r(y_s | y_t) = integral of q(y_s | y_t, u) r(u | y_t) du, in closed form. So few steps cost
    little.
    """

    belief: Belief

    def noise(self, y: Tensor, log_snr: Tensor) -> Tensor:
        """See `Reverse`."""
        alpha, sigma = alpha_sigma(log_snr, y)
        return (y - alpha * self.belief(y, log_snr).mean) / sigma

    def transition(self, y: Tensor, log_snr: Tensor, earlier: Tensor) -> Normal:
        """See `Reverse`."""
        return step_back(y, self.belief(y, log_snr), log_snr, earlier)

    def last(self, y: Tensor, log_snr: Tensor) -> Normal:
        """See `Reverse`."""
        return self.belief(y, log_snr)


# All steps


def chain_log_weight(
    u: Tensor, reverse: Reverse, schedule: Schedule, steps: int, cell: Tensor | None
) -> Tensor:
    """Draw y_1 ... y_0 from q, and return log r(u, y) - log q(y | u), (B,).

    Its mean is the bound for T = `steps`. As an importance weight it is proper, which the sum of
    the terms above is not: they are means over y already.
    """
    times = [schedule(torch.full(u.shape[:1], i / steps, dtype=u.dtype)) for i in range(steps + 1)]
    zeros = torch.zeros_like(u)
    q = forward(u, times[-1])
    y = q.draw()
    total = Normal(zeros, zeros).log_density(y) - q.log_density(y)
    for log_snr, earlier in zip(times[:0:-1], times[-2::-1], strict=True):
        q, r = step_back(y, known(u), log_snr, earlier), reverse.transition(y, log_snr, earlier)
        y = q.draw()
        total = total + r.log_density(y) - q.log_density(y)
    return total + sum_images(log_units(reverse.last(y, times[0]), u, cell))


def draw_chain(
    start: Tensor, reverse: Reverse, schedule: Schedule, steps: int, temperature: float
) -> Tensor:
    """Draw u by ancestral sampling: back from y_1 = `start`, (B, c, d, d), in `steps` steps."""
    y = start
    for i in range(steps, 0, -1):
        log_snr = schedule(torch.full(y.shape[:1], i / steps, dtype=y.dtype))
        earlier = schedule(torch.full(y.shape[:1], (i - 1) / steps, dtype=y.dtype))
        y = reverse.transition(y, log_snr, earlier).draw(temperature)
    return reverse.last(y, schedule(torch.zeros(y.shape[:1], dtype=y.dtype))).draw(temperature)
