"""Push and pop: order on the stack, golden words, what is refused."""

import threading

import numpy as np
import pytest

from hvae_codec.bitstream import (
    ArgumentError,
    PmfTables,
    StreamDamaged,
    SymbolOutOfRange,
    bulk_words,
    check_empty,
    coder_of,
    gaussian_pmfs,
    level_words,
    pop,
    pop_under,
    push,
    push_under,
    words_of,
)
from hvae_codec.bitstream.ans import _exact_model

TOTAL = 1 << 24

GOLDEN = [457, 1040972721, 4278190080, 4294967292, 184745975, 2747269104, 199229392]
GOLDEN_COUNT = 83
GOLDEN_BEGIN = [34730, 2852126722, 2, 469762272]


def tables_by_hand() -> PmfTables:
    """Three tables without any floating point, so that golden words depend on no C library."""
    pmf = [3, 1000, TOTAL - 1000 - 3 - 7, 7, 1 << 23, 1 << 22, 1 << 22, TOTAL - 1, 1]
    return PmfTables(
        np.array(pmf, np.uint32), np.array([-1, 4, 0], np.int32), np.array([3, 2, 1], np.int32)
    )


def test_golden_words() -> None:
    # If this fails after an upgrade of constriction, files of all versions have become unreadable.
    index = np.array([1, 0, 0, 1, 2, 1, 0, 1, 1, 2, 0, 0])
    symbols = np.array([4, 1, 0, 5, 0, 4, -1, 900, 4, -3, -2, 1 << 20])
    coder = coder_of()
    push(coder, index, symbols, tables_by_hand())
    assert words_of(coder).tolist() == GOLDEN
    assert np.array_equal(pop(coder_of(words_of(coder)), index, tables_by_hand()), symbols)


def test_golden_words_of_a_longer_level() -> None:
    pmfs = tables_by_hand()
    index = np.arange(500) ** 2 // 7 % 3
    symbols = pmfs.start[index] + np.arange(500) * 31 // 5 % pmfs.length[index]
    coder = coder_of()
    push(coder, index, symbols, pmfs)
    words = words_of(coder)
    assert words.size == GOLDEN_COUNT
    assert [int(w) for w in words[:4]] == GOLDEN_BEGIN


@pytest.mark.parametrize("count", [2, 3, 50, 3000])
def test_constriction_codes_with_exactly_our_integers(count: int) -> None:
    # Pushed on an empty stack, an entry leaves its left cumulative mass behind.
    rng = np.random.default_rng(count)
    pmf = np.floor(rng.dirichlet(np.full(count, 0.3)) * (TOTAL - count)).astype(np.int64) + 1
    pmf[np.argmax(pmf)] += TOTAL - pmf.sum()
    model = _exact_model(pmf.astype(np.uint32))
    for entry, left in enumerate(np.cumsum(pmf) - pmf):
        coder = coder_of()
        coder.encode_reverse(np.array([entry], np.int32), model)
        assert coder.pos() == (0, left)


def test_what_is_pushed_last_is_popped_first() -> None:
    pmfs = gaussian_pmfs(np.array([0.5, 4.0]), np.zeros(1))
    first, second = np.array([3, -2, 90]), np.array([0, 1])
    coder = coder_of()
    push(coder, np.array([0, 1, 1]), first, pmfs)
    push(coder, np.array([1, 0]), second, pmfs)
    assert pop(coder, np.array([1, 0]), pmfs).tolist() == second.tolist()
    assert pop(coder, np.array([0, 1, 1]), pmfs).tolist() == first.tolist()
    check_empty(coder)


def test_a_prefix_of_the_words_decodes_the_coarse_levels() -> None:
    rng = np.random.default_rng(2)
    pmfs = gaussian_pmfs(np.array([0.3, 2.0, 20.0]), np.zeros(1))
    indices = [rng.integers(0, 3, size) for size in (1, 40, 300, 0, 700)]
    levels = [np.rint(rng.normal(size=i.size) * 5).astype(np.int32) for i in indices]
    coder, bulk = coder_of(), [0] * len(levels)
    for k in reversed(range(len(levels))):
        bulk[k] = bulk_words(coder)
        push(coder, indices[k], levels[k], pmfs)
    words = words_of(coder)
    counts = level_words(bulk, words.size)
    assert sum(counts) == words.size
    for known in range(1, len(levels) + 1):
        coder = coder_of(words[: sum(counts[:known])])
        for index, symbols in zip(indices[:known], levels[:known], strict=True):
            assert np.array_equal(pop(coder, index, pmfs), symbols)


def test_level_words_refuses_numbers_of_no_stack() -> None:
    assert level_words([5, 2, 0], 9) == (4, 3, 2)
    with pytest.raises(ArgumentError, match="do not fall"):
        level_words([2, 5, 0], 9)


def test_bits_back_returns_the_stack_as_it_was() -> None:
    # Popping from words that no push has written, and pushing it again, changes nothing.
    words = np.random.default_rng(3).integers(1, 1 << 32, 50, dtype=np.uint32)
    pmfs = gaussian_pmfs(np.array([1.5]), np.zeros(1))
    coder, index = coder_of(words), np.zeros(100, int)
    push(coder, index, pop(coder, index, pmfs), pmfs)
    assert np.array_equal(words_of(coder), words)


def test_index_of_any_integer_dtype_and_stride_gives_the_same_words() -> None:
    index = np.array([0, 2, 1, 0, 2, 1])
    symbols = np.array([1, 0, 4, 0, 0, 9])
    expected = coder_of()
    push(expected, index, symbols, tables_by_hand())
    for dtype in (np.uint8, np.int16, np.int32, np.uint64):
        coder = coder_of()
        strided = np.repeat(index, 3).astype(dtype)[::3]
        push(coder, strided, np.repeat(symbols, 2).astype(np.int32)[::2], tables_by_hand())
        assert np.array_equal(words_of(coder), words_of(expected))


def test_a_refused_push_leaves_the_stack_alone() -> None:
    pmfs, coder = tables_by_hand(), coder_of(np.array([5, 6], np.uint32))
    with pytest.raises(SymbolOutOfRange, match="-1048577"):
        push(coder, np.array([0, 1]), np.array([0, -(2**20) - 1]), pmfs)
    with pytest.raises(ArgumentError, match=r"0\.\.\.2"):
        push(coder, np.array([0, 3]), np.array([0, 0]), pmfs)
    with pytest.raises(ArgumentError, match=r"integers \(2,\)"):
        push(coder, np.array([0, 1]), np.array([0]), pmfs)
    with pytest.raises(ArgumentError, match="float64"):
        pop(coder, np.array([0.0]), pmfs)
    with pytest.raises(ArgumentError, match=r"0\.\.\.2"):
        pop(coder, np.array([-1]), pmfs)
    assert words_of(coder).tolist() == [5, 6]


def test_words_that_no_encoder_writes_are_refused() -> None:
    with pytest.raises(StreamDamaged, match="first word"):
        coder_of(np.array([0, 5], np.uint32))
    with pytest.raises(ArgumentError, match="int64"):
        coder_of(np.array([1, 5]))
    with pytest.raises(ArgumentError, match="shape"):
        coder_of(np.ones((2, 2), np.uint32))


def test_leftover_bits_are_noticed() -> None:
    coder = coder_of(np.array([1, 5], np.uint32))
    with pytest.raises(StreamDamaged, match="symbol: 2"):
        check_empty(coder)


def test_an_escape_beyond_all_bounds_is_refused_and_does_not_wrap() -> None:
    # The longest distance that the code can express, in a table that ends at the largest symbol.
    pmfs = PmfTables(
        np.array([1, TOTAL - 1], np.uint32), np.array([1 << 20], np.int32), np.ones(1, np.int32)
    )
    coder = coder_of(np.full(8, 0xFFFFFFFF, np.uint32))
    with pytest.raises(StreamDamaged, match="escaped symbol"):
        pop(coder, np.zeros(1, int), pmfs)


def test_threads_may_share_tables() -> None:
    pmfs = gaussian_pmfs(np.geomspace(0.2, 30, 64), np.zeros(1))
    index = np.arange(6400) % 64
    symbols = np.arange(6400) % 7 - 3
    results: list[bool] = []

    def work() -> None:
        coder = coder_of()
        push(coder, index, symbols, pmfs)
        results.append(bool(np.array_equal(pop(coder, index, pmfs), symbols)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def masses(rows: int, alphabet: int, seed: int = 0) -> np.ndarray:
    """Random integer masses of sum 2**24, some of them 1."""
    rng = np.random.default_rng(seed)
    pmf = np.floor(rng.dirichlet(np.full(alphabet, 0.3), rows) * (2**24 - alphabet)) + 1
    pmf[np.arange(rows), pmf.argmax(axis=1)] += 2**24 - pmf.sum(axis=1)
    return pmf.astype(np.int64)


@pytest.mark.parametrize("alphabet", [1, 2, 5, 3000])
@pytest.mark.parametrize("rows", [1, 40])
def test_symbols_under_masses_of_their_own_come_back_at_their_price(
    rows: int, alphabet: int
) -> None:
    pmf, coder = masses(rows, alphabet), coder_of(np.arange(1, 9, dtype=np.uint32))
    rng, before = np.random.default_rng(1), coder.num_valid_bits()
    symbols = np.array([rng.choice(alphabet, p=pmf[k % rows] / 2**24) for k in range(40)])
    push_under(coder, pmf, symbols)
    bits = np.log2(2**24 / pmf[np.arange(40) % rows, symbols]).sum()
    assert coder.num_valid_bits() - before == pytest.approx(bits, abs=40)
    assert np.array_equal(pop_under(coder, pmf, 40), symbols)
    assert np.array_equal(words_of(coder), np.arange(1, 9))


def test_what_is_popped_first_can_be_pushed_back() -> None:
    words = np.arange(1, 30, dtype=np.uint32)
    pmf, coder = masses(20, 7), coder_of(words)
    symbols = pop_under(coder, pmf, 20)
    push_under(coder, pmf, symbols)
    assert np.array_equal(words_of(coder), words)


@pytest.mark.parametrize(
    ("pmf", "symbols", "message"),
    [
        (masses(1, 3)[0], [0], "not integers"),
        (masses(1, 3).astype(float), [0], "not integers"),
        (masses(1, 3) * 2, [0], "do not sum"),
        (np.array([[2**24, 0]]), [0], "below 1"),
        (masses(1, 3), [3], r"outside 0\.\.\.2"),
        (masses(1, 3), [-1], r"outside 0\.\.\.2"),
        (masses(2, 3), [0, 0, 0], "under 2 rows"),
    ],
)
def test_masses_and_symbols_that_do_not_fit_are_refused(
    pmf: np.ndarray, symbols: list[int], message: str
) -> None:
    coder = coder_of()
    with pytest.raises(ArgumentError, match=message):
        push_under(coder, pmf, np.array(symbols))
    assert coder.is_empty()
    if "outside" not in message:
        with pytest.raises(ArgumentError):
            pop_under(coder, pmf, len(symbols))
