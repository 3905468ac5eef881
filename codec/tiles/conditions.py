"""What both sides know of a picture before its first symbol, beside its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bitstream import Header
from ..config import ModelConfig
from ..quality.qualities import PatchQualities, Quality
from ..symbols.schedule import context_mask, latent_mask
from .tiling import Window

_ORIGIN = Window(0, 0, 0, 0)


@dataclass(frozen=True)
class CodingConditions:
    """What the networks are conditioned on, and which channels are coded.

    Attributes:
        config: the sizes of the models.
        quality: 0...100.
        is_grey: luma alone is coded; chroma is zero on both sides.
        quality_map: what each patch of the picture has more than `quality`, (h, w) integers; None
            where all have it.
    """

    config: ModelConfig
    quality: int
    is_grey: bool
    quality_map: NDArray[np.int16] | None = None

    @classmethod
    def of(
        cls, header: Header, config: ModelConfig, quality_map: NDArray[np.int16] | None = None
    ) -> CodingConditions:
        """Return the conditions that a file names."""
        return cls(config, header.quality, header.color.is_grey, quality_map)

    def at(self, windows: Sequence[Window]) -> Quality:
        """Return the quality of parts of the picture, of one size."""
        if self.quality_map is None:
            return self.quality
        parts = [self.quality_map[window.slices(_ORIGIN, 1)] for window in windows]
        return PatchQualities(self.quality, self.quality + np.stack(parts).astype(np.int64))

    @property
    def context_mask(self) -> NDArray[np.bool_]:
        """The channels of the context that are coded: (C,)."""
        return context_mask(self.config, self.is_grey)

    @property
    def latent_mask(self) -> NDArray[np.bool_]:
        """The channels of the latents that are coded: (C,)."""
        return latent_mask(self.config, self.is_grey)

    def without_uncoded(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return latents (B, C, H, W) with zeros in the channels that are not coded."""
        mask = self.latent_mask
        return latents if mask.all() else latents * mask[:, None, None].astype(np.float32)

    @property
    def skips(self) -> bool:
        """Whether latents that are all but surely zero are not coded.

        Near quality 100 the networks of open weights fade out, and so no symbol may be skipped.
        Nor is one where the share misses 1 by its last bit (docs/bitstream.md).
        """
        offset = 0 if self.quality_map is None else int(self.quality_map.max())
        return self.config.learned_share(self.quality + offset) == 1
