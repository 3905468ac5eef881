"""Sheets of pictures: samples, pseudo-inputs, and reconstructions from the first layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.vae.coders import Distribution, Generation, Posterior
from ...models.vae.model import Hvae
from ...models.vae.reconstruction import from_first
from .store import Sheets

ROWS, COLUMNS = 4, 8
TEMPERATURE = 0.8
"""Of the layers that are drawn in reconstructions (DVP-VAE, fig. 4: "low temperature")."""


@dataclass(frozen=True)
class _GivenContext:
    """Draws everything below a given context."""

    u: Tensor
    rest: Generation

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        return self.u if layer == 0 else self.rest.code(layer, prior, posterior)


@torch.no_grad()
def draw(model: Hvae, x: Tensor) -> Sheets:
    """Draw the sheets of a model.

    Args:
        model: in evaluation mode.
        x: a few images, (B, C, H, W), for reconstructions.

    Returns:
        `samples`: with a context, a row of pseudo-inputs and rows drawn from the same ones
        (DVP-VAE, fig. 3, 6, 9 and 10). `reconstructions`: the images, then those from more and
        more layers (fig. 4).
    """
    first = 1 if model.context else 2
    counts = np.unique(np.linspace(first, model.config.layers + 1, 5).round().astype(int))
    rebuilt = [x, *(from_first(model, x, int(m), TEMPERATURE) for m in counts)]
    return {"samples": _samples(model), "reconstructions": _sheet(torch.stack(rebuilt))}


def _samples(model: Hvae) -> NDArray[np.uint8]:
    if not model.context:
        flat, _ = model.sample(ROWS * COLUMNS)
        return _sheet(flat.unflatten(0, (ROWS, COLUMNS)))
    u = model.walk(Generation(), COLUMNS).context
    assert u is not None
    picture = model.context.picture(u)
    rows = [_stretched(picture)]
    for _ in range(ROWS):
        walked = model.walk(_GivenContext(u, Generation()), COLUMNS)
        rows.append(model.likelihood.mean(walked.features))
    return _sheet(torch.stack(rows))


def _stretched(x: Tensor) -> Tensor:
    """Bring each picture to 0...1."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low).clamp(min=1e-6)


def _sheet(x: Tensor) -> NDArray[np.uint8]:
    """(rows, columns, C, H, W) in [0, 1] -> uint8 (rows, columns, H, W[, 3])."""
    pixels = (x.clamp(0, 1) * 255).round().byte().numpy().transpose(0, 1, 3, 4, 2)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


@torch.no_grad()
def picture_error(model: Hvae, x: Tensor) -> float | None:
    """Return how unlike its image a pseudo-input's picture is; None without a context.

    The squared error of a picture, scaled and shifted to fit its image best, as a share of the
    image's variance; mean over images x (B, C, H, W). 0 is the image itself, 1 is no likeness.
    """
    if not model.context:
        return None
    u, _ = model.context.posterior(x).draw()
    y = model.context.picture(u).flatten(1)
    x = x.flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    fit = (x * y).sum(1).square() / (y.square().sum(1) * x.square().sum(1)).clamp(min=1e-12)
    return float((1 - fit).mean())
