"""The frozen tables of a weight file: which one codes what, and which symbols are not coded at all.

    index             codes
    8 i + f           a coefficient of the context: scale index i, its mean f eighths off an integer
    512 + c           a scale offset of a channel, by class c (`scale_offsets`)
    520 + q           a latent whose scale index is q quarters, while that is below 128: five steps
    8 round(q / 4)    a latent of a larger scale

Nearly all latents have small scales. There a table takes few bytes, a quarter of an index still
tells, and latents are no Gaussians, nor what the context is. Where a table says that a symbol is
all but surely zero, it is zero on both sides and not coded (`Tables.is_skipped`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...bitstream import PmfTables, gaussian_pmfs, joined
from ...bitstream.escape import TOTAL
from ..errors import WeightsError
from .fixed_point import CONTEXT_UNIT
from .scales import QUARTERS, SCALES, scale_of

MAX_OFFSET = 3
"""Largest offset of a channel's scales, up and down, in scale indices: a factor of 1.45."""

OFFSET_CLASSES = 8
"""Classes of channels by how many symbols they code. The more, the rarer is an offset of zero."""

FIRST_OFFSET_TABLE = SCALES * CONTEXT_UNIT
_FIRST_LATENT_TABLE = FIRST_OFFSET_TABLE + OFFSET_CLASSES
_FINE_TABLES = 32 * QUARTERS
TABLE_COUNT = _FIRST_LATENT_TABLE + _FINE_TABLES

LAST_QUARTER = QUARTERS * (SCALES - 1)

SKIPPED_MASS = TOTAL // 1000
"""A latent is not coded where the table of its scale leaves less than this to all but zero."""

_QUARTERS = np.arange(LAST_QUARTER + 1)
_LATENT_TABLES = np.where(
    _QUARTERS < _FINE_TABLES,
    _FIRST_LATENT_TABLE + _QUARTERS,
    CONTEXT_UNIT * ((_QUARTERS + QUARTERS // 2) // QUARTERS),
).astype(np.int32)

_ONE_MORE = 4
"""How much rarer a scale offset is than the next smaller one, before anything is counted."""

_REACH = 31
"""Symbols -31...31 have their costs in `Tables.context_bits`."""


class Tables:
    """The tables of a weight file, and what follows from them.

    Raises:
        WeightsError: their number is not the one that this program codes by.
    """

    def __init__(self, pmfs: PmfTables):
        if len(pmfs) != TABLE_COUNT:
            expected = f"this program codes by {TABLE_COUNT}"
            raise WeightsError(f"the weights have {len(pmfs)} tables, {expected}")
        self.pmfs = pmfs

    @cached_property
    def is_skipped(self) -> NDArray[np.bool_]:
        """Whether a latent of so many quarters is not coded: bool (253,)."""
        zero = np.zeros(len(_LATENT_TABLES), np.int64)
        masses = self.pmfs.pmf[self.pmfs.entries(_LATENT_TABLES, zero)]
        return masses > TOTAL - SKIPPED_MASS

    def context_bits(self, index: NDArray[np.int32], symbols: NDArray) -> NDArray[np.float32]:
        """Return the bits of context symbols of any shape; those beyond +-31 cost as those do."""
        near = np.clip(symbols, -_REACH, _REACH).astype(np.int64) + _REACH
        return self._context_costs[index, near]

    @cached_property
    def _context_costs(self) -> NDArray[np.float32]:
        symbols = np.arange(-_REACH, _REACH + 1)
        index = np.repeat(np.arange(FIRST_OFFSET_TABLE), symbols.size)
        bits = self.pmfs.bits(index, np.tile(symbols, FIRST_OFFSET_TABLE))
        return bits.reshape(FIRST_OFFSET_TABLE, -1).astype(np.float32)


def context_index(
    eighths: NDArray[np.integer], scale_index: NDArray[np.integer]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the pmf indices of context coefficients, and the whole parts of their means.

    Args:
        eighths: means in eighths of a symbol, any shape.
        scale_index: 0...63, of the same shape.
    """
    whole, eighth = np.divmod(eighths, CONTEXT_UNIT)
    return (CONTEXT_UNIT * scale_index + eighth).astype(np.int32), whole.astype(np.int32)


def offset_context_index(
    index: NDArray[np.int32], offsets: NDArray[np.integer] | int
) -> NDArray[np.int32]:
    """Return the pmf indices of context coefficients whose scales are offset."""
    scale_index = index // CONTEXT_UNIT
    change = np.clip(scale_index + offsets, 0, SCALES - 1) - scale_index
    return index + CONTEXT_UNIT * change.astype(np.int32)


def latent_index(
    quarters: NDArray[np.integer], offsets: NDArray[np.integer] | int = 0
) -> NDArray[np.int32]:
    """Return the pmf indices of latents, by quarters of scale indices and offsets of scales."""
    shifted = quarters.astype(np.int32) + QUARTERS * offsets
    return _LATENT_TABLES[np.clip(shifted, 0, LAST_QUARTER)]


def offset_index(count: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the pmf indices of scale offsets, by how many symbols the channels code."""
    bit_length = np.frexp(count.astype(np.float64))[1]
    return (FIRST_OFFSET_TABLE + np.minimum(bit_length // 2, OFFSET_CLASSES - 1)).astype(np.int32)


def start_pmfs() -> PmfTables:
    """Return all pmfs before anything is counted: Gaussians, and offsets mostly zero."""
    context = gaussian_pmfs(scale_of(np.arange(SCALES)), np.arange(CONTEXT_UNIT) / CONTEXT_UNIT)
    fine = scale_of(np.arange(_FINE_TABLES) / QUARTERS)
    return joined(joined(context, _start_of_offsets()), gaussian_pmfs(fine, np.zeros(1)))


def _start_of_offsets() -> PmfTables:
    masses = np.power(1.0 / _ONE_MORE, np.abs(np.arange(-MAX_OFFSET, MAX_OFFSET + 1)))
    own = np.append(np.rint(masses / masses.sum() * TOTAL), 1).astype(np.uint32)
    own[MAX_OFFSET] += TOTAL - own.sum(dtype=np.int64)
    return PmfTables(
        pmf=np.tile(own, OFFSET_CLASSES),
        start=np.full(OFFSET_CLASSES, -MAX_OFFSET, np.int32),
        length=np.full(OFFSET_CLASSES, 2 * MAX_OFFSET + 1, np.int32),
    )
