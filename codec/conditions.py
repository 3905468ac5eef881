"""What both sides know of a picture before its first symbol, beside its size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bitstream import Header
from .config import ModelConfig
from .schedule import context_mask, latent_mask


@dataclass(frozen=True)
class CodingConditions:
    """What the networks are conditioned on, and which channels are coded.

    Attributes:
        config: the sizes of the models.
        quality: 0...100.
        is_grey: luma alone is coded; chroma is zero on both sides.
    """

    config: ModelConfig
    quality: int
    is_grey: bool

    @classmethod
    def of(cls, header: Header, config: ModelConfig) -> CodingConditions:
        """Return the conditions that a file names."""
        return cls(config, header.quality, header.color.is_grey)

    @property
    def context_mask(self) -> NDArray[np.bool_]:
        """The channels of the context that are coded: (C,)."""
        return context_mask(self.config, self.is_grey)

    @property
    def latent_mask(self) -> NDArray[np.bool_]:
        """The channels of the latents that are coded: (C,)."""
        return latent_mask(self.config, self.is_grey)
