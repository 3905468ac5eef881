import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal as Reference
from torch.distributions import kl_divergence

from hvae_codec.models.distributions import (
    LogisticMixture,
    Normal,
    bernoulli_log,
)


def some(*shape: int) -> Normal:
    return Normal(torch.randn(shape).double(), 0.3 * torch.randn(shape).double())


def test_normal_agrees_with_torch() -> None:
    q, p, z = some(3, 4), some(3, 4), torch.randn(3, 4).double()
    reference_q, reference_p = Reference(q.mean, q.std), Reference(p.mean, p.std)
    assert torch.allclose(q.log_density(z), reference_q.log_prob(z).sum(1))
    assert torch.allclose(q.kl_units(p), kl_divergence(reference_q, reference_p))


def test_cells_of_a_lattice_share_all_of_the_mass() -> None:
    step = torch.tensor(0.25).double()
    z = step * torch.arange(-200, 201).double()
    normal = Normal(torch.tensor(0.3).double(), torch.tensor(-0.5).double())
    masses = normal.log_cells(z, step)
    assert masses.exp().sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("place", [0.0, 8.0, -40.0])
def test_far_and_narrow_cells_keep_their_mass(place: float) -> None:
    """A narrow cell has the mass density times width, also where the density underflows."""
    step, z = torch.tensor(1e-3).double(), torch.tensor(place).double()
    zero = torch.zeros(()).double()
    expected = Reference(zero, 1 + zero).log_prob(z) + math.log(1e-3)
    assert Normal(zero, zero).log_cells(z, step).item() == pytest.approx(expected.item(), abs=1e-3)


def test_bernoulli() -> None:
    logits = torch.tensor([[0.0, 2.0]])
    total = sum(bernoulli_log(torch.tensor([[a, a]]), logits).exp() for a in (0.0, 1.0))
    assert torch.allclose(torch.as_tensor(total), torch.ones(1, 2))


def every_image(channels: int) -> Tensor:
    """All images of one pixel, every 256 levels of each channel."""
    levels = torch.arange(256).double() / 255
    grids = torch.meshgrid(*[levels] * channels, indexing="ij")
    return torch.stack([grid.flatten() for grid in grids], dim=1)[:, :, None, None]


@pytest.mark.parametrize("channels", [1, 2])
def test_logistic_mixture_sums_to_one(channels: int) -> None:
    raw = torch.randn(1, LogisticMixture.parameters(channels, 3), 1, 1).double() - 1
    x = every_image(channels)
    mixture = LogisticMixture.of(raw, channels, 3)
    total = mixture.log_pixels(x).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
def test_levels_in_turn_are_the_joint_probability(channels: int) -> None:
    raw = torch.randn(1, LogisticMixture.parameters(channels, 3), 1, 1).double() - 1
    x = every_image(channels)[::97]
    mixture = LogisticMixture.of(raw.expand(len(x), -1, -1, -1), channels, 3)
    levels = (255 * x).round().long()
    total = torch.ones(len(x)).double()
    for c in range(channels):
        p = mixture.level_probabilities(c, 2 * x - 1)[:, 0, 0]
        assert torch.allclose(p.sum(-1), torch.ones(len(x)).double())
        total = total * p.gather(-1, levels[:, c, 0])[:, 0]
    assert torch.allclose(total, mixture.log_pixels(x).exp()[:, 0, 0], rtol=1e-6)


def test_logistic_mixture_draws_what_it_says() -> None:
    raw = torch.randn(1, LogisticMixture.parameters(1, 2), 1, 1).double() - 1
    x = every_image(1)
    expected = (LogisticMixture.of(raw, 1, 2).log_pixels(x).exp() * x[:, 0]).sum()
    many = LogisticMixture.of(raw.expand(20_000, -1, -1, -1), 1, 2).draw()
    assert set((many * 255).unique().round().long().tolist()) <= set(range(256))
    # 20,000 draws of deviation below 0.5: five standard errors are 0.018
    assert many.mean().item() == pytest.approx(expected.item(), abs=0.018)


def test_what_is_drawn_of_green_follows_the_level_of_red() -> None:
    """Green's mean is the level of red, and not the number that was rounded to it."""
    level = 2 / 255
    raw = torch.tensor([0.0, 0.0, 0.0, math.log(level), -7.0, 20.0])
    many = LogisticMixture.of(raw.view(1, 6, 1, 1).expand(4000, -1, -1, -1), 2, 1).draw()
    equal = (many[:, 0] == many[:, 1]).float().mean()
    edge = 1 / (1 + math.exp(-0.5 * level * math.exp(7)))
    # a share of 4,000: five standard errors are 0.013; without rounding it would be 0.84
    assert equal.item() == pytest.approx(2 * edge - 1, abs=0.013)


def test_colours_depend_on_one_another_as_in_pixel_cnn() -> None:
    """Written out for one component: red, then green given red, then blue given both."""
    mean, log_scale = [0.1, -0.2, 0.05], [-2.0, -1.5, -1.0]
    coupling = [0.4, -0.3, 0.2]  # green of red, blue of red, blue of green
    raw = torch.tensor([0, *mean, *log_scale, *map(math.atanh, coupling)], dtype=torch.float64)

    def mass(level: int, m: float, s: float) -> float:
        def below(edge: float) -> float:  # the probability of all levels up to an edge
            return 0.0 if edge < -1 else 1.0 if edge > 1 else 1 / (1 + math.exp((m - edge) / s))

        v = level / 127.5 - 1
        return below(v + 1 / 255) - below(v - 1 / 255)

    for levels in ((0, 128, 255), (255, 0, 3), (77, 200, 0)):
        r, g, _ = (level / 127.5 - 1 for level in levels)
        means = (mean[0], mean[1] + 0.4 * r, mean[2] - 0.3 * r + 0.2 * g)
        expected = sum(
            math.log(mass(level, m, math.exp(s)))
            for level, m, s in zip(levels, means, log_scale, strict=True)
        )
        x = torch.tensor(levels).double().view(1, 3, 1, 1) / 255
        found = LogisticMixture.of(raw.view(1, 10, 1, 1), 3, 1).log_pixels(x)
        assert found.item() == pytest.approx(expected, abs=1e-9)


def test_the_mean_of_a_logistic_mixture_is_that_of_its_draws() -> None:
    raw = torch.randn(1, LogisticMixture.parameters(3, 4), 1, 1).double()
    rows = raw.view(1, 4, 10, 1, 1)
    rows[:, :, 1:4] *= 0.2  # means, far from the ends, which `mean` does not weigh
    rows[:, :, 4:7] = -4
    mean = LogisticMixture.of(raw, 3, 4).mean()
    many = LogisticMixture.of(raw.expand(40_000, -1, -1, -1), 3, 4).draw()
    # 40,000 draws of deviation below 0.2: five standard errors are 0.005
    assert torch.allclose(many.mean(0), mean[0], atol=0.006)


def test_three_channels_have_three_couplings() -> None:
    assert LogisticMixture.parameters(3, 10) == 100  # PixelCNN++
