import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from hvae_codec.models.coders import (
    SCALE_MAX,
    SCALE_MIN,
    SCALES,
    Noiser,
    Rounder,
    gaussian_bits,
    scale_of,
)


def exact_bits(residual: np.ndarray, scale: float) -> np.ndarray:
    """By logarithms of the survival function, which keep their digits."""
    distance = np.abs(residual)
    upper = norm.logsf((distance - 0.5) / scale)
    lower = norm.logsf((distance + 0.5) / scale)
    return np.asarray(upper + np.log1p(-np.exp(lower - upper))) / -math.log(2)


def test_scales_are_a_geometric_grid() -> None:
    scales = scale_of(torch.arange(SCALES))
    assert scales[[0, -1]].tolist() == pytest.approx([SCALE_MIN, SCALE_MAX], rel=1e-5)
    ratios = scales[1:] / scales[:-1]
    assert ratios.min() == pytest.approx(float(ratios.max()), rel=1e-5)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0, 4.0, 30.0, 256.0])
def test_bits_are_those_of_the_gaussian(scale: float) -> None:
    residual = np.linspace(0, 3.9 * scale + 0.5, 200)
    bits = gaussian_bits(torch.tensor(residual).float(), torch.tensor(scale)).numpy()
    np.testing.assert_allclose(bits, exact_bits(residual, scale), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0, 4.0, 30.0, 256.0])
def test_bits_are_those_of_the_gaussian_in_the_tail(scale: float) -> None:
    residual = np.linspace(4 * scale + 0.5, 40 * scale + 0.5, 200)
    bits = gaussian_bits(torch.tensor(residual).float(), torch.tensor(scale)).numpy()
    # Mills' ratio is 6 % too large at four scales: a tenth of a bit of fifteen
    np.testing.assert_allclose(bits, exact_bits(residual, scale), rtol=0.02)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0, 256.0])
def test_rarer_symbols_cost_more(scale: float) -> None:
    residual = torch.linspace(0, 60 * scale, 3001)
    bits = gaussian_bits(residual, torch.tensor(scale))
    assert torch.isfinite(bits).all()
    # where Mills' ratio takes over it may step back by its error at four scales, 0.1 bits
    assert bits.diff().min() > -0.1
    assert torch.equal(bits, gaussian_bits(-residual, torch.tensor(scale)))


@pytest.mark.parametrize("distance", [0.0, 3.0, 100.0, 1e4])
def test_gradients_live_in_the_far_tail(distance: float) -> None:
    residual = torch.tensor(distance + 0.25, requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    gaussian_bits(residual, scale).backward()
    assert residual.grad is not None
    assert scale.grad is not None
    assert residual.grad > 0  # nearer is cheaper
    assert torch.isfinite(residual.grad)
    assert torch.isfinite(scale.grad)
    if distance > 1:
        assert scale.grad < 0  # and so is a wider scale


def given(residual: Tensor) -> Callable[[], Tensor]:
    return lambda: residual


def test_training_and_validation_agree_on_symbols_and_nearly_on_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(0, SCALES, (2, 8, 1024), generator=generator).float()
    residual = torch.randn(index.shape, generator=generator) * scale_of(index)
    noiser, rounder = Noiser(), Rounder()
    for coder in (noiser, rounder):
        symbols = coder.code(0, index, given(residual))
        assert torch.equal(symbols, torch.round(residual))
    assert noiser.bits.shape == (2,)
    # the Noiser's value is that of the rounded symbols; noise only steers its gradient
    torch.testing.assert_close(noiser.bits, rounder.bits, rtol=1e-3, atol=0)


def test_bits_add_up_over_levels() -> None:
    rounder = Rounder()
    for level, channels in ((0, 1), (1, 1), (1, 2)):  # the second in two parts
        index = torch.full((2, channels, 16), 30.0)
        rounder.code(level, index, given(torch.zeros_like(index)))
    one, three = rounder.level_bits
    torch.testing.assert_close(three, 3 * one)
    torch.testing.assert_close(rounder.bits, 4 * one)


def test_noise_teaches_residuals_and_rounding_teaches_scales() -> None:
    torch.manual_seed(0)
    residual = torch.full((1, 1, 4096), 5.3, requires_grad=True)
    index = torch.full((1, 1, 4096), 20.0, requires_grad=True)
    noiser = Noiser()
    symbols = noiser.code(0, index, given(residual))
    (noiser.bits.sum() + 0 * symbols.sum()).backward()
    assert residual.grad is not None
    assert index.grad is not None
    assert (residual.grad > 0).all()
    assert residual.grad.std() > 0  # noise differs from place to place
    assert (index.grad < 0).all()
    torch.testing.assert_close(index.grad, index.grad[0, 0, 0].expand_as(index.grad))
