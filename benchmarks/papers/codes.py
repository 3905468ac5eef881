"""A variable on a stack of words under its prior, by bits-back where the prior has parts.

    push z                                    pop z
      take  parts  under q(parts | z)           pop        parts  under p(parts)
      push  z      under p(z | parts)           pop        z      under p(z | parts)
      push  parts  under p(parts)               give back  parts  under q(parts | z)

Each line on the right undoes one on the left, from the last to the first. A Gaussian has no parts,
a mixture has the component that z is of, and a diffusion has y_1 ... y_0 with a posterior that is
fixed. Values lie at the middle of bins, k * width, as in `bins`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...bitstream import EntropyCoder, pop_under, push_under
from ...models import diffusion
from ...models.distributions import Normal
from ...models.vae.coders import Distribution
from ...models.vae.priors import Diffusion, DiffusionPrior, LatticeNormal, Mixture
from .bins import Bins, masses

FINENESS = 4
"""Bins in a deviation of q(y_s | y_t, u)."""

Width = Tensor | float
Parts = list[Tensor]


class Code(Protocol):
    """How a variable of one image, (1, ...), is coded under a prior."""

    def take(self, coder: EntropyCoder, z: Tensor) -> Parts:
        """Pop parts that go with z."""
        ...

    def push(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """Push z and the parts that were taken for it."""
        ...

    def pop(self, coder: EntropyCoder) -> tuple[Tensor, Parts]:
        """Pop z and its parts."""
        ...

    def give_back(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """Push what `take` popped."""
        ...


def code_of(prior: Distribution, width: Width) -> Code:
    """Return the code of a variable under its prior, in bins of a width."""
    if isinstance(prior, Diffusion):
        return DiffusionCode(prior.prior, width)
    if isinstance(prior, Mixture):
        return MixtureCode(prior, width)
    if isinstance(prior, LatticeNormal):
        prior = prior.normal
    assert isinstance(prior, Normal)
    return GaussianCode(prior, width)


@dataclass(frozen=True)
class GaussianCode:
    """Under a Gaussian; no parts."""

    normal: Normal
    width: Width

    def take(self, coder: EntropyCoder, z: Tensor) -> Parts:
        """See `Code`."""
        return []

    def push(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""
        Bins.build().push(coder, self.normal, self.width, z)

    def pop(self, coder: EntropyCoder) -> tuple[Tensor, Parts]:
        """See `Code`."""
        return Bins.build().pop(coder, self.normal, self.width), []

    def give_back(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""


@dataclass(frozen=True)
class MixtureCode:
    """Under a mixture of Gaussians; its part is the component, an integer (1,)."""

    mixture: Mixture
    width: Width

    def take(self, coder: EntropyCoder, z: Tensor) -> Parts:
        """See `Code`."""
        return [self._pop_component(coder, self.mixture.log_joint(z))]

    def push(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""
        self._component(parts[0]).push(coder, z, [])
        self._push_component(coder, self.mixture.log_weights, parts[0])

    def pop(self, coder: EntropyCoder) -> tuple[Tensor, Parts]:
        """See `Code`."""
        number = self._pop_component(coder, self.mixture.log_weights)
        z, _ = self._component(number).pop(coder)
        return z, [number]

    def give_back(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""
        self._push_component(coder, self.mixture.log_joint(z), parts[0])

    def _component(self, number: Tensor) -> GaussianCode:
        components = self.mixture.components
        return GaussianCode(Normal(components.mean[number], components.log_std[number]), self.width)

    def _push_component(self, coder: EntropyCoder, logits: Tensor, number: Tensor) -> None:
        push_under(coder, masses(logits.view(1, -1).softmax(1)), number.numpy())

    def _pop_component(self, coder: EntropyCoder, logits: Tensor) -> Tensor:
        found = pop_under(coder, masses(logits.view(1, -1).softmax(1)), 1)
        return torch.from_numpy(found).long()


@dataclass(frozen=True)
class DiffusionCode:
    """Under a diffusion of T steps; its parts are y_1 ... y_0, from the noisiest on."""

    prior: DiffusionPrior
    width: Width

    def take(self, coder: EntropyCoder, z: Tensor) -> Parts:
        """See `Code`."""
        return self._pop_chain(coder, z)

    def push(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""
        self._last(parts[-1]).push(coder, z, [])
        self._push_chain(coder, None, parts)

    def pop(self, coder: EntropyCoder) -> tuple[Tensor, Parts]:
        """See `Code`."""
        parts = self._pop_chain(coder, None)
        z, _ = self._last(parts[-1]).pop(coder)
        return z, parts

    def give_back(self, coder: EntropyCoder, z: Tensor, parts: Parts) -> None:
        """See `Code`."""
        self._push_chain(coder, z, parts)

    def _push_chain(self, coder: EntropyCoder, u: Tensor | None, y: Parts) -> None:
        """Push the chain under q(y | u), or under r(y) where u is not known."""
        steps = self.prior.steps
        for i in range(1, steps + 1):
            self._step(i, y[steps - i], u).push(coder, y[steps - i + 1], [])
        self._first(u).push(coder, y[0], [])

    def _pop_chain(self, coder: EntropyCoder, u: Tensor | None) -> Parts:
        y = [self._first(u).pop(coder)[0]]
        for i in range(self.prior.steps, 0, -1):
            y.append(self._step(i, y[-1], u).pop(coder)[0])
        return y

    def _first(self, u: Tensor | None) -> GaussianCode:
        """Return q(y_1 | u), or N(0, I)."""
        zeros = torch.zeros((1, *self.prior.shape), dtype=torch.float64)
        normal = Normal(zeros, zeros)
        if u is not None:
            normal = diffusion.forward(u, self._log_snr(self.prior.steps))
        return GaussianCode(normal, 1 / 16)

    def _step(self, i: int, y: Tensor, u: Tensor | None) -> GaussianCode:
        """Return q(y_s | y_t, u) of step i = T ... 1, or r(y_s | y_t)."""
        log_snr, earlier = self._log_snr(i), self._log_snr(i - 1)
        # the deviation of q does not depend on u, so both sides find the same width
        q = diffusion.step_back(y, diffusion.known(y if u is None else u), log_snr, earlier)
        spread = q.log_std.flatten()[0].exp()
        width = 2.0 ** float(torch.floor(torch.log2(spread / FINENESS)))
        normal = self.prior.reverse.transition(y, log_snr, earlier) if u is None else q
        return GaussianCode(normal, width)

    def _last(self, y: Tensor) -> GaussianCode:
        """Return r(u | y_0)."""
        return GaussianCode(self.prior.reverse.last(y, self._log_snr(0)), self.width)

    def _log_snr(self, i: int) -> Tensor:
        return self.prior.schedule(torch.full((1,), i / self.prior.steps, dtype=torch.float64))
