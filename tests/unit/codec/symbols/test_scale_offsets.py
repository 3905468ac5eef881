import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hvae_codec.bitstream import PmfTables
from hvae_codec.codec.symbols.scale_offsets import choose_offsets
from hvae_codec.codec.symbols.scales import QUARTERS, SCALES, scale_of
from hvae_codec.codec.symbols.tables import (
    FIRST_OFFSET_TABLE,
    MAX_OFFSET,
    OFFSET_CLASSES,
    latent_index,
    offset_context_index,
    offset_index,
)

INDEX = 20


def drawn(times: list[float], count: int) -> tuple[NDArray, NDArray, NDArray]:
    """Channels, quarters and symbols of channels whose scales are so many times the predicted."""
    rng = np.random.default_rng(1)
    symbols = [np.rint(rng.normal(0, float(scale_of(INDEX)) * t, count)) for t in times]
    channels = np.repeat(np.arange(len(times)), count)
    quarters = np.full(channels.size, QUARTERS * INDEX)
    return channels, quarters, np.concatenate(symbols).astype(np.int32)


def chosen(channels: NDArray, quarters: NDArray, symbols: NDArray, pmfs: PmfTables) -> list[int]:
    own = offset_index(np.bincount(channels, minlength=3))
    return choose_offsets(channels, quarters, symbols, latent_index, own, pmfs).tolist()


def test_each_channel_gets_the_scale_that_it_has(pmfs: PmfTables) -> None:
    step = (256 / 0.1) ** (1 / (SCALES - 1))
    assert chosen(*drawn([1.0, step**2, 9.0], 2000), pmfs) == [0, 2, MAX_OFFSET]
    assert chosen(*drawn([step**-1, 1.0, 0.1], 2000), pmfs) == [-1, 0, -MAX_OFFSET]


def test_few_symbols_are_not_worth_an_offset(pmfs: PmfTables) -> None:
    assert chosen(*drawn([1.3, 0.7, 1.0], 4), pmfs) == [0, 0, 0]


def test_a_channel_without_symbols_is_left_alone(pmfs: PmfTables) -> None:
    nothing = np.zeros(0, np.int32)
    assert chosen(nothing, nothing, nothing, pmfs) == [0, 0, 0]


def test_no_other_offsets_are_cheaper(pmfs: PmfTables) -> None:
    """Symbols of all sizes and signs, each counted as often as it occurs."""
    rng = np.random.default_rng(2)
    channels, scales = rng.integers(0, 3, 400), rng.integers(0, 253, 400)
    symbols = np.rint(rng.standard_t(1, 400) * scale_of(scales / 4)).astype(np.int32)
    symbols[:3] = 2**20, -(2**20), 2**20
    scales[:3] = 0, 252, 0
    own = offset_index(np.bincount(channels))
    costs = []
    for offset in range(-MAX_OFFSET, MAX_OFFSET + 1):
        each = pmfs.bits(latent_index(scales, offset), symbols)
        cost = np.bincount(channels, each) + pmfs.bits(own, np.full(3, offset))
        costs.append(cost)
    assert chosen(channels, scales, symbols, pmfs) == [
        int(best) - MAX_OFFSET for best in np.argmin(costs, axis=0)
    ]


def test_context_indices_keep_their_fraction() -> None:
    index = np.array([0, 8 * 30 + 5, 8 * 63 + 7], np.int32)
    assert offset_context_index(index, 2).tolist() == [16, 8 * 32 + 5, 8 * 63 + 7]
    down = offset_context_index(index, np.array([-3]))
    assert down.tolist() == [0, 8 * 27 + 5, 8 * 60 + 7]


def test_classes_are_pairs_of_bit_lengths() -> None:
    counts = np.arange(70_000)
    lengths = [int(math.log2(n)) + 1 if n else 0 for n in counts.tolist()]
    expected = [FIRST_OFFSET_TABLE + min(n // 2, OFFSET_CLASSES - 1) for n in lengths]
    assert offset_index(counts).tolist() == expected


@pytest.mark.parametrize("offset", [-MAX_OFFSET, 0, MAX_OFFSET])
def test_offset_scales_of_latents_stay_on_the_grid(pmfs: PmfTables, offset: int) -> None:
    quarters = np.arange(253, dtype=np.uint8)
    found = latent_index(quarters, offset)
    shifted = np.clip(quarters.astype(int) + QUARTERS * offset, 0, 252)
    assert found.tolist() == latent_index(shifted).tolist()
    symbols = np.arange(-3000, 3001)
    for table, quarter in zip(found[::36], shifted[::36], strict=True):
        bits = pmfs.bits(np.full(symbols.size, table), symbols)
        mean_square = float((symbols**2 * 2.0**-bits).sum())
        deviation = math.hypot(float(scale_of(quarter / QUARTERS)), 12**-0.5)
        if deviation > 1:  # below, a rounded Gaussian has less
            assert math.sqrt(mean_square) == pytest.approx(deviation, rel=0.07)
