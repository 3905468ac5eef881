"""Draws symbols instead of reading them: pictures from noise, and levels that a decoder lacks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bitstream import InvalidField, PmfTables, Prior
from ..models.dct import to_rgb
from .symbols import SymbolReader
from .view import whole
from .weights import Codec

MAX_PATCHES = 64 * 64
"""Of a drawn picture, which is one tile."""


@dataclass(frozen=True)
class Sampling:
    """How symbols are drawn.

    Attributes:
        seed: >= 0; the same one gives the same symbols.
        temperature: masses are raised to the power of its inverse; 1 draws from the model, 0
            takes what is most likely.

    Raises:
        InvalidField: one is outside its range.
    """

    seed: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if whole("seed", self.seed) < 0:
            raise InvalidField(f"seed {self.seed} is negative")
        if not 0 <= self.temperature < math.inf:
            raise InvalidField(f"temperature {self.temperature} is not 0 or above")


class Draws:
    """A stack that gives drawn symbols to whoever pops, and forgets what is pushed.

    Args:
        tables: the weights' tables.
        sampling: how to draw.
        number: of the tile; each has its own sequence.
    """

    def __init__(self, tables: PmfTables, sampling: Sampling, number: int = 0):
        self.tables, self.temperature = tables, sampling.temperature
        self.rng = np.random.default_rng((sampling.seed, number))

    def push(self, tables: Tensor, symbols: Tensor) -> None:
        """See `models.priors.interface.SymbolStack`."""

    def cost(self, tables: Tensor, symbols: Tensor) -> Tensor:
        """See `SymbolStack`; nothing is pushed, and so nothing costs."""
        return torch.zeros(len(symbols))

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        """See `SymbolStack`."""

    def pop(self, tables: Tensor) -> Tensor:
        """See `SymbolStack`."""
        rows = tables.to(torch.int64).numpy()
        symbols = np.empty(rows.size, np.int64)
        for row in np.unique(rows):
            inside = self.tables.table(int(row))[:-1]  # without the escape
            here = rows == row
            symbols[here] = self.tables.start[row] + self._drawn(inside, int(here.sum()))
        return torch.from_numpy(symbols)

    def pop_under(self, pmf: Tensor) -> Tensor:
        """See `SymbolStack`."""
        if pmf.stride(0) == 0 and len(pmf):
            return torch.from_numpy(self._drawn(pmf[0].numpy(), len(pmf)))
        drawn = [self._drawn(row, 1) for row in pmf.numpy()]
        return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *drawn]))

    def _drawn(self, masses: np.ndarray, count: int) -> np.ndarray:
        """Draw from masses (K,): int64 (count,) in 0...K-1."""
        if self.temperature == 0:
            return np.full(count, masses.argmax())
        relative = (masses / masses.max()) ** (1 / self.temperature)
        below = np.cumsum(relative)
        drawn = np.searchsorted(below, self.rng.random(count) * below[-1], side="right")
        return drawn.clip(max=masses.size - 1)


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def draw_picture(
    codec: Codec,
    size: tuple[int, int],
    quality: int,
    sampling: Sampling,
    prior: Prior = Prior.MASKED_DIFFUSION,
) -> np.ndarray:
    """Draw a picture from noise, through prior, trunk and synthesis.

    Args:
        codec: the weights.
        size: (rows, columns) of patches.
        quality: 0...100; the model knows how pictures look when they are coded at it.
        sampling: how to draw.
        prior: of the context.

    Returns:
        (32 rows, 32 columns, 3) uint8 RGB.

    Raises:
        InvalidField: the size or the quality is outside its range.
        WeightsError: the weights do not have the prior.
    """
    quality, size = whole("quality", quality), (whole("rows", size[0]), whole("columns", size[1]))
    if min(size) < 1 or size[0] * size[1] > MAX_PATCHES:
        raise InvalidField(f"{size[0]}x{size[1]} patches are not 1 to {MAX_PATCHES} patches")
    if not 0 <= quality <= 100:
        raise InvalidField(f"quality {quality} is outside 0...100")
    model, draws = codec.model_at(quality), Draws(codec.tables, sampling)
    at = torch.full((1,), quality)
    every = torch.ones(model.config.context_channels, dtype=torch.bool)
    context = codec.prior(prior).pop(draws, size, at, codec.norm, every)
    latents = model.latents(context, at, SymbolReader([draws]))
    rgb = to_rgb(model.synthesise(context, latents, at))
    return rgb[0].clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
