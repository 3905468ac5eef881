from collections.abc import Callable

import numpy as np
import pytest

from hvae_codec.codec.config import PRESETS, ModelConfig
from hvae_codec.codec.symbols.schedule import (
    ANCHORS,
    CORNERS,
    EVEN,
    EVERYWHERE,
    NON_ANCHORS,
    CodingStep,
    Squares,
    context_mask,
    context_schedule,
    latent_mask,
    latent_schedule,
    pick,
    place,
)

SIZES = [(1, 1), (1, 2), (3, 1), (2, 2), (3, 5), (4, 6)]
Order = Callable[[ModelConfig], tuple[CodingStep, ...]]


def board(size: tuple[int, int]) -> np.ndarray:
    return np.arange(1.0, 1 + 6 * size[0] * size[1]).reshape(2, 3, *size)


@pytest.mark.parametrize("config", [*PRESETS.values(), ModelConfig(checkerboard_levels=0)])
@pytest.mark.parametrize("order", [latent_schedule, context_schedule])
def test_every_variable_is_coded_once(config: ModelConfig, order: Order) -> None:
    is_latent = order is latent_schedule
    channels = config.latent_channels if is_latent else config.context_channels
    count = np.zeros((1, channels, 4, 4), np.int64)
    for number, step in enumerate(order(config)):
        assert step.number == number
        sliced = [c for start, stop in step.slices for c in range(start, stop)]
        assert sliced == [*range(step.start, step.stop)]
        ones = np.ones((1, step.stop - step.start, len(step.squares)), np.int64)
        count[:, step.start : step.stop] += place(ones, step.squares, (4, 4))
    assert (count == 1).all()


@pytest.mark.parametrize("size", SIZES)
def test_two_colours_make_a_board(size: tuple[int, int]) -> None:
    x = board(size)
    anchors, others = (place(pick(x, s), s, size) for s in (ANCHORS, NON_ANCHORS))
    assert np.array_equal(anchors + others, x)
    assert not (anchors * others).any()
    assert anchors[0, 0, 0, 0] == 1  # the corner is an anchor, and no neighbours share a colour
    assert not (anchors[..., 1:] * anchors[..., :-1]).any()
    assert not (anchors[..., 1:, :] * anchors[..., :-1, :]).any()
    assert np.array_equal(place(pick(x, EVERYWHERE), EVERYWHERE, size), x)


@pytest.mark.parametrize("squares", [CORNERS, EVEN, ANCHORS, NON_ANCHORS, EVERYWHERE])
@pytest.mark.parametrize("size", SIZES)
def test_picked_positions_are_in_the_order_of_rows(
    size: tuple[int, int], squares: frozenset[tuple[int, int]]
) -> None:
    expected = [
        row * size[1] + column
        for row in range(size[0])
        for column in range(size[1])
        if (row % 4, column % 4) in squares
    ]
    x = board(size)
    assert np.array_equal(pick(x, squares), x.reshape(2, 3, -1)[..., expected])


@pytest.mark.parametrize("size", SIZES)
def test_zones_of_the_context_begin_far_apart(size: tuple[int, int]) -> None:
    x = board(size)
    turns = [step.squares for step in context_schedule(PRESETS["tiny"])[:7]]
    boards = [place(pick(x, squares), squares, size) for squares in turns]
    anchors = place(pick(x, ANCHORS), ANCHORS, size)
    for first in (boards[0] + boards[1], boards[4]):
        assert np.array_equal(first[..., ::2, ::2], x[..., ::2, ::2])
    assert np.array_equal(boards[0][..., ::4, ::4], x[..., ::4, ::4])
    assert np.array_equal(boards[0] + boards[1] + boards[2], anchors)
    assert np.array_equal(boards[4] + boards[5], anchors)
    for rest in (boards[3], boards[6]):
        assert np.array_equal(anchors + rest, x)


@pytest.mark.parametrize("preset", PRESETS)
def test_only_luma_is_coded_of_grey_images(preset: str) -> None:
    config = PRESETS[preset]
    assert context_mask(config, False).all() and latent_mask(config, False).all()
    assert context_mask(config, True).sum() == config.luma_context**2
    assert latent_mask(config, True).sum() == (64 if config.is_open else 61)
    assert context_mask(config, True)[:3].tolist() == [True, False, False]  # the three means


def test_the_first_step_of_the_context_has_nothing_to_look_at() -> None:
    first, *others = context_schedule(PRESETS["base"])
    assert first.squares == CORNERS and not first.has_block
    assert any(step.has_block for step in others)
    assert all(step.has_block for step in latent_schedule(PRESETS["base"]))


@pytest.mark.parametrize("squares", [EVERYWHERE, ANCHORS, NON_ANCHORS, EVEN, CORNERS])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 6), (8, 8)])
def test_placing_undoes_picking(squares: Squares, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(1, 99, (2, 3, *size))
    chosen = np.array(
        [[(r % 4, c % 4) in squares for c in range(size[1])] for r in range(size[0])], bool
    ).reshape(size)
    picked = pick(x, squares)
    assert np.array_equal(picked, x[..., chosen])  # in row-major order
    assert np.array_equal(place(picked, squares, size), np.where(chosen, x, 0))
