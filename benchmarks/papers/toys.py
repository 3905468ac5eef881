"""Toys of the notes: what collapses by construction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.distributions import Normal

NODES = 48
"""Of Gauss-Hermite quadrature: expectations over q(z | x) are exact to many digits."""


class _Categorical(nn.Module):
    """A VAE of a categorical variable, with one Gaussian z."""

    def __init__(self, values: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(values, 16), nn.Tanh(), nn.Linear(16, 2))
        self.decoder = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, values))
        self.double()
        self.p = torch.softmax(torch.linspace(-1, 1, values), 0).double()
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self.nodes = torch.from_numpy(nodes)
        self.weights = torch.from_numpy(weights) / math.sqrt(2 * math.pi)

    def terms(self) -> tuple[Tensor, Tensor]:
        """Return E log p(x | z) and KL(q(z | x) || p(z)), means over x, in nats."""
        q = Normal(*self.encoder(torch.eye(len(self.p)).double()).chunk(2, dim=1))
        z = q.mean + q.std * self.nodes  # (values, NODES)
        log_p = torch.log_softmax(self.decoder(z[..., None]), -1)  # (values, NODES, values)
        own = log_p.diagonal(dim1=0, dim2=2).T  # (values, NODES)
        kl = q.kl_units(Normal(torch.zeros_like(q.mean), torch.zeros_like(q.mean))).sum(1)
        return (self.p * (own @ self.weights)).sum(), (self.p * kl).sum()


def categorical(values: int, steps: int, seed: int) -> dict[str, Any]:
    """Train a VAE of a categorical variable whose likelihood may be any (notes, eq. 3).

    The optimum is p(x | z) = p(x): the bound is then the entropy, and z is not used. Near it the
    loss is flat, the loss growing with the square of the KL, so the expectation over z is taken
    by quadrature and the search is one of second order (L-BFGS).

    Args:
        values: of x, each with a probability of its own.
        steps: of the search.
        seed: of the weights.

    Returns:
        `kl` of the posterior at the start and at the end, and by how much the loss exceeds the
        entropy, in nats.
    """
    torch.manual_seed(seed)
    vae = _Categorical(values)
    search = torch.optim.LBFGS(vae.parameters(), max_iter=steps, tolerance_grad=1e-12,
                               tolerance_change=0, line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        search.zero_grad()
        log_p, kl = vae.terms()
        loss = kl - log_p
        loss.backward()
        return loss

    with torch.no_grad():
        start = vae.terms()[1]
    search.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        log_p, kl = vae.terms()
    entropy = -(vae.p * vae.p.log()).sum()
    return {
        "kl": float(kl),
        "start_kl": float(start),
        "elbo": float(log_p - kl),
        "excess_nats": float(kl - log_p - entropy),
    }
