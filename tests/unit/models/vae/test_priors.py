import math

import pytest
import torch
from torch import Tensor

from hvae_codec.models.distributions import Normal
from hvae_codec.models.vae import Hvae
from hvae_codec.models.vae.metrics import bound, continuous_context_kl
from hvae_codec.models.vae.priors import GaussianPrior, Mixture, MixturePrior, rounded


def unknown(x: Tensor) -> Normal:
    raise AssertionError


def test_a_learned_gaussian_is_a_normal() -> None:
    prior = GaussianPrior((2, 3), learned=True)
    assert isinstance(prior(5, None, unknown), Normal)
    assert len(list(prior.parameters())) == 2
    assert not list(GaussianPrior((2, 3), learned=False).parameters())


def test_a_mixture_integrates_to_one() -> None:
    prior = MixturePrior((1,), 4)
    z = torch.linspace(-12, 12, 4001)[:, None]
    density = prior(len(z), None, unknown).log_density(z).exp()
    assert torch.trapezoid(density, z[:, 0]).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["mixture", "gaussian"])
def test_on_a_lattice_masses_sum_to_one(kind: str) -> None:
    prior = MixturePrior((1,), 4) if kind == "mixture" else GaussianPrior((1,), learned=True)
    step = torch.tensor([0.5])
    z = step * torch.arange(-40, 41)[:, None]
    lattice = prior(len(z), step, unknown)
    assert lattice.log_density(z).exp().sum().item() == pytest.approx(1, abs=1e-4)
    drawn = prior(1000, step, unknown).draw()
    assert torch.equal(drawn, rounded(drawn, step))


def test_a_mixture_draws_what_it_says() -> None:
    components = Normal(torch.tensor([[-2.0], [2.0]]), torch.full((2, 1), -2.0))
    weights = torch.tensor([0.3, 0.7]).log()
    z = Mixture(10_000, components, weights).draw()
    # a share of 10,000: four standard errors are 0.018
    assert (z > 0).float().mean().item() == pytest.approx(0.7, abs=0.018)


def test_vamp_prior_is_the_mean_of_posteriors(small) -> None:  # noqa: ANN001
    model = Hvae(small(prior="vamp", components=2))
    for layer in model.hierarchy.modules():
        if hasattr(layer, "posterior_block"):
            torch.nn.init.normal_(layer.posterior_block.last.weight)  # type: ignore
    q = model.hierarchy.encode_top(torch.sigmoid(model.prior.pseudo_inputs))  # type: ignore
    z = torch.randn(5, 1, 4, 4)
    parts = [Normal(q.mean[k : k + 1], q.log_std[k : k + 1]).log_density(z) for k in (0, 1)]
    expected = torch.logsumexp(torch.stack(parts), 0) - math.log(2)
    prior = model.prior(5, None, model.hierarchy.encode_top)
    assert torch.allclose(prior.log_density(z), expected, atol=1e-4)


def test_a_pseudo_input_learns(small, bars: Tensor) -> None:  # noqa: ANN001
    model = Hvae(small(prior="vamp"))
    for layer in model.hierarchy.modules():
        if hasattr(layer, "posterior_block"):
            torch.nn.init.normal_(layer.posterior_block.last.weight)  # type: ignore
    model.terms(bars[:4]).elbo.sum().backward()
    gradient = model.prior.pseudo_inputs.grad
    assert gradient is not None and gradient.abs().sum() > 0  # type: ignore


@pytest.mark.parametrize("predict", ["noise", "input"])
def test_diffusion_trains_on_the_bound_and_is_measured_by_the_chain(
    small,  # noqa: ANN001
    predict: str,
) -> None:
    changes = {"predict": predict, "diffusion_train_steps": 4}
    model = Hvae(small(context="dct", prior="diffusion", **changes))
    torch.nn.init.normal_(model.prior.network.head.weight, std=0.1)  # type: ignore
    u = torch.randn(4000, 1, 4, 4)
    prior = model.prior(len(u), None, model.hierarchy.encode_top)
    with torch.no_grad():
        model.train()
        model.prior.network.eval()  # without dropout  # type: ignore
        trained = prior.log_density(u)
        model.eval()
        measured = prior.log_density(u)
    error = ((trained.var() + measured.var()) / len(u)).sqrt()
    assert abs(trained.mean() - measured.mean()) < 4 * error


def test_finite_steps_cost(small, bars: Tensor) -> None:  # noqa: ANN001
    """The bound of few steps is above that of infinitely many, for the same network."""
    model = Hvae(small(context="dct", prior="diffusion", diffusion_steps=3)).eval()
    model.fit(lambda: [bars])
    batches = [bars] * 8
    continuous = continuous_context_kl(model, batches)
    stepwise = bound(model, batches, draws=1).layers[0].kl
    assert continuous is not None and continuous < stepwise
    assert continuous_context_kl(Hvae(small()).eval(), batches) is None
