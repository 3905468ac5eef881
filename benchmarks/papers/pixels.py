"""Pixels on a stack of words, under the likelihood of a model."""

from __future__ import annotations

import torch
from torch import Tensor

from ...bitstream import EntropyCoder, pop_under, push_under
from ...models.vae.likelihoods import Independent
from .bins import masses


def levels(likelihood: Independent) -> int:
    """Return the highest value of a pixel: 1 of binary images, 255 of others."""
    return 1 if likelihood.pixels.kind == "bernoulli" else 255


def push_pixels(
    coder: EntropyCoder, likelihood: Independent, features: Tensor, pixels: Tensor
) -> None:
    """Push the pixels of an image, integers (1, C, H, W), under p(x | z).

    Args:
        coder: the stack.
        likelihood: Bernoulli or discretised logistics.
        features: of the readout, of one image, float64.
        pixels: integers in 0...`levels`.
    """
    raw = likelihood.raw(features)
    every = [_probabilities(likelihood, raw, c, pixels) for c in range(pixels.shape[1])]
    for c in reversed(range(len(every))):
        push_under(coder, masses(every[c]), pixels[0, c].flatten().numpy())


def pop_pixels(coder: EntropyCoder, likelihood: Independent, features: Tensor) -> Tensor:
    """Pop what `push_pixels` pushed: integers (1, C, H, W)."""
    raw = likelihood.raw(features)
    pixels = torch.zeros(1, likelihood.pixels.channels, *raw.shape[2:], dtype=torch.int64)
    for c in range(pixels.shape[1]):
        p = masses(_probabilities(likelihood, raw, c, pixels))
        pixels[0, c] = torch.from_numpy(pop_under(coder, p, len(p))).view_as(pixels[0, c])
    return pixels


def _probabilities(likelihood: Independent, raw: Tensor, channel: int, pixels: Tensor) -> Tensor:
    """Return the probability of each level of a channel given those before it, (H W, levels)."""
    if likelihood.pixels.kind == "bernoulli":
        p = torch.sigmoid(raw[0, channel].flatten())
        return torch.stack([1 - p, p], dim=1)
    mixture = likelihood.pixels.mixture(raw)
    return mixture.level_probabilities(channel, pixels.double() / 127.5 - 1)[0].flatten(0, 1)
