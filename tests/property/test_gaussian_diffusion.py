"""Bits-back over the Gaussian diffusion: what is pushed is popped, and the stack is as it was."""

from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hvae_codec.bitstream import EntropyCoder, coder_of, words_of
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.symbols.stack import AnsStack
from hvae_codec.codec.symbols.tables import start_pmfs
from hvae_codec.models.integer.convert import to_integer
from hvae_codec.models.integer.norms import FloatNorm, IntegerNorm
from hvae_codec.models.priors.gaussian_diffusion import GaussianDiffusion
from hvae_codec.models.priors.stack import TensorStack
from tests.inverses import check_inverse

CONFIG = PRESETS["tiny"]
TABLES = start_pmfs()


def stack_of(coder: EntropyCoder) -> TensorStack:
    return TensorStack(AnsStack(coder, TABLES, is_encoder=True))


def _integers() -> tuple[GaussianDiffusion, IntegerNorm]:
    """An untrained prior all of whose weights matter."""
    generator = torch.Generator().manual_seed(0)
    spread = 20 + 400 * torch.rand(CONFIG.context_channels, generator=generator)
    norm, trained = FloatNorm(CONFIG.context_channels), GaussianDiffusion(CONFIG)
    norm.spread.copy_(spread)
    trained.start_from(torch.empty(0), spread)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return cast(GaussianDiffusion, to_integer(trained)), cast(IntegerNorm, to_integer(norm))


PRIOR, NORM = _integers()


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    quality=st.integers(0, 100),
    steps=st.sampled_from([1, 2, 3, 7]),
    magnitude=st.sampled_from([0, 1, 50, 2**15, 2**19]),
    grey=st.booleans(),
)
@torch.no_grad()
def test_popping_undoes_pushing(
    seed: int, size: tuple[int, int], quality: int, steps: int, magnitude: int, grey: bool
) -> None:
    rng = np.random.default_rng(seed)
    coded = torch.from_numpy(rng.random(CONFIG.context_channels) < (0.5 if grey else 1.0))
    coded[0] = True
    u = torch.from_numpy(rng.integers(-magnitude, magnitude + 1, (1, len(coded), *size))).double()
    u = u * coded[:, None, None]
    at = torch.tensor([quality])
    PRIOR.steps = steps
    check_inverse(
        lambda coder: PRIOR.push(stack_of(coder), u, at, NORM, coded),
        lambda coder: PRIOR.pop(stack_of(coder), size, at, NORM, coded),
        u,
        words=20_000,
    )


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([1, 4]))
@torch.no_grad()
def test_pushing_undoes_popping(seed: int, steps: int) -> None:
    """Any words are a context of the prior and a shorter stack."""
    rng = np.random.default_rng(seed)
    before = rng.integers(1, 2**32, 20_000, dtype=np.uint32)
    coder, at = coder_of(before), torch.tensor([int(rng.integers(101))])
    stack = stack_of(coder)
    coded = torch.ones(CONFIG.context_channels, dtype=torch.bool)
    PRIOR.steps = steps
    u = PRIOR.pop(stack, (3, 9), at, NORM, coded)
    PRIOR.push(stack, u, at, NORM, coded)
    assert np.array_equal(words_of(coder), before)


@pytest.mark.parametrize("steps", [2, 5])
@torch.no_grad()
def test_other_grids_and_qualities_do_not_decode(steps: int) -> None:
    """What conditions the prior does so, or the tests above would hold for any network."""
    rng = np.random.default_rng(1)
    coded = torch.ones(CONFIG.context_channels, dtype=torch.bool)
    u = torch.from_numpy(rng.integers(-3, 4, (1, len(coded), 2, 2))).double()
    coder = coder_of(rng.integers(1, 2**32, 20_000, dtype=np.uint32))
    PRIOR.steps = steps
    PRIOR.push(stack_of(coder), u, torch.tensor([50]), NORM, coded)
    words = words_of(coder)
    for quality, count in ((51, steps), (50, steps + 1)):
        PRIOR.steps = count
        stack = stack_of(coder_of(words))
        assert not torch.equal(PRIOR.pop(stack, (2, 2), torch.tensor([quality]), NORM, coded), u)
