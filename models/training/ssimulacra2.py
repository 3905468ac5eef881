"""The error that SSIMULACRA2 sees, differentiable, as training takes it.

The reference is in libjxl (tools/ssimulacra2.cc); `codec.rate_control.score` measures by it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...codec.rate_control.score import SCALES, SMALLEST_PX
from ..networks.dct import full_precision

_SIGMA, _REACH = 1.5, 5
_C2 = 0.0009
_BIAS = 0.0037930732552754493
_OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_TINY = 1e-20


def error(original: Tensor, decoded: Tensor) -> Tensor:
    """Return the weighted sum of SSIMULACRA2's error maps, (B,), before it becomes a score.

    Args:
        original: (B, 3, H, W) RGB in 0...255, both sides at least 8.
        decoded: the same; values beyond the range count as the nearest in it.
    """
    with full_precision(original):  # variances are small differences of large means
        one, other = _linear(original.float()), _linear(decoded.float())
        terms = []
        for scale in range(SCALES):
            if min(one.shape[2:]) < SMALLEST_PX:
                break
            if scale:
                one, other = _halved(one), _halved(other)
            terms.append(_terms(_xyb(one), _xyb(other)))
        maps = torch.stack(terms, 2)  # (B, 3, scales, 6)
        weights = maps.new_tensor(_weights())[: maps[0].numel()]
        return 0.9562382616834844 * (maps.flatten(1) * weights).sum(1)


@lru_cache(maxsize=1)
def _weights() -> list[float]:
    from ssimulacra2.ssimulacra2 import weights

    return weights.tolist()


def _terms(one: Tensor, other: Tensor) -> Tensor:
    """Return the norms of the error maps of a scale, (B, 3, 6)."""
    with torch.no_grad():
        mean_1, square_1 = _blurred(one), _blurred(one * one)
    mean_2, square_2, product = (_blurred(x) for x in (other, other * other, one * other))
    near = 1 - (mean_1 - mean_2).square()
    alike = 2 * (product - mean_1 * mean_2) + _C2
    spread = (square_1 - mean_1.square()) + (square_2 - mean_2.square()) + _C2
    structure = (1 - near * alike / spread).clamp_min(0)
    edges = (1 + (other - mean_2).abs()) / (1 + (one - mean_1).abs()) - 1
    maps = (structure, edges.clamp_min(0), (-edges).clamp_min(0))
    ones = [m.mean((2, 3)) for m in maps]
    fours = [(m.square().square().mean((2, 3)) + _TINY) ** 0.25 for m in maps]
    return torch.stack([*ones, *fours], 2)


def _linear(rgb: Tensor) -> Tensor:
    rgb = rgb.clamp(0, 255) / 255
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Tensor) -> Tensor:
    """Return linear RGB as X, Y and B of the eye's opponents, all made positive."""
    mixed = torch.einsum("oc,bchw->bohw", linear.new_tensor(_OPSIN), linear) + _BIAS
    long, middle, short = (mixed.clamp_min(1e-6) ** (1 / 3) - _BIAS ** (1 / 3)).unbind(1)
    x, y = (long - middle) / 2, (long + middle) / 2
    return torch.stack([14 * x + 0.42, y + 0.01, short - y + 0.55], 1)


def _halved(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def _blurred(x: Tensor) -> Tensor:
    """Blur; beyond the borders are zeros. Products with band matrices beat short convolutions."""
    height, width = x.shape[2:]
    return _band(height, x.device) @ x @ _band(width, x.device)


@lru_cache(maxsize=32)
def _band(size: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        positions = torch.arange(size, device=device)
        apart = positions[:, None] - positions
        kernel = torch.exp(-0.5 * (apart / _SIGMA) ** 2) * (apart.abs() <= _REACH)
        reach = torch.arange(-_REACH, _REACH + 1, device=device)
        return kernel / torch.exp(-0.5 * (reach / _SIGMA) ** 2).sum()
