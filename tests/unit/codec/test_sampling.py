from typing import Any

import numpy as np
import pytest

from hvae_codec.bitstream import ArgumentError, PmfTables
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import DecodeOptions
from hvae_codec.codec.sampling import draw_picture
from hvae_codec.codec.symbols.scales import scale_of
from hvae_codec.codec.symbols.stack import Sampling, SamplingStack

Files = Any


def test_draws_follow_the_tables(pmfs: PmfTables) -> None:
    rows = np.full(4000, 8 * 40 + 4)  # a mean of one half
    scale = float(scale_of(np.array(40.0)))
    drawn = SamplingStack(pmfs, Sampling(seed=3)).pop(rows)
    assert drawn.mean() == pytest.approx(0.5, abs=4 * scale / 60)
    assert drawn.std() == pytest.approx(scale, rel=0.05)
    cool = SamplingStack(pmfs, Sampling(3, 0.25)).pop(rows)
    assert cool.std() == pytest.approx(0.5 * scale, rel=0.05)
    assert not SamplingStack(pmfs, Sampling(3, 0)).pop(rows - 4).any()


def test_draws_of_several_tables_keep_their_places(pmfs: PmfTables) -> None:
    rows = np.array([8 * 63, 0] * 500)  # a wide one, and one that is all but surely zero
    drawn = SamplingStack(pmfs, Sampling(seed=1)).pop(rows)
    assert not drawn[1::2].any()
    assert len(np.unique(drawn[::2])) > 50


def test_draws_follow_masses_of_their_own(pmfs: PmfTables) -> None:
    masses = np.array([[2**22, 3 * 2**22]])
    together = SamplingStack(pmfs, Sampling()).pop_under(masses, 4000)
    apart = SamplingStack(pmfs, Sampling()).pop_under(masses.repeat(4000, axis=0), 4000)
    for drawn in (together, apart):
        assert drawn.shape == (4000,)
        assert drawn.mean() == pytest.approx(0.75, abs=0.03)
    assert SamplingStack(pmfs, Sampling()).pop_under(np.ones((0, 3), int), 0).shape == (0,)


def test_what_is_pushed_on_draws_is_forgotten(pmfs: PmfTables) -> None:
    one, other = (SamplingStack(pmfs, Sampling(seed=3)) for _ in range(2))
    one.push(np.zeros(9, int), np.zeros(9, int))
    one.push_under(np.array([[2**23, 2**23]]), np.zeros(9, int))
    rows = np.full(40, 8 * 40)
    assert np.array_equal(one.pop(rows), other.pop(rows))
    # each tile has its own sequence
    assert not np.array_equal(
        SamplingStack(pmfs, Sampling(3), 1).pop(rows),
        SamplingStack(pmfs, Sampling(3)).pop(rows),
    )


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
    with pytest.raises(ArgumentError):
        draw_picture(tiny_codec, size, quality, Sampling())


@pytest.mark.parametrize("values", [(-1, 1.0), (0, -0.5), (0, float("nan")), (0, float("inf"))])
def test_sampling_out_of_range_is_refused(values: tuple[int, float]) -> None:
    with pytest.raises(ArgumentError):
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


def test_nothing_is_drawn_of_a_thumbnail() -> None:
    with pytest.raises(ArgumentError, match="at 1/8 no level is decoded that could be drawn"):
        DecodeOptions(scale=8, levels=0, sampling=Sampling(1))
