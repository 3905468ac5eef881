"""Toys of the notes: what collapses by construction."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...models.vae.distributions import Normal

SAMPLES = 64
EVALUATED = 4096


def categorical(values: int, steps: int, seed: int) -> dict[str, Any]:
    """Train a VAE of a categorical variable whose likelihood may be any (notes, eq. 3).

    The optimum is p(x | z) = p(x): the bound is then the entropy, and z is not used.

    Args:
        values: of x, each with a probability of its own.
        steps: updates; every one sees all values, weighed by their probabilities.
        seed: of the weights and of z.

    Returns:
        `kl` of the posterior, and by how much the loss exceeds the entropy, in nats.
    """
    torch.manual_seed(seed)
    p = torch.softmax(torch.linspace(-1, 1, values), 0)
    encoder = nn.Sequential(nn.Linear(values, 32), nn.Tanh(), nn.Linear(32, 4))
    decoder = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, values))
    both = nn.ModuleList([encoder, decoder])
    optimiser = torch.optim.Adam(both.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps), 1e-5)
    x = torch.eye(values)

    def terms(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        q = Normal(*encoder(x).chunk(2, dim=1))
        z = torch.stack([q.draw() for _ in range(samples)])
        log_p = torch.log_softmax(decoder(z), -1).diagonal(dim1=1, dim2=2).mean(0)
        kl = q.kl_units(Normal(torch.zeros_like(q.mean), torch.zeros_like(q.mean))).sum(1)
        return (p * log_p).sum(), (p * kl).sum()

    for _ in range(steps):
        log_p, kl = terms(SAMPLES)
        optimiser.zero_grad()
        (kl - log_p).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        log_p, kl = terms(EVALUATED)
    entropy = -(p * p.log()).sum()
    return {"kl": float(kl), "elbo": float(log_p - kl), "excess": float(kl - log_p - entropy)}
