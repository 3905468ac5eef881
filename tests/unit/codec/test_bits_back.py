import numpy as np
import pytest
import torch

from hvae_codec.bitstream import PmfTables, coder_of, words_of
from hvae_codec.codec.bits_back import BitsBackStack
from hvae_codec.codec.errors import PayloadTooShort

TOTAL = 2**24


@pytest.fixture
def pmf() -> torch.Tensor:
    rng = np.random.default_rng(0)
    mass = rng.integers(1, 1000, (500, 9))
    mass[:, 4] += TOTAL - mass.sum(axis=1)
    mass[::2] = mass[::2, [4, 0, 1, 2, 3, 5, 6, 7, 8]]
    return torch.from_numpy(mass)


def stack_of(words: int, tables: dict[str, np.ndarray]) -> BitsBackStack:
    filled = np.random.default_rng(1).integers(1, 2**32, words, dtype=np.uint32)
    return BitsBackStack(coder_of(filled), PmfTables(**tables))


def test_symbols_under_masses_of_their_own_cost_what_these_say(
    tables: dict[str, np.ndarray], pmf: torch.Tensor
) -> None:
    stack = stack_of(100, tables)
    before, bits = words_of(stack.coder), stack.coder.num_valid_bits()
    symbols = torch.from_numpy(np.random.default_rng(2).integers(0, 9, 500))
    stack.push_under(pmf, symbols)
    expected = float(torch.log2(TOTAL / pmf.gather(1, symbols[:, None]).double()).sum())
    assert stack.coder.num_valid_bits() - bits == pytest.approx(expected, abs=2)
    assert torch.equal(stack.pop_under(pmf), symbols)
    assert np.array_equal(words_of(stack.coder), before)


def test_it_counts_the_bits_that_were_in_use(tables: dict[str, np.ndarray]) -> None:
    stack = stack_of(100, tables)
    even = torch.full((40, 4), TOTAL // 4)
    first = stack.pop_under(even)  # 80 bits
    stack.push_under(even[:20], first[:20])  # 40 of them go back
    stack.pop_under(even[:10])
    assert stack.initial_bits == pytest.approx(80, abs=1)


def test_popping_more_than_there_is_is_refused(tables: dict[str, np.ndarray]) -> None:
    stack = stack_of(4, tables)
    even = torch.full((16, 4), TOTAL // 4)
    stack.pop_under(even)  # 32 of 128 bits
    with pytest.raises(PayloadTooShort, match="16 bytes, fewer than this prior"):
        for _ in range(3):
            stack.pop_under(even)
