"""Priors p(u) of the context."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ...bitstream import Prior
from ...codec.config import ModelConfig
from ...codec.errors import WeightsError
from ..integer import convert
from .factorised import Factorised, IntegerDensities
from .gaussian_diffusion import GaussianDiffusion
from .masked_diffusion import MaskedDiffusion
from .mixture import Mixture, VampPrior

DEFAULT_PRIOR = Prior.MASKED_DIFFUSION.label
"""The prior that every weight file has, and that encodes unless another is named."""

PRIORS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    DEFAULT_PRIOR: MaskedDiffusion,
    Prior.GAUSSIAN_DIFFUSION.label: GaussianDiffusion,
    Prior.FACTORISED.label: Factorised,
    Prior.MIXTURE.label: Mixture,
    Prior.VAMP.label: VampPrior,
}
"""What makes a prior of each name, in float."""


def make_prior(name: str, config: ModelConfig) -> nn.Module:
    """Make the prior of a name, in float.

    Raises:
        WeightsError: the name is unknown.
    """
    if name not in PRIORS:
        raise WeightsError(f"prior {name} is not one of {', '.join(PRIORS)}")
    return PRIORS[name](config)


def make_empty_prior(name: str, config: ModelConfig) -> nn.Module:
    """Make the prior of a name on integer layers, zeros in their buffers, to be loaded.

    It needs nothing that only training needs.

    Raises:
        WeightsError: the name is unknown.
    """
    if name == Prior.FACTORISED.label:
        return Factorised(config, IntegerDensities(config.context_channels))
    return convert.empty_integer(make_prior(name, config))
