"""Real numbers as integers of bins, and probabilities as integer masses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream import EntropyCoder, PmfTables, gaussian_pmfs, pop, push
from ...bitstream.escape import TOTAL
from ...models.distributions import Normal

NARROWEST, WIDEST = 0.05, 2048.0
"""Standard deviations that have a table, in bins."""

SCALES, OFFSETS = 240, 8
"""Neighbouring scales differ by 4.5 %, which costs at most 4e-4 bits a number."""


@dataclass(frozen=True)
class Bins:
    """Gaussian pmfs, and how a mean and a deviation find theirs.

    Numbers are float64. The same mean and deviation, bit for bit, find the same table, so that
    `pop` undoes `push` wherever the networks give the same numbers again.
    """

    pmfs: PmfTables

    @staticmethod
    @cache
    def build() -> Bins:
        """Build a table for each of `SCALES` standard deviations and `OFFSETS` means in a bin."""
        scales = np.geomspace(NARROWEST, WIDEST, SCALES)
        offsets = (np.arange(OFFSETS) + 0.5) / OFFSETS - 0.5
        return Bins(gaussian_pmfs(scales, offsets))

    def push(self, coder: EntropyCoder, normal: Normal, width: Tensor | float, z: Tensor) -> None:
        """Push numbers that lie at the middle of bins, k * width.

        Args:
            coder: the stack.
            normal: their distribution, (1, ...).
            width: of the bins, of that shape or one number.
            z: the numbers.
        """
        index, centre = self._find(normal, width)
        symbols = _flat(z / width)
        push(coder, index, np.rint(symbols).astype(np.int64) - centre, self.pmfs)

    def pop(self, coder: EntropyCoder, normal: Normal, width: Tensor | float) -> Tensor:
        """Pop what `push` pushed. From words of another origin it draws from the distribution."""
        index, centre = self._find(normal, width)
        symbols = pop(coder, index, self.pmfs) + centre
        return torch.from_numpy(symbols.astype(np.float64)).view(normal.mean.shape) * width

    def _find(
        self, normal: Normal, width: Tensor | float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the indices of pmfs, (n,), and the bins that their zero stands for."""
        mean, std = _flat(normal.mean / width), _flat(normal.std / width)
        ratio = math.log(WIDEST / NARROWEST) / (SCALES - 1)
        scale = np.rint(np.log(std / NARROWEST) / ratio).clip(0, SCALES - 1).astype(np.int64)
        centre = np.floor(mean + 0.5)
        offset = ((mean - centre + 0.5) * OFFSETS).clip(0, OFFSETS - 1).astype(np.int64)
        return scale * OFFSETS + offset, centre.astype(np.int64)


def masses(p: Tensor) -> NDArray[np.int64]:
    """Return integer masses, each at least 1, of sum 2**24 a row, for probabilities (n, K)."""
    found = np.floor(p.clamp(min=0).numpy() * (TOTAL - p.shape[1])).astype(np.int64) + 1
    found[np.arange(len(found)), found.argmax(1)] += TOTAL - found.sum(1)
    return found


def _flat(x: Tensor) -> NDArray[np.float64]:
    return x.detach().double().reshape(-1).numpy()
