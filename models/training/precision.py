"""The type that convolutions compute in while training."""

from __future__ import annotations

import time
from functools import lru_cache

import torch
import torch.nn.functional as F

ROUNDS = 30
"""Of trying: the first calls prepare, and others wait where programs share the cores."""


@lru_cache(maxsize=1)
def is_bfloat16_fast() -> bool:
    """Tell whether this CPU convolves faster in bfloat16 than in float32, by trying.

    With AMX it is three to four times as fast. Without, it is done in float32 after all, with
    conversions, and a training step takes seven times as long.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(ROUNDS):
        for dtype, least in best.items():
            best[dtype] = min(least, _seconds(dtype))
    return best[torch.bfloat16] < best[torch.float32]


def _seconds(dtype: torch.dtype) -> float:
    """Return how long a convolution takes."""
    x = torch.zeros(2, 64, 24, 24, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.zeros(64, 64, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    began = time.perf_counter()
    F.conv2d(x, weight, padding=1)
    return time.perf_counter() - began


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context of a training step: bfloat16 where that is fast, else float32."""
    enabled = device.type != "cpu" or is_bfloat16_fast()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
