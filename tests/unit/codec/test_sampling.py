from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import InvalidField, PmfTables
from hvae_codec.codec.sampling import Draws, Sampling, draw_picture
from hvae_codec.codec.weights import Codec
from hvae_codec.models.coders import scale_of

Files = Any


def test_draws_follow_the_tables(tiny_codec: Codec) -> None:
    index = torch.full((4000,), 40.0)
    drawn = Draws(tiny_codec.tables, Sampling(seed=3)).pop(8 * index + 4)  # a mean of one half
    assert float(drawn.double().mean()) == pytest.approx(
        0.5, abs=4 * float(scale_of(index[0])) / 60
    )
    assert float(drawn.double().std()) == pytest.approx(float(scale_of(index[0])), rel=0.05)
    cool = Draws(tiny_codec.tables, Sampling(3, 0.25)).pop(8 * index + 4)
    assert float(cool.double().std()) == pytest.approx(0.5 * float(scale_of(index[0])), rel=0.05)
    assert Draws(tiny_codec.tables, Sampling(3, 0)).pop(8 * index).abs().max() == 0


def test_draws_follow_masses_of_their_own() -> None:
    table = PmfTables(
        np.array([2**24 - 1, 1], np.uint32), np.zeros(1, np.int32), np.ones(1, np.int32)
    )
    masses = torch.tensor([2**22, 3 * 2**22])
    together = Draws(table, Sampling()).pop_under(masses.expand(4000, -1))
    apart = Draws(table, Sampling()).pop_under(masses.repeat(4000, 1))
    for drawn in (together, apart):
        assert float(drawn.double().mean()) == pytest.approx(0.75, abs=0.03)
    assert Draws(table, Sampling()).pop_under(torch.ones(0, 3, dtype=torch.int64)).shape == (0,)


def test_the_same_seed_gives_the_same_picture(tiny_codec: Codec) -> None:
    one, same, other, cold = (
        draw_picture(tiny_codec, (2, 3), 50, sampling)
        for sampling in (Sampling(7), Sampling(7), Sampling(8), Sampling(7, 0.0))
    )
    assert one.shape == (64, 96, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(cold, draw_picture(tiny_codec, (2, 3), 50, Sampling(1, 0.0)))


@pytest.mark.parametrize(("size", "quality"), [((0, 1), 50), ((65, 64), 50), ((1, 1), 101)])
def test_pictures_that_cannot_be_drawn_are_refused(
    tiny_codec: Codec, size: tuple[int, int], quality: int
) -> None:
    with pytest.raises(InvalidField):
        draw_picture(tiny_codec, size, quality, Sampling())


@pytest.mark.parametrize("values", [(-1, 1.0), (0, -0.5), (0, float("nan")), (0, float("inf"))])
def test_sampling_out_of_range_is_refused(values: tuple[int, float]) -> None:
    with pytest.raises(InvalidField):
        Sampling(*values)


def test_levels_left_out_are_drawn(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[:70, 200:300], 60, 2)
    means, whole = files.samples(data, levels=1), files.samples(data)
    one, same, other = (
        files.samples(data, levels=1, sampling=Sampling(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, means)
    assert np.array_equal(files.samples(data, sampling=Sampling(1)), whole)  # nothing is left out
    # each tile has its own draws, which a region does not change
    part = files.samples(data, levels=1, sampling=Sampling(1), region=(70, 10, 20, 20))
    assert np.abs(part.astype(int) - one[10:30, 70:90]).max() <= 1
