"""Which of the frozen tables codes what.

    number            codes
    8 i + f           a coefficient of the context: scale index i, its mean f eighths off an integer
    512 + c           the correction of a channel's scales, by class c (`models.corrections`)
    520 + 4 i         a latent of scale index i, in quarters, while that is below 32: five steps
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
from ..models.corrections import CLASSES, FIRST_TABLE, REACH
from ..models.fixed_point import OFFSETS
from ..models.priors.interface import TOTAL
from ..models.steps import INDEX_UNIT

_OF_LATENTS = 32 * INDEX_UNIT
_FIRST_OF_LATENTS = FIRST_TABLE + CLASSES
TABLE_COUNT = _FIRST_OF_LATENTS + _OF_LATENTS

_ONE_MORE = 4
"""How much rarer a correction is than the next smaller one, before anything is counted."""


def start_tables() -> PmfTables:
    """Return all tables before anything is counted: Gaussians, and corrections mostly zero."""
    scales = scale_of(torch.arange(SCALES)).double().numpy()
    fine = scale_of(torch.arange(_OF_LATENTS) / INDEX_UNIT).double().numpy()
    context = gaussian_tables(scales, np.arange(OFFSETS) / OFFSETS)
    latents = gaussian_tables(fine, np.zeros(1))
    return joined(joined(context, _correction_tables()), latents)


def _correction_tables() -> PmfTables:
    """Return the tables of corrections before anything is counted, one a class."""
    masses = np.power(1.0 / _ONE_MORE, np.abs(np.arange(-REACH, REACH + 1)))
    own = np.append(np.rint(masses / masses.sum() * TOTAL), 1).astype(np.uint32)
    own[REACH] += TOTAL - own.sum(dtype=np.int64)
    return PmfTables(
        pmf=np.tile(own, CLASSES),
        start=np.full(CLASSES, -REACH, np.int32),
        length=np.full(CLASSES, 2 * REACH + 1, np.int32),
    )


def latent_tables(quarters: Tensor, corrections: Tensor | int = 0) -> Tensor:
    """Return the numbers of the tables that code latents.

    Args:
        quarters: of scale indices, integers 0...252.
        corrections: of the scales, in whole indices.
    """
    quarters = (quarters + INDEX_UNIT * corrections).clamp(0, INDEX_UNIT * (SCALES - 1))
    large = OFFSETS * torch.floor(quarters / INDEX_UNIT + 0.5).to(quarters)
    return torch.where(quarters < _OF_LATENTS, _FIRST_OF_LATENTS + quarters, large)
