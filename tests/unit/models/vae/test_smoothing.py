import math

import pytest
import torch
from numpy.polynomial import hermite_e
from torch import Tensor

from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae import Hvae
from hvae_codec.models.vae.coders import GaussianPosterior
from hvae_codec.models.vae.serial import Drawn, correlate, smooth


def drawn(count: int, mean: float = 0.0, std: float = 1.0) -> Drawn:
    normal = Normal(
        torch.full((count, 1), mean).double(), torch.full((count, 1), math.log(std)).double()
    )
    z = normal.draw()
    return Drawn(normal, z, GaussianPosterior(normal, z))


def hermite(z: Tensor, degree: int) -> Tensor:
    """The normalised polynomial h_degree."""
    coefficients = [0.0] * degree + [1 / math.sqrt(math.factorial(degree))]
    return torch.from_numpy(hermite_e.hermeval(z.numpy(), coefficients))


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_smoothing_shrinks_a_polynomial_by_its_degree(degree: int, rho: float) -> None:
    """U_rho h_n = rho**n h_n, so its variance is rho**(2 n) (OU-VAE, eq. 2 and 4)."""
    q = drawn(2000)

    def network(inputs: list[Tensor]) -> Normal:
        f = hermite(inputs[0], degree)
        return Normal(f, 0 * f)

    averaged = smooth(network, [correlate(q, rho, 2000)])
    expected = rho**degree * hermite(q.z, degree)
    # the average of 2,000 values of variance 1; h_3 grows large where z is far out
    assert (averaged.mean - expected).square().mean().sqrt() < 0.06
    share = averaged.mean.var() / hermite(q.z, degree).var()
    assert share.item() == pytest.approx(rho ** (2 * degree), abs=0.03)


def test_variance_of_a_sum_of_polynomials() -> None:
    """Var(U_rho f) = sum of rho**(2 a) f_a**2 over the degrees a > 0 (eq. 4 and 8)."""
    q, rho, weights = drawn(4000), 0.7, (0.5, 1.0, -0.8, 0.6)

    def network(inputs: list[Tensor]) -> Normal:
        f = torch.stack([w * hermite(inputs[0], a) for a, w in enumerate(weights)]).sum(0)
        return Normal(f, 0 * f)

    averaged = smooth(network, [correlate(q, rho, 1000)]).mean
    expected = sum(rho ** (2 * a) * w**2 for a, w in enumerate(weights) if a)
    # four standard errors of a variance from 4,000 values
    assert averaged.var().item() == pytest.approx(expected, abs=4 * expected * (3 / 4000) ** 0.5)
    assert averaged.mean().item() == pytest.approx(weights[0], abs=4 * (expected / 4000) ** 0.5)


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_correlated_samples_have_the_marginal_of_q(rho: float) -> None:
    q = drawn(1000, mean=2.0, std=0.5)
    z = correlate(q, rho, 100)
    # 1,000 independent z at least: five standard errors
    assert z.mean().item() == pytest.approx(2.0, abs=5 * 0.5 / 1000**0.5)
    assert z.std().item() == pytest.approx(0.5, abs=5 * 0.5 / 2000**0.5)
    correlation = torch.corrcoef(torch.stack([q.z.expand_as(z).flatten(), z.flatten()]))[0, 1]
    assert correlation.item() == pytest.approx(rho, abs=0.03)


def test_mean_and_deviation_are_smoothed() -> None:
    """Averages of the deviation itself, not of its logarithm."""

    def network(inputs: list[Tensor]) -> Normal:
        return Normal(inputs[0], 0.5 * inputs[0])

    z = torch.randn(3, 4, 1)
    averaged = smooth(network, [z])
    assert torch.allclose(averaged.mean, z.mean(0))
    assert torch.allclose(averaged.std, (0.5 * z).exp().mean(0))


def test_smoothing_is_for_training_and_the_inner_layers(serial) -> None:  # noqa: ANN001
    """It changes p(z_1 | z_2) and p(z_2 | z_3) in training, and neither p(z_3) nor p(x | z_1)."""
    x = torch.rand(6, 1, 4, 4).round()
    smoothed, plain = Hvae(serial(rho=0.5)), Hvae(serial())
    plain.load_state_dict(smoothed.state_dict())

    def terms(model: Hvae) -> tuple[list[float], float]:
        torch.manual_seed(3)
        with torch.no_grad():
            found = model.terms(x)
        return [float(t.kl.sum()) for t in found.layers], float(found.reconstruction.sum())

    for training, equal in ((False, [True, True, True]), (True, [True, False, False])):
        (a, b), (c, d) = terms(smoothed.train(training)), terms(plain.train(training))
        assert [u == v for u, v in zip(a, c, strict=True)] == equal
        assert b == d
