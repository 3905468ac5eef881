import math

import pytest
import torch
from torch import Tensor

from hvae_codec.codec.errors import ConfigError
from hvae_codec.models import diffusion
from hvae_codec.models.diffusion import (
    FixedVariance,
    LearnedVariance,
    Reverse,
    Schedule,
    alpha_sigma,
)
from hvae_codec.models.distributions import Normal, sum_images

KINDS = ["linear-log-snr", "linear-beta", "cosine"]
ENDS = (7.0, -6.0)


def perfect(y: Tensor, log_snr: Tensor) -> Tensor:
    """The mean of the noise in y_t where u ~ N(0, I)."""
    return alpha_sigma(log_snr, y)[1] * y


def sure(y: Tensor, log_snr: Tensor) -> Normal:
    """r(u | y_t) where u ~ N(0, I)."""
    alpha, sigma = alpha_sigma(log_snr, y)
    return Normal(alpha * y, sigma.log().expand_as(y))


FIXED, LEARNED = FixedVariance(perfect), LearnedVariance(sure)


def data(count: int) -> Tensor:
    return torch.randn(count, 1, 2, 2).double()


def ends(u: Tensor, schedule: Schedule, reverse: Reverse = FIXED) -> Tensor:
    """One sample of the bound but for its diffusion term."""
    first, last = schedule(torch.tensor([[0.0], [1.0]]).double().expand(2, len(u)))
    y = diffusion.forward(u, first).draw()
    units = diffusion.log_units(reverse.last(y, first), u, None)
    return sum_images(units) - diffusion.prior_kl(u, last)


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_grows(kind: str) -> None:
    t = torch.linspace(0, 1, 101).double()
    log_snr = Schedule(kind, ENDS)(t)
    assert (log_snr.diff() <= 0).all()
    assert [log_snr[0].item(), log_snr[-1].item()] == pytest.approx(ENDS)
    schedule, h = Schedule(kind, ENDS), 1e-5
    numeric = (schedule(t[1:-1] - h) - schedule(t[1:-1] + h)) / (2 * h)
    assert torch.allclose(schedule.slope(t[1:-1]), numeric, rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("linear-beta", (9.3, -6.0)),  # before its t = 0
        ("linear-beta", (7.0, -10.1)),  # after its t = 1
        ("cosine", (-6.0, 7.0)),
        ("linear-log-snr", (7.0, float("nan"))),
    ],
)
def test_ends_that_a_schedule_does_not_reach(kind: str, ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=f"{kind} does not fall from"):
        Schedule(kind, ends)


def test_all_of_linear_beta() -> None:
    log_snr = Schedule("linear-beta", diffusion.BETA_ENDS)(torch.tensor([0.0, 1.0]).double())
    assert log_snr.tolist() == pytest.approx(diffusion.BETA_ENDS)
    whole = -math.log(math.expm1(1e-4)), -math.log(math.expm1(1e-4 + 0.1 + 9.95))
    assert whole == pytest.approx(diffusion.BETA_ENDS, abs=0.01)


def test_alpha_and_sigma_keep_the_variance() -> None:
    alpha, sigma = alpha_sigma(torch.tensor([3.0, -2.0]), torch.zeros(2, 1, 2, 2))
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(2, 1, 1, 1))
    assert torch.allclose(2 * (alpha / sigma).log().flatten(), torch.tensor([3.0, -2.0]))


def test_a_step_back_keeps_the_marginal() -> None:
    """With y_t from q(y_t | u), q(y_s | y_t, u) gives y_s the mean and variance of q(y_s | u)."""
    u = torch.full((200_000, 1, 1, 1), 0.8).double()
    late, early = (torch.full((len(u),), v).double() for v in (-1.0, 1.0))
    y = diffusion.forward(u, late).draw()
    y = diffusion.step_back(y, diffusion.known(u), late, early).draw()
    alpha, sigma = alpha_sigma(early[:1], u)
    # of 200,000 draws, five standard errors: 0.006 of the mean, 0.008 of the deviation
    assert y.mean().item() == pytest.approx(0.8 * alpha.item(), abs=0.006)
    assert y.std().item() == pytest.approx(sigma.item(), abs=0.008)


def test_a_step_back_from_a_gaussian_is_the_integral_over_u() -> None:
    """With u from r(u | y_t), q(y_s | y_t, u) gives y_s the mean and variance of r(y_s | y_t)."""
    y = torch.full((200_000, 1, 1, 1), 0.3).double()
    late, early = (torch.full((len(y),), v).double() for v in (-1.0, 1.0))
    belief = Normal(0 * y + 0.5, 0 * y - 1)
    r = diffusion.step_back(y, belief, late, early)
    drawn = diffusion.step_back(y, diffusion.known(belief.draw()), late, early).draw()
    # of 200,000 draws, five standard errors
    assert drawn.mean().item() == pytest.approx(r.mean[0].item(), abs=0.012 * r.std[0].item())
    assert drawn.std().item() == pytest.approx(r.std[0].item(), rel=0.008)


def test_terms_in_closed_form_are_those_of_gaussians() -> None:
    u, log_snr = data(5), torch.linspace(-3, 3, 5).double()
    standard = Normal(torch.zeros_like(u), torch.zeros_like(u))
    expected = sum_images(diffusion.forward(u, log_snr).kl_units(standard))
    assert torch.allclose(diffusion.prior_kl(u, log_snr), expected)
    y, guess = data(5), data(5)
    q, r = (diffusion.step_back(y, diffusion.known(x), log_snr, log_snr + 0.7) for x in (u, guess))
    error = log_snr.exp() * sum_images((u - guess).square())
    found = diffusion.step_kl(error, log_snr, log_snr + 0.7)
    assert torch.allclose(found, sum_images(q.kl_units(r)))


def test_continuous_bound_is_tight_for_a_gaussian() -> None:
    u = data(100_000)
    schedule = Schedule("linear-log-snr", (10.0, -10.0))
    bound = ends(u, schedule) - diffusion.continuous_kl(u, FIXED, schedule)
    entropy = 4 * 0.5 * math.log(2 * math.pi * math.e)
    # the ends cost 4e-4 nats a unit; the standard error of the mean is about 0.02
    assert bound.mean().item() == pytest.approx(-entropy, abs=0.1)


@pytest.mark.parametrize("reverse", [FIXED, LEARNED], ids=["fixed", "learned"])
@pytest.mark.parametrize("kind", KINDS)
def test_chain_and_terms_are_the_same_bound(kind: str, reverse: Reverse) -> None:
    """Two ways to T steps: a chain of log ratios, and KL terms with one random step."""
    u, steps, schedule = data(50_000), 6, Schedule(kind, (5.0, -5.0))
    chain = diffusion.chain_log_weight(u, reverse, schedule, steps, None)
    terms = ends(u, schedule, reverse) - diffusion.stepwise_kl(u, reverse, schedule, steps)
    error = ((chain.var() + terms.var()) / len(u)).sqrt()
    assert abs(chain.mean() - terms.mean()) < 4 * error


def test_more_steps_bound_better() -> None:
    u, schedule = data(20_000), Schedule("linear-log-snr", ENDS)
    bounds = [
        diffusion.chain_log_weight(u, FIXED, schedule, steps, None).mean().item()
        for steps in (4, 16, 64)
    ]
    entropy = 4 * 0.5 * math.log(2 * math.pi * math.e)
    assert bounds[0] < bounds[1] < bounds[2] < -entropy + 0.05


@pytest.mark.parametrize("steps", [1, 3])
def test_learned_variances_make_few_steps_enough(steps: int) -> None:
    """For a Gaussian u each step is exact, so every number of steps has the density itself."""
    u, schedule = data(1000), Schedule("linear-log-snr", (2.0, -40.0))
    weights = diffusion.chain_log_weight(u, LEARNED, schedule, steps, None)
    expected = Normal(0 * u, 0 * u).log_density(u)
    assert torch.allclose(weights, expected, atol=1e-6)


def test_both_ways_back_believe_in_the_same_noise() -> None:
    y, log_snr = data(5), torch.linspace(-3, 3, 5).double()
    assert torch.allclose(FIXED.noise(y, log_snr), LEARNED.noise(y, log_snr))
    fixed, learned = (way.transition(y, log_snr, log_snr + 0.7) for way in (FIXED, LEARNED))
    assert torch.allclose(fixed.mean, learned.mean)
    assert (learned.std > fixed.std).all()


def test_learned_samples_have_the_moments_of_the_data() -> None:
    start = torch.randn(20_000, 1, 1, 1).double()
    u = diffusion.draw_chain(start, LEARNED, Schedule("cosine", ENDS), 3, 1.0)
    # five standard errors of 20,000 draws
    assert u.mean().item() == pytest.approx(0, abs=0.035)
    assert u.std().item() == pytest.approx(1, abs=0.025)


def test_chain_weights_are_proper() -> None:
    """Their mean exponential is the density that the chain draws from, which is N(0, 1) here."""
    schedule = Schedule("linear-log-snr", (8.0, -8.0))
    u = torch.full((40_000, 1, 1, 1), 1.3).double()
    weights = diffusion.chain_log_weight(u, FIXED, schedule, 100, None)
    estimate = torch.logsumexp(weights, 0) - math.log(len(u))
    expected = Normal(0 * u[:1], 0 * u[:1]).log_density(u[:1])
    assert estimate.item() == pytest.approx(expected.item(), abs=0.05)


def test_samples_have_the_moments_of_the_data() -> None:
    schedule = Schedule("linear-log-snr", ENDS)
    start = torch.randn(20_000, 1, 1, 1).double()
    u = diffusion.draw_chain(start, FIXED, schedule, 400, 1.0)
    # five standard errors of 20,000 draws; 400 steps lose a hundredth of the deviation
    assert u.mean().item() == pytest.approx(0, abs=0.035)
    assert u.std().item() == pytest.approx(1, abs=0.035)


def test_on_a_lattice_the_masses_sum_to_one() -> None:
    log_snr = torch.tensor([2.0]).double().expand(401)
    points = (0.25 * torch.arange(-200, 201).double()).view(-1, 1, 1, 1)
    y = torch.full_like(points, 0.4)
    last = FIXED.last(y, log_snr)
    masses = diffusion.log_units(last, points, torch.tensor(0.25).double())
    assert masses.exp().sum().item() == pytest.approx(1, abs=1e-9)
