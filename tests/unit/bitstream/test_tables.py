"""Integer pmfs: their contract, the Gaussian ones, the estimate of bits."""

import math

import numpy as np
import pytest

from hvae_codec.bitstream import (
    ArgumentError,
    InvalidTables,
    PmfTables,
    SymbolOutOfRange,
    gaussian_pmfs,
)

TOTAL = 1 << 24


def small(**changes: np.ndarray) -> PmfTables:
    """Two tables: {-1, 0, 1} and {5}."""
    fields = {
        "pmf": np.array([1 << 22, 1 << 23, (1 << 22) - 4, 4, TOTAL - 1, 1], np.uint32),
        "start": np.array([-1, 5], np.int32),
        "length": np.array([3, 1], np.int32),
    }
    return PmfTables(**(fields | changes))


def test_tables_are_found_by_index() -> None:
    pmfs = small()
    assert len(pmfs) == 2
    assert pmfs.table(0).tolist() == [1 << 22, 1 << 23, (1 << 22) - 4, 4]
    assert pmfs.table(1).tolist() == [TOTAL - 1, 1]


def test_tables_are_frozen_and_owned() -> None:
    pmf = np.array([1, TOTAL - 1], np.uint32)
    pmfs = PmfTables(pmf, np.zeros(1, np.int32), np.ones(1, np.int32))
    pmf[0] = 7
    assert pmfs.table(0)[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        pmfs.pmf[0] = 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pmf": np.array([1 << 23, 1 << 23, 1, 1, TOTAL - 1, 1], np.uint32)}, "table 0 sums to"),
        ({"pmf": np.array([1 << 23, 1 << 23, 0, 0, TOTAL - 1, 1], np.uint32)}, "is 0"),
        ({"pmf": np.ones(5, np.uint32)}, "6 entries, pmf has 5"),
        ({"pmf": np.ones(6, np.int64)}, "pmf is int64"),
        ({"length": np.array([4, 0], np.int32)}, "has 0 symbols"),
        ({"length": np.array([2**31 - 1, 1], np.int32)}, "outside -1048576"),
        ({"start": np.array([0], np.int32)}, "1 starts and 2 lengths"),
        ({"start": np.array([-(2**31), 0], np.int32)}, "outside -1048576"),
        ({"start": np.zeros((2, 1), np.int32)}, "of 2 dimensions"),
    ],
)
def test_tables_that_break_the_contract_are_refused(
    changes: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(InvalidTables, match=message):
        small(**changes)


def test_bits_of_symbols_within_the_support() -> None:
    bits = small().bits(np.array([0, 0, 1]), np.array([-1, 0, 5]))
    assert bits[:2].tolist() == [2.0, 1.0]
    assert bits[2] == pytest.approx(2**-24 / math.log(2))


def test_bits_of_escapes_count_flag_and_distance() -> None:
    # Table 0: the flag costs log2(2**24 / 4) = 22 bits; distances are numbered 2 -> 1, -2 -> 2,
    # 3 -> 3, -3 -> 4, and number v costs 2 floor(log2 v) + 1 bits.
    bits = small().bits(np.zeros(4, int), np.array([2, -2, 3, -3]))
    assert bits.tolist() == [23.0, 25.0, 25.0, 27.0]


def test_bits_refuses_what_cannot_be_coded() -> None:
    with pytest.raises(ArgumentError, match=r"0\.\.\.1"):
        small().bits(np.array([2]), np.array([0]))
    with pytest.raises(ArgumentError, match="float64"):
        small().bits(np.array([0]), np.array([0.0]))
    with pytest.raises(SymbolOutOfRange, match="1048577"):
        small().bits(np.array([0]), np.array([2**20 + 1]))


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize(("scale", "mean"), [(0.05, 0.0), (0.3, 0.5), (1.0, -0.3), (40.0, 7.9)])
def test_gaussian_pmfs_are_the_gaussian(scale: float, mean: float) -> None:
    pmfs = gaussian_pmfs(np.array([scale]), np.array([mean]))
    pmf = pmfs.table(0)
    first, count = int(pmfs.start[0]), int(pmfs.length[0])
    expected = [
        normal_cdf((k + 0.5 - mean) / scale) - normal_cdf((k - 0.5 - mean) / scale)
        for k in range(first, first + count)
    ]
    # An entry gives up its share of the `count` ones that are dealt out beforehand.
    assert np.abs(pmf[:-1] / TOTAL - expected).max() < 2.0**-24 * (2 + count * max(expected))
    # Mass beyond the support is at most 2**-20; what the escape has is that, and one at least.
    assert 1 <= pmf[-1] <= 16 + 2
    assert 1 - sum(expected) <= 2.0**-20


def test_a_symmetric_gaussian_gives_a_symmetric_support() -> None:
    pmfs = gaussian_pmfs(np.geomspace(0.1, 100, 20), np.zeros(1))
    assert np.array_equal(2 * pmfs.start + pmfs.length, np.ones(20))


def test_gaussian_pmfs_are_ordered_by_scale_then_offset() -> None:
    both = gaussian_pmfs(np.array([0.5, 3.0]), np.array([-0.25, 0.0, 0.25]))
    one = gaussian_pmfs(np.array([3.0]), np.array([0.25]))
    assert len(both) == 6
    assert np.array_equal(both.table(5), one.table(0))


def test_gaussian_pmfs_cost_hardly_more_than_the_entropy() -> None:
    scale = 2.0
    pmfs = gaussian_pmfs(np.array([scale]), np.array([0.0]))
    symbols = np.rint(np.random.default_rng(0).normal(scale=scale, size=20_000)).astype(int)
    bits = pmfs.bits(np.zeros_like(symbols), symbols).mean()
    entropy = math.log2(scale * math.sqrt(2 * math.pi * math.e))  # differential; bins of width 1
    # 3 standard errors of a mean over 20,000 of something of variance 1.04, plus the bins' width
    assert bits == pytest.approx(entropy, abs=3 * 1.02 / math.sqrt(20_000) + 0.016)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 1e6])
def test_gaussian_pmfs_refuse_impossible_scales(scale: float) -> None:
    with pytest.raises(InvalidTables):
        gaussian_pmfs(np.array([scale]), np.array([0.0]))


def test_gaussian_pmfs_refuse_none_at_all() -> None:
    with pytest.raises(InvalidTables, match="no scales"):
        gaussian_pmfs(np.zeros(0), np.zeros(1))
