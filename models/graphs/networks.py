"""What each graph computes: parts of the models, as the codec calls them.

The graphs of the context prior take prepared layers (`convert.prepared`), which ask for no quality.
The others take a quality a position at strides 32, 8 and 4, as a `QualityMap` has them. One
position serves a picture of one quality.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ...codec.symbols.fixed_point import CONTEXT_UNIT
from ..dct_vae import ContextModel, DctVae, LatentModel
from ..integer.prepared import PreparedConv, PreparedNorm
from ..networks.dct import to_rgb, to_ycbcr
from ..networks.step import StepNetwork
from ..networks.trunk import MEAN_UNIT
from ..priors.masked_diffusion import MaskedDiffusion
from ..qualities import QualityMap

ANY = torch.zeros(0)
"""A quality, where a prepared layer asks for none."""


class ContextBegin(nn.Module):
    """State and head of the first step: (B, width, h, w) zeros -> state, here, raw."""

    def __init__(self, prior: MaskedDiffusion):
        super().__init__()
        self.prior = prior

    def forward(self, nothing: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        h = self.prior.begin(nothing, ANY)
        here = h.flatten(2).index_select(2, positions)[..., None]
        return h, here, step_network(self.prior, 0).head(here)


class ContextStep(nn.Module):
    """State and head of a step, from what the step before it revealed.

    Args:
        norm: brings what was revealed to activations.
        previous: the networks of the step before.
        current: the networks of the step.
    """

    def __init__(self, norm: PreparedNorm, previous: StepNetwork, current: StepNetwork):
        super().__init__()
        self.norm, self.previous, self.current = norm, previous, current

    def forward(
        self, h: Tensor, values: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        h = self.previous.learn(h, self.norm.inward(values, ANY))
        h = self.current.advance(h, ANY)
        here = h.flatten(2).index_select(2, positions)[..., None]
        return h, here, self.current.head(here)


class ContextFirstSlice(nn.Module):
    """Prediction of the first slice of a step: mean in activations, in steps, quarters.

    Args:
        norm: brings means to symbols.
        current: the networks of the step; their gain is that of the slice.
    """

    def __init__(self, norm: PreparedNorm, current: StepNetwork):
        super().__init__()
        self.norm, self.current = norm, current

    def forward(self, raw: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        return self.predict(raw.index_select(1, outputs))

    def predict(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        mean, quarters = self.current.predict(raw, ANY, ANY)
        eighths = self.norm.outward(mean, ANY)
        return mean, (eighths / CONTEXT_UNIT).float(), quarters.to(torch.uint8)


class ContextSlice(ContextFirstSlice):
    """Prediction of a later slice, from the values of those before it.

    Args:
        number: of the slice whose channel context it exports.
    """

    def __init__(self, norm: PreparedNorm, current: StepNetwork, number: int):
        super().__init__(norm, current)
        self.number = number

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, here: Tensor, raw: Tensor, values: Tensor, means: Tensor, outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        residual = self.norm.inward(values, ANY) - means
        correction = self.current.correction(here, self.number, residual)
        return self.predict(raw.index_select(1, outputs) + correction)


class ContextAnalysis(nn.Module):
    """The context before rounding, of RGB in 0...255."""

    def __init__(self, context: ContextModel):
        super().__init__()
        self.context = context

    def forward(self, rgb: Tensor, quality_32: Tensor) -> Tensor:
        """See the class."""
        return self.context.unrounded(to_ycbcr(rgb), quality_32)


class ImageAnalysis(nn.Module):
    """Features, and coefficients in steps, of RGB in 0...255 and the integer context."""

    def __init__(self, context: ContextModel, latents: LatentModel):
        super().__init__()
        self.context = context
        self.analysis, self.step_gain = latents.analysis, latents.step_gain
        self.whole = [latents]  # in a list, so that its parameters are not those of this module

    def forward(
        self, rgb: Tensor, u: Tensor, quality_32: Tensor, quality_8: Tensor, quality_4: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        quality = QualityMap(quality_32, quality_8, quality_4)
        image = self.context.image(u, quality)
        return self.whole[0].features(to_ycbcr(rgb), image, quality)


class Posterior(nn.Module):
    """Residual of a step, of features, its coefficients, state and means."""

    def __init__(self, posterior: nn.Module):
        super().__init__()
        self.posterior = posterior

    def forward(self, features: Tensor, coefficients: Tensor, h: Tensor, mean: Tensor) -> Tensor:
        """See the class."""
        return self.posterior(features, h, coefficients - mean)


class TrunkBegin(nn.Module):
    """The trunk's state before the first step, of the integer context."""

    def __init__(self, context: ContextModel, latents: LatentModel):
        super().__init__()
        self.context, self.trunk = context, latents.trunk

    def forward(self, u: Tensor, quality_32: Tensor) -> Tensor:
        """See the class."""
        return self.trunk.begin(self.context.norm.inward(u, quality_32), quality_32)


class TrunkStep(nn.Module):
    """State, mean in steps and quarters everywhere, from the latents of the step before.

    Args:
        previous: the networks of the step before, None for the first step.
        current: the networks of the step.
    """

    def __init__(self, previous: StepNetwork | None, current: StepNetwork):
        super().__init__()
        self.previous, self.current = previous, current

    def forward(
        self, h: Tensor, quality_8: Tensor, values: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        if self.previous is not None and values is not None:
            h = self.previous.learn(h, values * MEAN_UNIT)
        h = self.current.advance(h, quality_8)
        raw = self.current.head(h)
        pair = self.current.head_gain(raw, quality_8).unflatten(1, (2, -1))
        mean, quarters = self.current.within_range(pair[:, 0], pair[:, 1])
        return h, mean / MEAN_UNIT, quarters.to(torch.uint8)


class Reconstruct(nn.Module):
    """Where in their intervals latents are shown, (n,) of quarters and symbols."""

    def __init__(self, latents: LatentModel):
        super().__init__()
        self.reconstruction = latents.reconstruction

    def forward(self, quarters: Tensor, symbols: Tensor) -> Tensor:
        """See the class."""
        return self.reconstruction(quarters, symbols)


class Synthesise(nn.Module):
    """RGB in 0...255, clamped, of the integer context and the latents in steps."""

    def __init__(self, context: ContextModel, latents: LatentModel):
        super().__init__()
        self.context = context
        self.synthesis, self.step_gain = latents.synthesis, latents.step_gain
        self.whole = [DctVae(context.config, context, latents)]  # as above

    def forward(
        self, u: Tensor, latents: Tensor, quality_32: Tensor, quality_8: Tensor, quality_4: Tensor
    ) -> Tensor:
        """See the class."""
        quality = QualityMap(quality_32, quality_8, quality_4)
        return to_rgb(self.whole[0].synthesise(u, latents, quality)).clamp(0, 255)


class Convolution(nn.Module):
    """A convolution that decides symbols, to test a machine's arithmetic with."""

    def __init__(self, conv: PreparedConv):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.conv(x)


def step_network(prior: MaskedDiffusion, number: int) -> StepNetwork:
    """Return the networks of a step of the context prior."""
    return cast(StepNetwork, prior.steps[number])
