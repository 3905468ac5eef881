"""Which of the frozen tables codes what.

    number            codes
    8 i + f           a coefficient of the context: scale index i, its mean f eighths off an integer
    512 + 4 i         a latent of scale index i, in quarters, while that is below 32: five steps
    8 round(i)        a latent of a larger scale

Nearly all latents have small scales. There a table takes few bytes, a quarter of an index still
tells, and latents are no Gaussians, nor what the context is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..bitstream import PmfTables, gaussian_tables, joined
from ..models.coders import SCALES, scale_of
from ..models.fixed_point import OFFSETS
from ..models.steps import INDEX_UNIT

_OF_CONTEXT = SCALES * OFFSETS
_OF_LATENTS = 32 * INDEX_UNIT
TABLE_COUNT = _OF_CONTEXT + _OF_LATENTS


def start_tables() -> PmfTables:
    """Return all tables as Gaussians, before anything is counted."""
    scales = scale_of(torch.arange(SCALES)).double().numpy()
    fine = scale_of(torch.arange(_OF_LATENTS) / INDEX_UNIT).double().numpy()
    context = gaussian_tables(scales, np.arange(OFFSETS) / OFFSETS)
    return joined(context, gaussian_tables(fine, np.zeros(1)))


def latent_tables(scale_index: Tensor) -> Tensor:
    """Return the numbers of the tables that code latents of scale indices, in quarters of one."""
    quarters = INDEX_UNIT * scale_index
    large = OFFSETS * torch.floor(scale_index + 0.5)
    return torch.where(quarters < _OF_LATENTS, _OF_CONTEXT + quarters, large)
