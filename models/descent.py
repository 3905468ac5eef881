"""One step down a loss, as every training loop takes it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def descend(
    loss: Tensor,
    parameters: Iterable[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    clip: float,
) -> tuple[Tensor, bool]:
    """Follow the gradient, unless it is not finite.

    Args:
        loss: a scalar.
        parameters: those of the optimiser.
        optimiser: with its rates set.
        clip: norm to which the gradient is cut.

    Returns:
        The norm before cutting, and whether the step was taken.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(parameters, clip)
    taken = bool(torch.isfinite(norm))
    if taken:
        optimiser.step()
    return norm, taken
