from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae_codec.bitstream import PmfTables, coder_of
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.errors import PayloadTooShort
from hvae_codec.codec.quality.curve import step_of
from hvae_codec.codec.symbols.stack import AnsStack, Integers, Sampling, SamplingStack
from hvae_codec.models.integer.convert import to_integer
from hvae_codec.models.integer.norms import FloatNorm, IntegerNorm
from hvae_codec.models.priors.gaussian_diffusion import GaussianDiffusion
from hvae_codec.models.priors.stack import TensorStack

CONFIG = PRESETS["tiny"]
EVERY = torch.ones(CONFIG.context_channels, dtype=torch.bool)
AT = torch.tensor([70])


@pytest.fixture(scope="module")
def spread() -> Tensor:
    return torch.logspace(2.5, 1, CONFIG.context_channels)


@pytest.fixture(scope="module")
def norm(spread: Tensor) -> FloatNorm:
    norm = FloatNorm(CONFIG.context_channels)
    norm.spread.copy_(spread)
    return norm


@pytest.fixture(scope="module")
def integer_norm(norm: FloatNorm) -> IntegerNorm:
    return norm.to_integer()


@pytest.fixture(scope="module")
def trained(spread: Tensor) -> GaussianDiffusion:
    """Knows nothing but the spread, which is all there is to know of `context`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = GaussianDiffusion(CONFIG)
    prior.start_from(torch.empty(0), spread)
    return prior


@pytest.fixture(scope="module")
def integer_prior(trained: GaussianDiffusion) -> GaussianDiffusion:
    return cast(GaussianDiffusion, to_integer(trained))


def context(spread: Tensor, size: tuple[int, int], seed: int) -> Tensor:
    """Independent Gaussian coefficients (1, C, *size), rounded to steps."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, len(spread), *size, generator=generator) * spread[:, None, None]
    return torch.floor(x / step_of(AT) + 0.5)


def stack_of(words: int, pmfs: PmfTables) -> TensorStack:
    filled = np.random.default_rng(3).integers(1, 2**32, words, dtype=np.uint32)
    return TensorStack(AnsStack(coder_of(filled), pmfs, is_encoder=True))


class Counter(AnsStack):
    """Adds up what each symbol costs under its masses, and takes off what is popped."""

    bits = 0.0

    def push(self, index: Integers, symbols: Integers) -> None:
        super().push(index, symbols)
        self.bits += float(self.pmfs.bits(index, symbols).sum())

    def push_under(self, pmf: Integers, symbols: Integers) -> None:
        super().push_under(pmf, symbols)
        self.bits += self.bits_under(pmf, symbols)

    def pop_under(self, pmf: Integers, count: int) -> NDArray[np.int32]:
        symbols = super().pop_under(pmf, count)
        self.bits -= self.bits_under(pmf, symbols)
        return symbols

    @staticmethod
    def bits_under(pmf: Integers, symbols: Integers) -> float:
        rows = np.broadcast_to(pmf, (len(symbols), pmf.shape[1]))
        return float(np.log2(2**24 / rows[np.arange(len(symbols)), symbols]).sum())


@pytest.mark.slow
@torch.no_grad()
def test_the_stack_grows_by_the_bound(
    trained: GaussianDiffusion,
    integer_prior: GaussianDiffusion,
    norm: FloatNorm,
    integer_norm: IntegerNorm,
    spread: Tensor,
    pmfs: PmfTables,
) -> None:
    trained.steps = integer_prior.steps = 50
    u = context(spread, (8, 9), seed=0)
    torch.manual_seed(0)
    bound = float(trained.bound(u, AT.float(), norm).sum())
    stack = Counter(stack_of(5000, pmfs).stack.coder, pmfs, is_encoder=True)  # type: ignore
    bits, words = stack.coder.num_valid_bits(), stack.lowest
    integer_prior.push(TensorStack(stack), u.double(), AT, integer_norm, EVERY)
    grown = stack.coder.num_valid_bits() - bits
    assert grown == pytest.approx(stack.bits, abs=8)
    assert grown == pytest.approx(bound, rel=0.02)
    # bins are a quarter of a deviation wide, so two latents of a chunk take so many bits at most
    assert 0 < 32 * (words - stack.lowest) < 10 * u[..., :4, :4].numel()


@torch.no_grad()
def test_the_bound_is_what_it_was(
    trained: GaussianDiffusion, norm: FloatNorm, spread: Tensor
) -> None:
    """Values of the code that docs/priors.md was measured with: its sum has the terms in bits."""
    trained.steps = 8
    u = context(spread, (4, 5), seed=5)
    torch.manual_seed(1)
    bound = trained.bound(u, AT.float(), norm)[:, 0]
    found = [float(bits) for bits in (*bound[:3], bound[-1])]
    assert found == pytest.approx([0.041695, 0.307286, 2.574193, 491.266907], rel=1e-3)
    torch.manual_seed(1)
    continuous = trained.bits(u + 0.3, AT.float(), norm, continuous=True)[:, 0]
    found = [float(bits) for bits in continuous]
    assert found == pytest.approx([0.042581, 20659.15625, -909.832764], rel=1e-3)


@torch.no_grad()
def test_more_steps_cost_less(trained: GaussianDiffusion, norm: FloatNorm, spread: Tensor) -> None:
    u, sums = context(spread, (8, 8), seed=1), []
    for trained.steps in (5, 20, 80):
        sums.append(float(trained.bound(u, AT.float(), norm).sum()))
    assert sums[0] > sums[1] > sums[2]


@torch.no_grad()
def test_one_random_step_stands_for_all(
    trained: GaussianDiffusion, norm: FloatNorm, spread: Tensor
) -> None:
    trained.steps = 10
    u = context(spread, (4, 4), seed=2)
    many, at = u.expand(200, -1, -1, -1), AT.float().expand(200)
    torch.manual_seed(0)
    estimated = trained.bits(many, at, norm).mean(dim=1)
    bound = trained.bound(many[:20], at[:20], norm).mean(dim=1)
    assert float(estimated[1]) == pytest.approx(float(bound[1:-1].sum()), rel=0.05)
    assert float(estimated[2]) == pytest.approx(float(bound[-1]), rel=0.05)


def test_every_weight_learns(trained: GaussianDiffusion, norm: FloatNorm, spread: Tensor) -> None:
    prior = GaussianDiffusion(CONFIG)
    prior.load_state_dict(trained.state_dict())
    torch.nn.init.normal_(prior.unet.head.weight, std=0.01)
    u = torch.cat([context(spread, (6, 5), seed) for seed in range(16)])
    prior.bits(u, torch.linspace(0, 100, 16), norm).sum().backward()
    still = [n for n, p in prior.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@torch.no_grad()
def test_too_short_a_payload_is_refused(
    integer_prior: GaussianDiffusion,
    integer_norm: IntegerNorm,
    spread: Tensor,
    pmfs: PmfTables,
) -> None:
    integer_prior.steps = 3
    u = context(spread, (4, 4), seed=3).double()
    with pytest.raises(PayloadTooShort):
        integer_prior.push(stack_of(50, pmfs), u, AT, integer_norm, EVERY)
    integer_prior.push(stack_of(500, pmfs), u, AT, integer_norm, EVERY)


@pytest.mark.slow
@torch.no_grad()
def test_popping_draws_samples_the_prior(
    integer_prior: GaussianDiffusion,
    integer_norm: IntegerNorm,
    spread: Tensor,
    pmfs: PmfTables,
) -> None:
    integer_prior.steps = 100  # with few, samples vary too little
    draws = TensorStack(SamplingStack(pmfs, Sampling(seed=0)))
    u = integer_prior.pop(draws, (8, 8), AT, integer_norm, EVERY)
    drawn = (u.float() * step_of(AT))[0].flatten(1).std(dim=1)
    assert torch.allclose(drawn / spread, torch.ones_like(spread), atol=0.35)
    assert float((drawn / spread).mean()) == pytest.approx(1, abs=0.1)
