"""Bits-back for the context: a point of a lattice under a Gaussian, or under a diffusion.

A diffusion of T steps is a hierarchy of its own, y_1 ... y_0 above u, with a fixed posterior:

    push                                         pop
      take    y_1, ..., y_0  under q(y | u)        pop       y_1       under N(0, I)
      push    u              under r(u | y_0)      pop       ..., y_0  under r(y_s | y_t)
              y_0, ...       under r(y_s | y_t)    pop       u         under r(u | y_0)
              y_1            under N(0, I)         give back y_0, ..., y_1  under q(y | u)
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...bitstream import Coder
from ...models import diffusion
from ...models.distributions import Normal
from ...models.vae.priors import Diffusion, DiffusionPrior, LatticeNormal
from .bins import Bins

FINENESS = 4
"""Bins in a deviation of q(y_s | y_t, u)."""


class _Chain:
    """The Gaussians of a diffusion, with the widths of their bins, which both sides know."""

    def __init__(self, prior: DiffusionPrior):
        self.prior = prior
        shape = (1, *prior.shape)
        self.zeros = torch.zeros(shape, dtype=torch.float64)
        steps = prior.steps
        self.times = [
            prior.schedule(torch.full((1,), i / steps, dtype=torch.float64))
            for i in range(steps + 1)
        ]

    def first(self, u: Tensor | None) -> Normal:
        """Return q(y_1 | u), or N(0, I) where u is not known."""
        if u is None:
            return Normal(self.zeros, self.zeros)
        return diffusion.forward(u, self.times[-1])

    def step(self, i: int, y: Tensor, u: Tensor | None) -> Normal:
        """Return q(y_s | y_t, u) of step i = T ... 1, or r(y_s | y_t) where u is not known."""
        log_snr, earlier = self.times[i], self.times[i - 1]
        if u is None:
            u = diffusion.guess(y, self.prior.denoiser(y, log_snr), log_snr)
        return diffusion.step_back(y, u, log_snr, earlier)

    def last(self, y: Tensor) -> Normal:
        """Return r(u | y_0)."""
        return diffusion.likelihood(y, self.times[0])

    def width(self, i: int) -> float:
        """Return the width of the bins of what step i gives; of y_1 for i = T + 1."""
        if i > self.prior.steps:
            return 1 / 16
        spread = self.step(i, self.zeros, self.zeros).log_std.flatten()[0].exp()
        return 2.0 ** float(torch.floor(torch.log2(spread / FINENESS)))


Levels = dict[int, Tensor]
"""y by the number of the step that gives it: y_0 is 1, y_1 is T + 1; empty for a Gaussian."""


def take(bins: Bins, coder: Coder, prior: Diffusion | LatticeNormal, u: Tensor) -> Levels:
    """Pop y_1 ... y_0 under q(y | u) for a context u, (1, c, d, d)."""
    if isinstance(prior, LatticeNormal):
        return {}
    chain, top = _Chain(prior.prior), prior.prior.steps
    y = {top + 1: bins.pop(coder, chain.first(u), chain.width(top + 1))}
    for i in range(top, 0, -1):
        y[i] = bins.pop(coder, chain.step(i, y[i + 1], u), chain.width(i))
    return y


def give_back(
    bins: Bins, coder: Coder, prior: Diffusion | LatticeNormal, u: Tensor, y: Levels
) -> None:
    """Push what `take` popped."""
    if isinstance(prior, LatticeNormal):
        return
    chain, top = _Chain(prior.prior), prior.prior.steps
    for i in range(1, top + 1):
        bins.push(coder, chain.step(i, y[i + 1], u), chain.width(i), y[i])
    bins.push(coder, chain.first(u), chain.width(top + 1), y[top + 1])


def push_context(
    bins: Bins,
    coder: Coder,
    prior: Diffusion | LatticeNormal,
    step: Tensor,
    u: Tensor,
    y: Levels,
) -> None:
    """Push the context u, a point of a lattice with distances `step`, and its levels."""
    if isinstance(prior, LatticeNormal):
        bins.push(coder, prior.normal, step, u)
        return
    chain, top = _Chain(prior.prior), prior.prior.steps
    bins.push(coder, chain.last(y[1]), step, u)
    for i in range(1, top + 1):
        bins.push(coder, chain.step(i, y[i + 1], None), chain.width(i), y[i])
    bins.push(coder, chain.first(None), chain.width(top + 1), y[top + 1])


def pop_context(
    bins: Bins, coder: Coder, prior: Diffusion | LatticeNormal, step: Tensor
) -> tuple[Tensor, Levels]:
    """Pop what `push_context` pushed: u and its levels."""
    if isinstance(prior, LatticeNormal):
        return bins.pop(coder, prior.normal, step), {}
    chain, top = _Chain(prior.prior), prior.prior.steps
    y = {top + 1: bins.pop(coder, chain.first(None), chain.width(top + 1))}
    for i in range(top, 0, -1):
        y[i] = bins.pop(coder, chain.step(i, y[i + 1], None), chain.width(i))
    return bins.pop(coder, chain.last(y[1]), step), y
