import math
from decimal import Decimal

import pytest
import torch
from torch import Tensor

from hvae_codec.bitstream.escape import TOTAL
from hvae_codec.models.priors.normal_bins import (
    BINS_A_DEVIATION,
    LOG_SNR_MAX,
    LOG_SNR_MIN,
    OFFSETS_A_BIN,
    RING,
    Bins,
    schedule_of,
)
from hvae_codec.models.priors.stack import TensorStack

DEVIATIONS = [Decimal(4), Decimal("14.03"), Decimal("31.4")]


class Pile(TensorStack):
    """A stack of what was pushed, which insists on being popped under the same masses."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []

    def push_under(self, pmf: Tensor, symbols: Tensor) -> None:
        self.layers.append((pmf, symbols))

    def pop_under(self, pmf: Tensor) -> Tensor:
        pushed, symbols = self.layers.pop()
        assert torch.equal(pushed, pmf)
        return symbols


def normal(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_masses_are_those_of_the_gaussian(deviation: Decimal) -> None:
    bins = Bins(deviation)
    assert torch.all(bins.rows >= 1)
    assert torch.all(bins.rows.sum(dim=1) == TOTAL)
    left = torch.arange(bins.window + 1).double() + 0.5 - bins.window // 2
    offsets = torch.arange(OFFSETS_A_BIN)[:, None] / OFFSETS_A_BIN
    below = normal((left - offsets) / float(deviation))
    mass = TOTAL * (below[:, 1:] - below[:, :-1])
    assert mass.sum(dim=1) == pytest.approx(TOTAL, abs=1)
    off = (bins.rows[:, :-1] - mass).abs()
    largest = bins.rows[:, :-1].argmax(dim=1, keepdim=True)
    assert off.gather(1, largest).max() < bins.window  # gives what the floors of the tails take
    assert off.scatter(1, largest, 0.0).max() < 8


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_masses_fall_on_both_sides_of_the_mean(deviation: Decimal) -> None:
    rows = Bins(deviation).rows[:, :-1]
    steps = rows.diff(dim=1)
    middle = rows.shape[1] // 2
    assert torch.all(steps[:, : middle - 1] >= 0)
    assert torch.all(steps[:, middle:] <= 0)


def test_what_is_drawn_has_the_same_masses_in_another_order() -> None:
    plain, turned = Bins(Decimal(4)), Bins(Decimal(4), turned=True)
    assert not torch.equal(plain.rows, turned.rows)
    mean, latents = torch.tensor([100, -37, 0]), torch.tensor([3, -5, 400])
    masses = []
    for bins in (plain, turned):
        pile = Pile()
        bins.push(pile, mean, latents)
        pmf, entries = pile.layers[-1]
        masses.append(pmf.gather(1, entries[:, None]))
    assert torch.equal(*masses)


@pytest.mark.parametrize("turned", [False, True])
def test_the_whole_ring_can_be_pushed_under_any_mean(turned: bool) -> None:
    bins = Bins(Decimal(4), turned)
    ring = torch.arange(-RING // 2, RING // 2)
    for at in (0, 63, -OFFSETS_A_BIN * RING // 2, 10**6):
        pile = Pile()
        mean = torch.full_like(ring, at)
        bins.push(pile, mean, ring)
        for pmf, entries in pile.layers:
            assert torch.all(pmf.sum(dim=1) == TOTAL)
            assert int(entries.min()) >= 0 and int(entries.max()) < pmf.shape[1]
        codes = torch.zeros(RING, 3, dtype=torch.int64)  # of different latents, different
        codes[:, 0] = pile.layers[-1][1]
        far = codes[:, 0] == (bins.window - (bins.window // 2 if turned else 0))
        codes[far, 1:] = torch.stack([pile.layers[0][1], pile.layers[1][1]], dim=1)
        assert len(codes.unique(dim=0)) == RING
        assert torch.equal(bins.pop(pile, mean), ring)


@pytest.mark.parametrize("steps", [1, 10, 50, 200, 1000])
def test_the_schedule_is_that_of_variational_diffusion(steps: int) -> None:
    schedule = schedule_of(steps)
    assert schedule.steps == steps
    log_snr = torch.linspace(LOG_SNR_MAX, LOG_SNR_MIN, steps + 1, dtype=torch.float64)
    alpha, sigma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
    between = (sigma[1:] ** 2 - (alpha[1:] / alpha[:-1]) ** 2 * sigma[:-1] ** 2).sqrt()
    bin_width = torch.cat([sigma[:1] * between[:1] / sigma[1:2], between]) / BINS_A_DEVIATION

    def close(factors: int | list[int], expected: Tensor | float) -> None:
        values = torch.tensor(factors).double() / 2**24
        assert torch.allclose(values, torch.as_tensor(expected).double(), rtol=1e-5, atol=2**-24)

    # q(z_i+1 | z_i) = N(alpha_i+1 / alpha_i z_i, between^2)
    close(schedule.decay, 64 * alpha[1] / alpha[0] * bin_width[0] / bin_width[1])
    close(schedule.start, 64 * alpha[0] / bin_width[0] / 2**16)
    # the mean of q(z_i | z_i+1, x): DVP-VAE, eq. 27
    of_x = alpha[:-1] * between**2 / sigma[1:] ** 2
    close(schedule.signal, 64 * of_x / bin_width[:-1] / 2**16)
    of_z = alpha[1:] / alpha[:-1] * sigma[:-1] ** 2 / sigma[1:] ** 2
    close([schedule.decay] * steps, 64 * of_z * bin_width[1:] / bin_width[:-1])
    # its deviation: eq. 28
    deviation = between * sigma[:-1] / sigma[1:]
    assert torch.allclose(deviation / bin_width[:-1], torch.tensor(4.0).double())
    close(schedule.activation, 256 * bin_width)
    close(schedule.shrunk, 2**16 * alpha * bin_width)
    close(schedule.noise, 2**10 * sigma)
    close(schedule.data, 2**16 * bin_width[0] / alpha[0])


@pytest.mark.parametrize("steps", [0, 1001])
def test_a_schedule_of_no_or_too_many_steps_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.\.1000 steps"):
        schedule_of(steps)
