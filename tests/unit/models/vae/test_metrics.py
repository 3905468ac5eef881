"""Everything here is compared with a linear Gaussian model, whose log p(x) is known.

z_2 ~ N(0, I),  z_1 | z_2 ~ N(A z_2, s**2),  x | z_1 ~ N(W z_1, I)
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae import Hvae, VaeConfig
from hvae_codec.models.vae.gaps import gaps
from hvae_codec.models.vae.metrics import (
    bits_per_dimension,
    bound,
    gradient_variance,
    log_likelihood,
)

PIXELS = 16


class LinearGaussian(nn.Module):
    """N(W z, exp(log_std)**2)."""

    def __init__(self, weight: Tensor, log_std: Tensor):
        super().__init__()
        self.weight, self.log_std = nn.Parameter(weight), log_std

    def forward(self, inputs: list[Tensor]) -> Normal:
        mean = inputs[0].flatten(1) @ self.weight.T
        return Normal(mean, self.log_std.expand_as(mean))


class GaussianPixels(nn.Module):
    """The likelihood N(W z, I)."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def log_prob(self, x: Tensor, features: Tensor) -> Tensor:
        mean = features @ self.weight.T
        return Normal(mean, torch.zeros_like(mean)).log_density(x.flatten(1))


@dataclass
class Known:
    model: Hvae
    covariance: Tensor

    def draw(self, count: int) -> Tensor:
        root = torch.linalg.cholesky(self.covariance)
        return (torch.randn(count, PIXELS).double() @ root.T).view(-1, 1, 4, 4)

    def log_p(self, x: Tensor) -> Tensor:
        zero = torch.zeros(PIXELS).double()
        return torch.distributions.MultivariateNormal(zero, self.covariance).log_prob(x.flatten(1))


def diagonal_posterior(weight: Tensor, variance: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Matrix and log deviation of p(z | y), where y = W z + noise and W has orthogonal columns."""
    precision = 1 / variance + weight.square().sum(0) / noise**2
    return (weight.T / noise**2) / precision[:, None], -0.5 * precision.log()


def one_layer(shift: float = 0.0, wider: float = 0.0) -> Known:
    """One layer of 3 units; q is the exact posterior, or off by a shift or a log deviation."""
    config = VaeConfig(
        image=(1, 4, 4), inference="serial", network="mlp", readout="bottom",
        units=(3,), mlp_hidden=(3,),
    )  # fmt: skip
    model = Hvae(config).double()
    weight = torch.linalg.qr(torch.randn(PIXELS, 3).double())[0] * torch.tensor([4.0, 2.0, 1.0])
    matrix, log_std = diagonal_posterior(weight, torch.ones(3).double(), 1.0)
    inner = LinearGaussian(matrix, log_std + wider)
    model.hierarchy.posteriors[0] = inner  # type: ignore
    if shift:
        inner.register_forward_hook(lambda m, i, q: Normal(q.mean + shift * q.std, q.log_std))
    set_decoder(model, weight)
    return Known(model.eval(), torch.eye(PIXELS).double() + weight @ weight.T)


def set_decoder(model: Hvae, weight: Tensor) -> None:
    model.readout.net = nn.Identity()  # type: ignore[assignment]
    model.likelihood = GaussianPixels(weight)  # type: ignore[assignment]


def two_layers(wider: float = 0.0) -> Known:
    """Two layers whose exact posterior is serial: q(z_1 | x) q(z_2 | z_1)."""
    config = VaeConfig(
        image=(1, 4, 4), inference="serial", network="mlp", readout="bottom",
        units=(3, 3), mlp_hidden=(3, 3),
    )  # fmt: skip
    model = Hvae(config).double()
    noise = 0.5
    a = torch.diag(torch.tensor([1.0, 0.7, 0.0]).double())  # the third unit of z_2 says nothing
    weight = torch.linalg.qr(torch.randn(PIXELS, 3).double())[0] * 3
    variance = a.square().sum(1) + noise**2  # of z_1
    first, first_std = diagonal_posterior(weight, variance, 1.0)
    second, second_std = diagonal_posterior(a, torch.ones(3).double(), noise)
    model.hierarchy.posteriors[0] = LinearGaussian(first, first_std + wider)  # type: ignore
    model.hierarchy.posteriors[1] = LinearGaussian(second, second_std + wider)  # type: ignore
    log_noise = torch.full((3,), math.log(noise)).double()
    model.hierarchy.priors[0] = LinearGaussian(a, log_noise)  # type: ignore
    set_decoder(model, weight)
    covariance = torch.eye(PIXELS).double() + weight @ torch.diag(variance) @ weight.T
    return Known(model.eval(), covariance)


@pytest.mark.parametrize("make", [one_layer, two_layers])
def test_with_the_exact_posterior_every_weight_is_log_p(make) -> None:  # noqa: ANN001
    known = make()
    x = known.draw(20)
    expected = known.log_p(x)
    with torch.no_grad():
        assert torch.allclose(known.model.terms(x).log_weight, expected, atol=1e-8)
    found = log_likelihood(known.model, [x], 3)
    assert torch.allclose(found.iwae, expected, atol=1e-8)


@pytest.mark.parametrize(("make", "units"), [(one_layer, 3), (two_layers, 6)])
def test_iwae_of_1000_samples_comes_to_log_p(make, units: int) -> None:  # noqa: ANN001
    """With a wider q the bound is below log p(x) by KL(q || p(z | x)), and IWAE hardly is."""
    known = make(wider=0.2)
    x = known.draw(100)
    expected = known.log_p(x).mean().item()
    elbo = bound(known.model, [x] * 50, draws=1).mean
    iwae = log_likelihood(known.model, [x], 1000).iwae.mean().item()
    gap = units * (math.expm1(0.4) / 2 - 0.2)  # each unit is wider by exp(0.2) than it should be
    assert elbo == pytest.approx(expected - gap, abs=0.06)
    assert iwae == pytest.approx(expected, abs=0.05)


def test_mean_exp_kl_is_no_bound() -> None:
    """With the exact posterior it exceeds log p(x) by D_2(q || p) - KL, in the limit."""
    known = one_layer()
    x = known.draw(100)
    found = log_likelihood(known.model, [x], 3000)
    with torch.no_grad():
        q = known.model.hierarchy.posteriors[0]([x])  # type: ignore
    kl = q.kl_units(Normal(0 * q.mean, 0 * q.mean)).sum(1)
    s2 = q.std.square()
    # log of the integral of q**2 / p for N(m, s**2) against N(0, 1)
    renyi = (q.mean.square() / (2 - s2) - q.log_std - 0.5 * torch.log(2 - s2)).sum(1)
    excess = (found.mean_exp_kl - known.log_p(x)).mean().item()
    assert excess == pytest.approx((renyi - kl).mean().item(), abs=0.1)
    assert excess > 0.3


def test_the_bound_is_its_terms() -> None:
    known = two_layers(wider=0.1)
    x = known.draw(200)
    found = bound(known.model, [x])
    assert found.mean == pytest.approx(found.reconstruction - found.kl, abs=1e-8)
    units = [layer.kl_units for layer in found.layers]
    assert all(u is not None for u in units)
    assert sum(float(u.sum()) for u in units if u is not None) == pytest.approx(found.kl)


def test_active_units_are_those_that_follow_the_image() -> None:
    known = two_layers()
    x = known.draw(2000)
    top, bottom = bound(known.model, [x]).latents
    assert (top.layer, bottom.layer) == (1, 2)
    assert top.active == 2 and bottom.active == 3
    found = bound(known.model, [x])
    assert found.active_share == pytest.approx(5 / 6)
    # the third unit of z_2 has q = p, so its KL is 0; the others' are far from it
    assert found.dead_share == pytest.approx(1 / 6)


@pytest.mark.parametrize("follows", [True, False])
def test_noise_of_the_layer_below_is_no_activity(follows: bool) -> None:
    """z_2 follows z_1, and z_1 the image or only its own noise. KL of z_2 is the same in both."""
    known = two_layers()
    model, x = known.model, known.draw(2000)
    first, second = model.hierarchy.posteriors  # type: ignore
    if not follows:  # q(z_1 | x) = p(z_1), which x says nothing of
        nn.init.zeros_(first.weight)  # type: ignore
        first.log_std = 0.5 * torch.tensor([1.25, 0.74, 0.25]).double().log()  # type: ignore
    top = bound(model, [x]).latents[0]
    assert top.kl > 0.7
    through = (second.weight @ first.weight).detach()  # type: ignore
    expected = (through @ known.covariance @ through.T).diagonal()  # of E[z_2 | x]
    # of 2,000 images, four standard errors; noise is a sixteenth of its variance, 0.5 at most
    error = 4 * (2 / 2000) ** 0.5 * (float(expected.max()) + 0.5 / 16)
    assert torch.allclose(top.variances, expected, atol=error)
    assert top.active == (2 if follows else 0)
    with_noise = bound(model, [x], draws=1).latents[0]
    assert with_noise.active == 2


def test_gaps_of_a_known_posterior() -> None:
    """The Gaussian family holds the posterior: all of the gap is amortisation, and is known."""
    shift = 0.8
    known = one_layer(shift=shift)
    x = known.draw(16)
    found = gaps(known.model, x, steps=300, samples=1000, evaluate=100)
    expected = 3 * shift**2 / 2  # KL of a Gaussian moved by `shift` deviations in 3 units
    assert found.log_likelihood == pytest.approx(known.log_p(x).mean().item(), abs=0.05)
    assert found.approximation is not None and found.amortisation is not None
    assert found.approximation == pytest.approx(0, abs=0.05)
    assert found.amortisation == pytest.approx(expected, abs=0.1)
    total = found.approximation + found.amortisation
    assert total == pytest.approx(found.log_likelihood - found.amortised)


def test_the_gap_of_a_flow_has_no_parts(serial) -> None:  # noqa: ANN001
    model = Hvae(serial(units=(3,), mlp_hidden=(4,), flow_steps=2)).eval()
    found = gaps(model, torch.rand(4, 1, 4, 4).round(), steps=1, samples=4, evaluate=2)
    assert found.approximation is None and found.amortisation is None
    assert found.log_likelihood >= found.amortised - 1


def test_gaps_are_for_one_layer() -> None:
    known = two_layers()
    with pytest.raises(ValueError, match="one layer without a context, not 2"):
        gaps(known.model, known.draw(2), steps=1, samples=1, evaluate=1)


def test_bits_per_dimension() -> None:
    assert bits_per_dimension(-3072 * math.log(2), (3, 32, 32)) == pytest.approx(1)


def test_an_exact_posterior_has_less_noise_in_its_gradient() -> None:
    exact, off = one_layer(), one_layer(wider=0.5)
    x = exact.draw(8)
    assert gradient_variance(exact.model, x, 8) < gradient_variance(off.model, x, 8)
