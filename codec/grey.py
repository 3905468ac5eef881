"""Grey images: luma alone is coded, and both sides know that the rest is zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.dct import latent_order
from ..models.dct_vae import DctVae


@dataclass(frozen=True)
class Luma:
    """Which channels are luma's.

    Attributes:
        prior: bool (C,) for each step of the context prior.
        trunk: bool (C,) for each level of the trunk.
        context_mask: 1 for luma and 0 for chroma, (C, 1, 1).
        latents_mask: the same for all latents.
    """

    prior: list[Tensor]
    trunk: list[Tensor]
    context_mask: Tensor
    latents_mask: Tensor


def luma_of(model: DctVae) -> Luma:
    """Tell luma from chroma in a model's channels."""
    context = torch.tensor([plane == 0 for plane, _, _ in model.dct.order])
    latents = torch.tensor([p == 0 for p, _, _ in latent_order(model.config.latent_channels)])
    return Luma(
        prior=[context[step.start : step.stop] for step in model.entropy.prior.schedule],
        trunk=[latents[level.start : level.stop] for level in model.entropy.trunk.levels],
        context_mask=context[:, None, None].float(),
        latents_mask=latents[:, None, None].float(),
    )
