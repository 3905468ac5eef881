"""Priors p(u) of the context."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ..config import ModelConfig
from ..errors import WeightsError
from ..leaves import Leaves
from .factorised import Factorised
from .gaussian_diffusion import GaussianDiffusion
from .masked_diffusion import MaskedDiffusion
from .mixture import Mixture, VampPrior

DEFAULT_PRIOR = "masked-diffusion"
"""The prior that every weight file has, and that encodes unless another is named."""

OTHERS: dict[str, Callable[[ModelConfig, Leaves], nn.Module]] = {
    "gaussian-diffusion": GaussianDiffusion,
    "factorised": Factorised,
    "mixture": Mixture,
    "vamp": VampPrior,
}
"""Priors that weights may have beside the masked diffusion."""


def prior_kind(name: str) -> Callable[[ModelConfig, Leaves], nn.Module]:
    """Return what makes a prior of this name from a configuration and its leaves.

    Raises:
        WeightsError: the name is unknown.
    """
    kinds = {DEFAULT_PRIOR: MaskedDiffusion, **OTHERS}
    if name not in kinds:
        raise WeightsError(f"prior {name} is not one of {', '.join(kinds)}")
    return kinds[name]
