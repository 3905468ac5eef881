import numpy as np
import pytest

from hvae_codec.bitstream import PmfTables, bulk_words, coder_of, words_of
from hvae_codec.codec.errors import PayloadTooShort
from hvae_codec.codec.symbols.stack import AnsStack, CountingStack

TOTAL = 2**24
EVEN = np.full((1, 4), TOTAL // 4)  # two bits a symbol


@pytest.fixture
def pmf() -> np.ndarray:
    rng = np.random.default_rng(0)
    mass = rng.integers(1, 1000, (500, 9))
    mass[:, 4] += TOTAL - mass.sum(axis=1)
    mass[::2] = mass[::2, [4, 0, 1, 2, 3, 5, 6, 7, 8]]
    return mass


def stack_of(words: int, pmfs: PmfTables, *, is_encoder: bool = False) -> AnsStack:
    filled = np.random.default_rng(1).integers(1, 2**32, words, dtype=np.uint32)
    return AnsStack(coder_of(filled), pmfs, is_encoder=is_encoder)


def test_symbols_under_masses_of_their_own_cost_what_these_say(
    pmfs: PmfTables, pmf: np.ndarray
) -> None:
    stack, counted = stack_of(100, pmfs), CountingStack(pmfs)
    before, bits = words_of(stack.coder), stack.coder.num_valid_bits()
    symbols = np.random.default_rng(2).integers(0, 9, 500)
    for each in (stack, counted):
        each.push_under(pmf, symbols)
    expected = float(np.log2(TOTAL / pmf[np.arange(500), symbols]).sum())
    assert stack.coder.num_valid_bits() - bits == pytest.approx(expected, abs=2)
    assert counted.bits == pytest.approx(expected)
    assert np.array_equal(stack.pop_under(pmf, 500), symbols)
    assert np.array_equal(words_of(stack.coder), before)


def test_one_row_of_masses_serves_all_symbols(pmfs: PmfTables, pmf: np.ndarray) -> None:
    row, symbols = pmf[:1], np.random.default_rng(2).integers(0, 9, 50)
    stack, counted, apart = stack_of(100, pmfs), CountingStack(pmfs), CountingStack(pmfs)
    stack.push_under(row, symbols)
    assert np.array_equal(stack.pop_under(row, 50), symbols)
    counted.push_under(row, symbols)
    apart.push_under(np.repeat(row, 50, axis=0), symbols)
    assert counted.bits == pytest.approx(apart.bits)


def test_counting_adds_up_what_pushes_cost(pmfs: PmfTables) -> None:
    rng = np.random.default_rng(0)
    rows, symbols = rng.integers(0, 512, 300), rng.integers(-3, 4, 300)
    counted, stack = CountingStack(pmfs), stack_of(100, pmfs)
    before = stack.coder.num_valid_bits()
    for each in (counted, stack):
        each.push(rows, symbols)
        each.push(rows[:9], symbols[:9])
    assert counted.bits == pytest.approx(stack.coder.num_valid_bits() - before, abs=2)
    with pytest.raises(NotImplementedError):
        counted.pop(rows)
    with pytest.raises(NotImplementedError):
        counted.pop_under(EVEN, 1)


def test_it_knows_the_fewest_words_that_popping_left(pmfs: PmfTables) -> None:
    stack = stack_of(100, pmfs)
    before = bulk_words(stack.coder)
    assert stack.lowest == before
    first = stack.pop_under(EVEN, 480)  # 30 words
    assert stack.lowest == bulk_words(stack.coder) == before - 30
    stack.push_under(EVEN, first[:320])  # 20 of them go back
    stack.pop_under(EVEN, 16)
    assert stack.lowest == before - 30 < bulk_words(stack.coder)
    stack.pop(np.full(3000, 8 * 63))  # of a wide table
    assert stack.lowest == bulk_words(stack.coder) < before - 30


def test_popping_more_than_there_is_is_refused_where_it_could_be_mended(pmfs: PmfTables) -> None:
    stack = stack_of(4, pmfs, is_encoder=True)
    stack.pop_under(EVEN, 16)  # 32 of 128 bits
    with pytest.raises(PayloadTooShort, match="16 bytes, fewer than this prior"):
        for _ in range(3):
            stack.pop_under(EVEN, 16)
    decoder = stack_of(4, pmfs)
    assert decoder.pop_under(EVEN, 200).shape == (200,)  # made up; checks tell
