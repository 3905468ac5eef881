"""The code of escaped symbols at its limits."""

import numpy as np

from hvae_codec.bitstream import MAX_SYMBOL, escape


def test_numbers_count_outwards_from_both_ends() -> None:
    symbols = np.array([3, 4, 5, -3, -4, -5])
    start, stop = np.full(6, -2), np.full(6, 3)
    values = escape.fold(symbols, start, stop)
    assert values.tolist() == [1, 3, 5, 2, 4, 6]
    assert np.array_equal(escape.unfold(values, start, stop), symbols)


def test_the_farthest_symbols_have_a_code() -> None:
    low, high = np.array([-MAX_SYMBOL]), np.array([MAX_SYMBOL])
    for values in (escape.fold(high, low, low + 1), escape.fold(low, high, high + 1)):
        assert escape.bit_lengths(values)[0] < escape.LENGTH_PMF.size
        assert np.isfinite(escape.cost_bits(values)).all()


def test_lengths_are_a_pmf_of_gamma_codes() -> None:
    assert int(escape.LENGTH_PMF.sum()) == escape.TOTAL
    assert escape.cost_bits(np.array([1, 2, 3, 4, 1000])).tolist() == [1, 3, 3, 5, 19]


def test_bit_lengths_are_exact_around_powers_of_two() -> None:
    values = np.array([n for k in range(1, 23) for n in (2**k - 1, 2**k, 2**k + 1)])
    assert escape.bit_lengths(values).tolist() == [int(v).bit_length() - 1 for v in values]
