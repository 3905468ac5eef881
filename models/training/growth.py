"""A trained model with all coefficients, in which those that it lacked begin as surely zero.

The transform of 8x8 blocks has 192 coefficients. Which of them are latents is a matter of the
configuration (`ModelConfig.level_channels`), in order of frequency: those that a model leaves out
are its last ones. They join the last level. There their scale index is 0, under which a symbol is
skipped, or costs next to nothing where none is (`CodingConditions.skips`). No network looks at them
yet. So nothing that is decoded changes, up to the quality where `linear_from` lets the networks go.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...codec.config import COEFFICIENTS, PRESETS, ModelConfig
from ...codec.errors import WeightsError
from ..dct_vae import DctVae


def opened(config: ModelConfig) -> ModelConfig:
    """Return a configuration with all coefficients, of which a model of `config` can grow one.

    Raises:
        WeightsError: it has all of them.
    """
    missing = COEFFICIENTS - config.latent_channels
    if not missing:
        raise WeightsError(f"the model has all {COEFFICIENTS} coefficients already")
    *levels, last = config.level_channels
    linear_from = PRESETS["open"].linear_from
    return replace(config, level_channels=(*levels, last + missing), linear_from=linear_from)


@torch.no_grad()
def grown(tensors: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return the tensors of a model of `opened(config)`, from those of a float one of `config`."""
    larger = opened(config)
    full = DctVae(larger).state_dict()
    for name, old in tensors.items():
        new = full[name]
        if new.shape == old.shape:
            full[name] = old.clone()
            continue
        if name.endswith("step_gain.knots"):
            new.copy_(old.mean(dim=2, keepdim=True))  # as fine as the others
        elif not name.endswith(("skeleton", "knots")):  # which begin as the DCT, and as they are
            new.zero_()
        (side,) = (n for n, (a, b) in enumerate(zip(new.shape, old.shape, strict=True)) if a != b)
        for start, size, place in _places(name, old.shape[side], config, larger):
            new.narrow(side, place, size).copy_(old.narrow(side, start, size))
    return full


def _places(
    name: str, channels: int, config: ModelConfig, larger: ModelConfig
) -> list[tuple[int, int, int]]:
    """Return (start, size, place) of the runs of channels that keep together, there and here."""
    if ".head" in name:  # means, then scale indices
        half = channels // 2
        return [(0, half, 0), (half, half, larger.level_channels[-1])]
    if name.endswith("synthesis.stem.weight"):  # latents, then the context
        latents = config.latent_channels
        return [(0, latents, 0), (latents, channels - latents, larger.latent_channels)]
    return [(0, channels, 0)]
