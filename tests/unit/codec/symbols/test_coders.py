from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hvae_codec.bitstream import check_empty, coder_of, gaussian_pmfs, words_of
from hvae_codec.codec.symbols.coders import (
    ContextDecoder,
    ContextEncoder,
    FirstLevels,
    LatentDecoder,
    LatentEncoder,
    TargetResidual,
    push_pairs,
)
from hvae_codec.codec.symbols.scales import scale_of
from hvae_codec.codec.symbols.schedule import ANCHORS, EVERYWHERE, CodingStep
from hvae_codec.codec.symbols.stack import AnsStack, CountingStack
from hvae_codec.codec.symbols.tables import (
    SKIPPED_MASS,
    TABLE_COUNT,
    Tables,
    context_index,
    latent_index,
    offset_context_index,
    start_pmfs,
)
from hvae_codec.codec.symbols.walk import Prediction

TABLES = Tables(start_pmfs())
CHANNELS = 6
EVERY = np.ones(CHANNELS, bool)
SOME = np.array([True, False, True, False, False, True])


def given(residual: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: residual


def refused() -> np.ndarray:
    raise AssertionError("a decoder knows no image")


def step_of(number: int, level: int, start: int, stop: int) -> CodingStep:
    return CodingStep(number, level, start, stop, EVERYWHERE, True, ((start, stop),))


STEPS = [step_of(0, 0, 0, 2), step_of(1, 0, 0, 2), step_of(2, 1, 2, 5), step_of(3, 2, 5, 6)]
COUNTS = [7, 9, 160, 1]


def wild_latents(tiles: int, seed: int) -> list[tuple[Prediction, np.ndarray]]:
    """A prediction and residuals for each of the steps."""
    rng, calls = np.random.default_rng(seed), []
    for step, count in zip(STEPS, COUNTS, strict=True):
        shape = tiles, step.stop - step.start, count
        quarters = rng.integers(0, 253, shape).astype(np.uint8)
        residual = (rng.normal(size=shape) * scale_of(quarters / 4)).astype(np.float32)
        quarters[0, 0, 0], residual[0, 0, 0] = 200, 90_000.3  # far beyond any table
        calls.append((Prediction(rng.normal(size=shape), quarters), residual))
    return calls


@pytest.mark.parametrize("mask", [EVERY, SOME], ids=["all", "some"])
@pytest.mark.parametrize("tiles", [1, 3])
def test_latents_that_were_pushed_are_popped(tiles: int, mask: np.ndarray) -> None:
    calls = wild_latents(tiles, tiles)
    encoder, written = LatentEncoder(TABLES, mask, tiles), []
    for step, (prediction, residual) in zip(STEPS, calls, strict=True):
        written.append(encoder.code(step, 0, prediction, given(residual)))
        coded = ~TABLES.is_skipped[prediction.quarters] & mask[step.start : step.stop, None]
        assert np.array_equal(written[-1], np.where(coded, np.rint(residual), 0))
    pushed, coders = [encoder.levels(tile) for tile in range(tiles)], []
    for levels in pushed:
        assert [len(level) for level in levels] == [3, 2, 2]  # offsets, and the steps of a level
        stack = AnsStack(coder_of(), TABLES.pmfs)
        for level in reversed(levels):
            push_pairs(stack, level)
        coders.append(coder_of(words_of(stack.coder)))
    decoder = LatentDecoder([AnsStack(coder, TABLES.pmfs) for coder in coders], TABLES, mask)
    for step, (prediction, _), expected in zip(STEPS, calls, written, strict=True):
        assert np.array_equal(decoder.code(step, 0, prediction, refused), expected)
    for tile, levels in enumerate(pushed):
        for popped, level in zip(decoder.coded[tile].values(), levels, strict=True):
            for symbols, (_, expected) in zip(popped, level, strict=True):
                assert np.array_equal(symbols, expected)
        check_empty(coders[tile])


def test_what_is_all_but_surely_zero_is_not_coded() -> None:
    skipped = np.flatnonzero(TABLES.is_skipped)
    assert skipped.size  # the smallest scales, and no others
    assert np.array_equal(skipped, np.arange(skipped.size))
    for quarters, is_skipped in ((skipped[-1], True), (skipped[-1] + 1, False)):
        table = latent_index(np.array([quarters]))
        others = 2**24 - TABLES.pmfs.pmf[TABLES.pmfs.entries(table, np.zeros(1, np.int64))]
        assert (others < SKIPPED_MASS) == is_skipped
    encoder = LatentEncoder(TABLES, EVERY)
    quarters = np.full((1, 2, 3), skipped[-1], np.uint8)
    quarters[0, 1, 1] += 1
    symbols = encoder.code(
        STEPS[0], 0, Prediction(0 * quarters, quarters), given(np.full((1, 2, 3), 2.2))
    )
    assert symbols.tolist() == [[[0, 0, 0], [0, 2, 0]]]
    (_, offsets), (index, coded) = encoder.levels()[0]
    assert (len(offsets), len(index), coded.tolist()) == (2, 1, [2])


def test_tables_are_those_of_the_nearest_scale() -> None:
    rows = latent_index(np.arange(253))
    assert rows[[0, 1, 127]].tolist() == [520, 521, 647]  # of latents alone, a quarter each
    assert rows[[128, 129, 130, 252]].tolist() == [8 * 32, 8 * 32, 8 * 33, 8 * 63]
    assert len(TABLES.pmfs) == TABLE_COUNT == 648
    index = np.arange(253) / 4
    nearest = np.where(index < 32, index, np.floor(index + 0.5))
    expected = gaussian_pmfs(scale_of(nearest), np.zeros(1))
    for number, row in enumerate(rows.tolist()):
        assert TABLES.pmfs.start[row] == expected.start[number]
        assert TABLES.pmfs.table(row) == pytest.approx(expected.table(number), abs=16)


def test_an_offset_is_that_many_scales() -> None:
    quarters, by = np.array([[0, 20, 126], [252, 251, 3]]), np.array([[2], [-1]])
    assert latent_index(quarters, by).tolist() == [[528, 548, 8 * 34], [8 * 62, 8 * 62, 520]]
    assert latent_index(quarters, -3)[0].tolist() == [520, 528, 520 + 114]
    context = np.array([8 * 5 + 3, 8 * 63 + 1, 7], np.int32)
    assert offset_context_index(context, 2).tolist() == [8 * 7 + 3, 8 * 63 + 1, 8 * 2 + 7]
    assert offset_context_index(context, -3).tolist() == [8 * 2 + 3, 8 * 60 + 1, 7]


def test_a_mean_is_whole_symbols_and_eighths() -> None:
    index, whole = context_index(np.array([0, 7, 8, -1, -17]), np.array([0, 1, 2, 3, 63]))
    assert index.tolist() == [0, 8 + 7, 16, 24 + 7, 8 * 63 + 7]
    assert whole.tolist() == [0, 0, 1, -1, -3]


def test_livelier_channels_are_offset_for_all_of_a_level() -> None:
    rng, quarters = np.random.default_rng(0), np.full((1, 3, 3000), 48, np.uint8)
    times = np.array([1.0, 1.3, 0.78])[:, None]  # a scale index is 13 %
    encoder = LatentEncoder(TABLES, EVERY)
    for number in range(2):
        residual = rng.normal(size=quarters.shape) * times * scale_of(np.array(12.0))
        step = step_of(number, 0, 0, 3)
        encoder.code(step, 0, Prediction(0 * residual, quarters), given(residual))
    (classes, offsets), *halves = encoder.levels()[0]
    assert classes.tolist() == [518] * 3
    assert offsets.tolist() == [0, 2, -2]
    for index, _ in halves:
        assert index.reshape(3, -1)[:, 0].tolist() == [520 + 4 * (12 + by) for by in (0, 2, -2)]


class Nines:
    def code(self, step: CodingStep, number: int, prediction: Prediction, residual: object) -> Any:  # noqa: ANN401
        return np.full(prediction.quarters.shape, 9.0)


@pytest.mark.parametrize(("rest", "last"), [(None, 0.0), (Nines(), 9.0)])
def test_levels_behind_the_first_are_left_at_their_means_or_to_another(
    rest: Nines | None, last: float
) -> None:
    prediction = Prediction(np.zeros((1, 2, 3)), np.full((1, 2, 3), 200, np.uint8))
    encoder = LatentEncoder(TABLES, EVERY)
    coder = FirstLevels(encoder, 2, rest)
    for level, expected in enumerate((5.0, 5.0, last)):
        step = step_of(level, level, 0, 2)
        symbols = coder.code(step, 0, prediction, given(np.full((1, 2, 3), 5.2)))
        assert np.array_equal(symbols, np.full((1, 2, 3), expected))
    assert len(encoder.levels()) == 2


def test_targets_take_the_place_of_what_the_network_wants() -> None:
    targets = np.arange(2 * 16, dtype=np.float32).reshape(1, 2, 4, 4)
    step = CodingStep(0, 0, 0, 2, ANCHORS, True, ((0, 2),))
    mean = np.full((1, 2, 8), 0.5)
    prediction = Prediction(mean, np.full((1, 2, 8), 200, np.uint8))
    symbols = TargetResidual(targets, LatentEncoder(TABLES, EVERY)).code(
        step, 0, prediction, refused
    )
    anchors = targets[..., (np.indices((4, 4)).sum(0) % 2) == 0]
    assert np.array_equal(symbols, np.rint(anchors - 0.5))


CONTEXT_STEPS = [
    CodingStep(0, 0, 0, 4, EVERYWHERE, True, ((0, 2), (2, 4))),
    CodingStep(1, 1, 4, 6, EVERYWHERE, True, ((4, 6),)),
]


def wild_context(tiles: int) -> list[tuple[CodingStep, int, Prediction, np.ndarray]]:
    rng, calls = np.random.default_rng(tiles), []
    for step in CONTEXT_STEPS:
        for number, (start, stop) in enumerate(step.slices):
            shape = tiles, stop - start, 12
            quarters = rng.integers(0, 253, shape).astype(np.uint8)
            mean = rng.integers(-900, 900, shape) / 8
            residual = rng.normal(size=shape) * scale_of(quarters / 4)
            calls.append((step, number, Prediction(mean, quarters), residual))
    calls[0][3][0, 0, 0] = 90_000.3
    return calls


@pytest.mark.parametrize("mask", [EVERY, SOME], ids=["all", "some"])
@pytest.mark.parametrize("tiles", [1, 3])
def test_a_context_that_was_pushed_is_popped(tiles: int, mask: np.ndarray) -> None:
    calls, encoder, written = wild_context(tiles), ContextEncoder(TABLES, mask), []
    for step, number, prediction, residual in calls:
        written.append(encoder.code(step, number, prediction, given(residual)))
        values, chosen = written[-1] + prediction.mean, mask[slice(*step.slices[number])]
        assert np.array_equal(values, np.rint(values))
        assert not values[:, ~chosen].any()
        assert (np.abs(written[-1] - residual)[:, chosen] < 1).all()
    stacks = []
    for tile in range(tiles):
        stack, counted = AnsStack(coder_of(), TABLES.pmfs), CountingStack(TABLES.pmfs)
        for each in (stack, counted):
            push_pairs(each, encoder.pairs(tile))
        assert stack.coder.num_valid_bits() == pytest.approx(counted.bits, abs=40)
        stacks.append(AnsStack(coder_of(words_of(stack.coder)), TABLES.pmfs))
    decoder = ContextDecoder(stacks, mask, 12)
    for (step, number, prediction, _), expected in zip(calls, written, strict=True):
        assert np.array_equal(decoder.code(step, number, prediction, refused), expected)
    for stack in stacks:
        check_empty(stack.coder)


def test_a_context_is_rounded_to_the_other_side_where_that_saves_more() -> None:
    step = CONTEXT_STEPS[1]
    # a narrow Gaussian about zero, where one is dear, and a wide one, where it is not
    quarters = np.array([[[48], [200]]], np.uint8)
    prediction, wanted = Prediction(np.zeros((1, 2, 1)), quarters), np.full((1, 2, 1), 0.51)
    decided = ContextEncoder(TABLES, EVERY).code(step, 0, prediction, given(wanted))
    assert decided.ravel().tolist() == [0, 1]
    # far from the middle the error is worth more than the bits
    sure = ContextEncoder(TABLES, EVERY).code(step, 0, prediction, given(wanted + 0.45))
    assert sure.ravel().tolist() == [1, 1]
    whole = ContextEncoder(TABLES, EVERY, decides=False)
    assert whole.code(step, 0, prediction, given(np.ones((1, 2, 1)))).ravel().tolist() == [1, 1]
