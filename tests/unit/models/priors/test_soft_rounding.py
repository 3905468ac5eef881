import math

import pytest
import torch

from hvae_codec.models.priors.soft_rounding import (
    WIDTH_MIN,
    WIDTH_UNIT,
    WIDTHS,
    WIDTHS_AN_OCTAVE,
    soft_round,
    soft_round_integers,
)


def mean_of_integers(y: float, s: float) -> float:
    """The definition, by brute force."""
    near = range(round(y) - 20, round(y) + 21)
    weights = [math.exp(-((k - y) ** 2) / (2 * s * s)) for k in near]
    return sum(k * w for k, w in zip(near, weights, strict=True)) / sum(weights)


@pytest.mark.parametrize("row", [0, 9, 20, WIDTHS - 1])
def test_it_is_the_mean_of_the_integer(row: int) -> None:
    places = torch.arange(-700, 701)
    width = torch.full_like(places, row * WIDTH_UNIT)
    s = WIDTH_MIN * 2 ** (row / WIDTHS_AN_OCTAVE)
    expected = torch.tensor([mean_of_integers(int(p) / 256, s) for p in places])
    assert soft_round(places / 256, width.float()) == pytest.approx(expected, abs=2e-3)
    assert soft_round_integers(places, width) / 1024 == pytest.approx(expected, abs=2e-3)


def test_the_widest_leaves_real_numbers_as_they_are() -> None:
    y = torch.linspace(-3, 3, 601)
    assert soft_round(y, torch.full_like(y, 1e4)) == pytest.approx(y, abs=2e-3)


def test_a_width_beyond_its_range_can_come_back() -> None:
    width = torch.tensor([-50.0, 2000.0], requires_grad=True)
    soft_round(torch.tensor([0.48, 0.3]), width).sum().backward()
    assert width.grad is not None and torch.all(width.grad != 0)
