"""Fits where latents are reconstructed, for models whose symbols stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dct_vae import DctVae
from ..networks.quantizers import Rounder
from .losses import run

PASSES = 2
LEARNING_RATE = 0.02


def fit_reconstruction(
    model: DctVae, batches: Sequence[Tensor], qualities: tuple[int, int]
) -> None:
    """Fit the offsets of a frozen model, in place, to the least error on training images.

    Args:
        model: whose other weights have no gradient.
        batches: crops (B, 3, H, W) of training photographs, uint8.
        qualities: the model's range, both ends included.
    """
    lowest, highest = qualities
    generator = torch.Generator().manual_seed(0)
    offsets = model.latents.reconstruction.offsets.requires_grad_()
    optimiser = torch.optim.Adam([offsets], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, PASSES * len(batches))
    for number in range(PASSES * len(batches)):
        crops = batches[number % len(batches)]
        quality = torch.randint(lowest, highest + 1, (len(crops),), generator=generator)
        _, terms = run(model, crops.float(), quality, Rounder(), with_prior=False)
        optimiser.zero_grad()
        (model.config.lmbda(quality).sqrt() * terms.mse).mean().backward()
        optimiser.step()
        schedule.step()
    offsets.requires_grad_(False)
