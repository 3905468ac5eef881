"""Grey images: luma alone is coded, and both sides know that the rest is zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.coders import LatentCoder
from ..models.config import ModelConfig
from ..models.dct import context_order, latent_order
from ..models.dct_vae import DctVae
from ..models.trunk import Posterior
from .symbols import Selector


@dataclass(frozen=True)
class Luma:
    """Which channels are luma's.

    Attributes:
        context: bool (C,) for the context.
        trunk: bool (C,) for each level of the trunk.
        latents_mask: 1 for luma and 0 for chroma, (C, 1, 1).
    """

    context: Tensor
    trunk: list[Tensor]
    latents_mask: Tensor


def coded_context(config: ModelConfig, is_grey: bool) -> Tensor:
    """Tell which channels of the context are coded: bool (C,), luma's or all."""
    luma = luma_of(config).context
    return luma if is_grey else torch.ones_like(luma)


def luma_of(config: ModelConfig) -> Luma:
    """Tell luma from chroma in a model's channels."""
    context = torch.tensor([plane == 0 for plane, _, _ in context_order(config)])
    latents = torch.tensor([p == 0 for p, _, _ in latent_order(config.latent_channels)])
    return Luma(
        context=context,
        trunk=list(latents.split(config.level_channels)),
        latents_mask=latents[:, None, None].float(),
    )


def walk_latents(
    model: DctVae,
    context: Tensor,
    quality: Tensor,
    coder: LatentCoder,
    posterior: Posterior | None = None,
    *,
    is_grey: bool,
) -> Tensor:
    """Walk down the levels of the latents, of luma alone if the image is grey.

    Args:
        model: trunk and posteriors.
        context: (B, C, h, w) integers.
        quality: (B,).
        coder: see `models.trunk.Trunk.walk`.
        posterior: for coders that ask.
        is_grey: chroma is not coded, and zero.

    Returns:
        (B, C, 4h, 4w) latents in steps.
    """
    if not is_grey:
        return model.latents(context, quality, coder, posterior)
    luma = luma_of(model.config)
    latents = model.latents(context, quality, Selector(coder, luma.trunk), posterior)
    return latents * luma.latents_mask
