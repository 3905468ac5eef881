import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from hvae_codec.codec.symbols import scales
from hvae_codec.codec.symbols.scales import QUARTERS, SCALE_MAX, SCALE_MIN, SCALES
from hvae_codec.codec.symbols.schedule import EVERYWHERE, CodingStep
from hvae_codec.codec.symbols.walk import Prediction
from hvae_codec.models.networks.quantizers import (
    BitCounter,
    Rounder,
    TrainingQuantizer,
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
    found = scale_of(torch.arange(SCALES))
    assert found[[0, -1]].tolist() == pytest.approx([SCALE_MIN, SCALE_MAX], rel=1e-5)
    ratios = found[1:] / found[:-1]
    assert ratios.min() == pytest.approx(float(ratios.max()), rel=1e-5)
    assert found.numpy() == pytest.approx(scales.scale_of(np.arange(SCALES)), rel=1e-5)


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


def a_step(level: int, channels: int) -> CodingStep:
    return CodingStep(level, level, 0, channels, EVERYWHERE, True, ((0, channels),))


def code(coder: BitCounter, index: Tensor, residual: Tensor, level: int = 0) -> Tensor:
    """Code residuals (B, C, n) under scale indices."""
    prediction = Prediction(torch.zeros_like(index), index * QUARTERS)
    return coder.code(a_step(level, index.shape[1]), 0, prediction, lambda: residual)


def test_training_and_validation_agree_on_symbols_and_nearly_on_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(0, SCALES, (2, 8, 1024), generator=generator).float()
    residual = torch.randn(index.shape, generator=generator) * scale_of(index)
    learner, rounder = TrainingQuantizer(), Rounder()
    for coder in (learner, rounder):
        symbols = code(coder, index, residual)
        assert torch.equal(symbols, torch.round(residual))
    assert learner.bits.shape == (2,)
    torch.testing.assert_close(learner.bits, rounder.bits, rtol=1e-3, atol=0)


def test_a_counter_takes_values_as_they_are() -> None:
    counter, index = BitCounter(), torch.tensor([[[8.0, 20.5]]])
    residual = torch.tensor([[[0.25, -3.75]]])
    assert torch.equal(code(counter, index, residual), residual)
    expected = [
        exact_bits(np.array(r), float(scales.scale_of(i))) for r, i in ((0.25, 8), (-3.75, 20.5))
    ]
    assert float(counter.bits) == pytest.approx(sum(expected), rel=1e-3)


def test_bits_add_up_over_levels() -> None:
    rounder = Rounder()
    for level, channels in ((0, 1), (1, 1), (1, 2)):  # the second in two parts
        index = torch.full((2, channels, 16), 30.0)
        code(rounder, index, torch.zeros_like(index), level)
    one, three = rounder.level_bits
    torch.testing.assert_close(three, 3 * one)
    torch.testing.assert_close(rounder.bits, 4 * one)


def index_of(scale: float, like: Tensor) -> Tensor:
    """The whole index of the nearest scale, everywhere."""
    index = torch.log(torch.tensor(scale / SCALE_MIN)) / math.log(SCALE_MAX / SCALE_MIN)
    return torch.round(index * (SCALES - 1)).expand_as(like)


def cost(gain: Tensor, drawn: Tensor, scale: float, coder: TrainingQuantizer | Rounder) -> Tensor:
    """Rate and distortion of coding what was drawn under a gain, in bits a symbol."""
    symbols = code(coder, index_of(scale, drawn), gain * drawn)
    distortion = 6 / math.log(2) * (symbols / gain - drawn).square()
    return coder.bits.sum() / drawn.numel() + distortion.mean()


@pytest.mark.parametrize("gain", [1.0, 1.25])
@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 4.0])
def test_the_gradient_is_that_of_finite_differences(scale: float, gain: float) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(1, 1, 400_000, generator=generator) * scale
    at = torch.tensor(gain, requires_grad=True)
    cost(at, drawn, scale, TrainingQuantizer(shared=0.0)).backward()
    sides = [float(cost(torch.tensor(gain * e), drawn, scale, Rounder())) for e in (0.95, 1.05)]
    finite = (sides[1] - sides[0]) / (0.1 * gain)
    assert at.grad is not None
    assert float(at.grad) == pytest.approx(finite, abs=0.3)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_gradient_does_not_drive_residuals_from_integers(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(1, 1, 400_000, generator=generator) * scale
    fraction = drawn - torch.round(drawn)

    def cost_of(push: Tensor, coder: TrainingQuantizer | Rounder) -> Tensor:
        symbols = code(coder, index_of(scale, drawn), drawn + push * fraction)
        distortion = 6 / math.log(2) * (symbols - drawn).square()
        return coder.bits.sum() / drawn.numel() + distortion.mean()

    push = torch.tensor(0.0, requires_grad=True)
    cost_of(push, TrainingQuantizer(shared=0.0)).backward()
    sides = [float(cost_of(torch.tensor(e), Rounder())) for e in (-0.1, 0.1)]
    finite = (sides[1] - sides[0]) / 0.2
    assert push.grad is not None
    # half of the curvature leaves half of the error, which is 2.2 without any
    assert float(push.grad) == pytest.approx(finite, abs=1.3)


def test_scales_learn_at_fixed_symbols() -> None:
    index = torch.full((1, 1, 64), 20.0, requires_grad=True)
    learner = TrainingQuantizer()
    code(learner, index, torch.full((1, 1, 64), 5.3))
    learner.bits.sum().backward()
    assert index.grad is not None
    assert (index.grad < 0).all()
