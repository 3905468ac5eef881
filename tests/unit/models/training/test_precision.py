"""Which type a CPU trains in is a matter of its speed, and not of the moment."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_codec.models.training import precision


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, and a measurement that is made by it alone."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    precision.is_bfloat16_fast.cache_clear()
    yield now
    precision.is_bfloat16_fast.cache_clear()


@pytest.mark.parametrize(("milliseconds", "is_fast"), [(0.09, True), (2.1, False)])
def test_what_is_slow_at_first_or_now_and_then_is_not_slow(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, milliseconds: float, is_fast: bool
) -> None:
    calls = 0

    def convolved(x: Tensor, *_: Any, **__: Any) -> None:  # noqa: ANN401
        nonlocal calls
        calls += 1
        usual = milliseconds if x.dtype == torch.bfloat16 else 0.3
        clock[0] += 1e-3 * (18.0 if calls <= 12 or calls % 3 else usual)

    monkeypatch.setattr(F, "conv2d", convolved)
    assert precision.is_bfloat16_fast() == is_fast
