"""What networks are conditioned on: one quality a sample, or one a position.

A network takes a tensor (B,), or a `QualityMap`. A layer takes (B,), or (B, 1, ...) of the
positions that it conditions; a dimension of size 1 stands for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..codec.quality import qualities


class QualityMap(NamedTuple):
    """The quality of each position at the strides of conditioned layers.

    Attributes:
        patches: (B, 1, h, w), at stride 32.
        latents: (B, 1, 4h, 4w), at stride 8.
        fine: (B, 1, 8h, 8w), at stride 4.
    """

    patches: Tensor
    latents: Tensor
    fine: Tensor


Quality = Tensor | QualityMap


def tensors_of(quality: qualities.Quality, batch: int = 1) -> Quality:
    """Return the quality of a batch of tiles as networks take it, on the CPU."""
    if not isinstance(quality, qualities.PatchQualities):
        return torch.full((batch,), quality)
    strides = qualities.PATCH, qualities.LATENT, qualities.FINE
    maps = (qualities.positions_of(quality, a_side) for a_side in strides)
    return QualityMap(*(torch.from_numpy(each) for each in maps))


def moved(quality: Quality, device: torch.device) -> Quality:
    """Return a quality on a device."""
    if isinstance(quality, QualityMap):
        return QualityMap(*(each.to(device) for each in quality))
    return quality.to(device)


def at_patches(quality: Quality) -> Tensor:
    """Return what layers at stride 32 take."""
    return quality.patches if isinstance(quality, QualityMap) else quality


def at_latents(quality: Quality) -> Tensor:
    """Return what layers at stride 8 take."""
    return quality.latents if isinstance(quality, QualityMap) else quality


def at_fine(quality: Quality) -> Tensor:
    """Return what layers at stride 4 take."""
    return quality.fine if isinstance(quality, QualityMap) else quality


def as_map(quality: Tensor) -> Tensor:
    """Return qualities as (B, 1, ...), those of samples as (B, 1, 1, 1)."""
    return quality[:, None, None, None] if quality.dim() == 1 else quality


def upsampled(positions: Tensor, times: int) -> Tensor:
    """Repeat what positions have, (B, 1, h, w), to so many a side; (B, 1, 1, 1) stands for all."""
    if positions.shape[2:] == (1, 1):
        return positions
    return positions.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)


def without_channels(quality: Tensor) -> Tensor:
    """Return qualities as (B, ...)."""
    return quality if quality.dim() == 1 else quality[:, 0]


def over(x: Tensor, factors: Tensor) -> Tensor:
    """Bring factors (B, c) to the dimensions of x (B, c, ...); those of positions have them."""
    return factors[(..., *[None] * (x.dim() - factors.dim()))]
