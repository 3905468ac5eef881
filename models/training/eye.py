"""What training for the eye takes: quality maps, and what SSIMULACRA2's error is worth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...codec.color import RGB_TO_YCBCR
from ...codec.config import PATCH_PX
from ...codec.qualities import FINE, LATENT
from ...codec.quality import QUALITIES
from ...codec.quality_maps import FAINTEST, FARTHEST, STRENGTH, UNIT
from ..qualities import QualityMap, spread

ERROR_MSE = 5.8
"""Mean squared error that bits are spent on as gladly as on a unit of SSIMULACRA2's error
(`ssimulacra2.error`): their slopes along the curve of quality, which stay in proportion."""

FARTHER = (12, 5)
"""Qualities below and above those that a latent model serves that maps may reach."""

_BLOCK = 8


def eye_map(rgb: Tensor, quality: Tensor, within: tuple[int, int]) -> QualityMap:
    """Return qualities moved by activity, as `codec.quality_maps.eye_offsets` does.

    Args:
        rgb: (B, 3, H, W) in 0...255; sides are multiples of 32.
        quality: (B,), real.
        within: the qualities that the model serves.
    """
    luma = torch.einsum("c,bchw->bhw", rgb.new_tensor(RGB_TO_YCBCR[0]), rgb)[:, None]
    blocks = F.pixel_unshuffle(luma, _BLOCK)
    activity = torch.log2(blocks.var(1, correction=0, keepdim=True) + FAINTEST)
    activity = F.avg_pool2d(activity, PATCH_PX // _BLOCK)
    offsets = STRENGTH * (activity.mean((2, 3), keepdim=True) - activity)
    offsets = torch.round(offsets.clamp(-FARTHEST, FARTHEST) / UNIT) * UNIT
    lowest, highest = max(0, within[0] - FARTHER[0]), min(QUALITIES - 1, within[1] + FARTHER[1])
    patches = (quality[:, None, None, None] + offsets).clamp(lowest, highest)
    return QualityMap(patches, spread(patches, LATENT), spread(patches, FINE))
