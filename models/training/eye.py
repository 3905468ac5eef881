"""What training for the eye takes: quality maps, and what SSIMULACRA2's error is worth."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...codec.images import Pixels
from ...codec.networks.weight_file import patch_range
from ...codec.quality.qualities import FINE, LATENT
from ...codec.rate_control.maps import eye_offsets
from ..qualities import QualityMap, upsampled

ERROR_MSE = 5.8
"""Mean squared error that bits are spent on as gladly as on a unit of SSIMULACRA2's error
(`ssimulacra2.error`): their slopes along the curve of quality, which stay in proportion."""


def eye_map(crops: Tensor, quality: Tensor, within: tuple[int, int]) -> QualityMap:
    """Return qualities moved by activity, as an encoder moves them.

    Args:
        crops: uint8 (B, 3, H, W); sides are multiples of 32.
        quality: (B,), real.
        within: the qualities that the model serves.
    """
    images = crops.permute(0, 2, 3, 1).cpu().numpy()
    offsets = np.stack([eye_offsets(Pixels(image)) for image in images])
    lowest, highest = patch_range(*within)
    moved = quality[:, None, None, None] + torch.from_numpy(offsets)[:, None].to(quality.device)
    patches = moved.clamp(lowest, highest)
    return QualityMap(patches, upsampled(patches, LATENT), upsampled(patches, FINE))
