"""The whole model: a hierarchical VAE with a quantised DCT context on top (DCT-VAE, DVP-VAE).

    p(u)         ContextModel: one norm and one set of priors for a whole weight file
    p(z | u)     LatentModel.trunk         one latent model for each range of qualities
    q(z | x)     LatentModel.analysis and posteriors
    p(x | u, z)  LatentModel.synthesis

The norm, the priors and the trunk decide symbols. They train on float layers and run on integer
ones (`convert`). The rest stays float.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ..codec.config import FINEST, ModelConfig
from ..codec.quality.curve import step_of
from ..codec.symbols.frequencies import context_gain
from ..codec.symbols.schedule import CodingStep
from ..codec.symbols.walk import SymbolCoder, walk
from .integer import convert
from .integer.layers import FloatGain
from .integer.norms import FloatNorm, IntegerNorm
from .networks.analysis import Analysis, LatentPosterior
from .networks.dct import ContextDct
from .networks.passes import LatentPass, Posterior
from .networks.reconstruction import Reconstruction
from .networks.synthesis import Synthesis
from .networks.trunk import Trunk
from .priors import DEFAULT_PRIOR
from .priors.masked_diffusion import MaskedDiffusion
from .qualities import Quality, as_map, at_latents, at_patches


class ContextModel(nn.Module):
    """p(u): the DCT context, its norm, and the priors that it may be coded under.

    Args:
        config: the sizes.
        others: priors beside the masked diffusion, by name.
    """

    def __init__(self, config: ModelConfig, others: Mapping[str, nn.Module] | None = None):
        super().__init__()
        self.config = config
        self.dct = ContextDct(config)
        self.gain = torch.tensor(context_gain(config))
        self.norm: FloatNorm | IntegerNorm = FloatNorm(config.context_channels)
        self.priors = nn.ModuleDict({DEFAULT_PRIOR: MaskedDiffusion(config), **(others or {})})

    @property
    def prior(self) -> MaskedDiffusion:
        """The prior that every weight file has."""
        return cast(MaskedDiffusion, self.priors[DEFAULT_PRIOR])

    def steps(self, quality: Quality) -> Tensor:
        """Return the quantisation steps of context coefficients, (B, C, h or 1, w or 1) pixels."""
        patches = as_map(at_patches(quality))
        return step_of(patches.float()) * self.gain.to(patches.device)[:, None, None]

    def unrounded(self, ycbcr: Tensor, quality: Quality) -> Tensor:
        """Return the context before rounding, DCT / step: (B, C, H/32, W/32)."""
        return self.dct.analyse(ycbcr) / self.steps(quality)

    def quantise(self, ycbcr: Tensor, quality: Quality) -> Tensor:
        """Return the integer context u = round(DCT / step): (B, C, H/32, W/32)."""
        return torch.floor(self.unrounded(ycbcr, quality) + 0.5)

    def image(self, u: Tensor, quality: Quality) -> Tensor:
        """Return what the context alone decodes to: (B, 3, H, W) YCbCr about zero."""
        return self.dct.synthesise(u.float() * self.steps(quality))


class LatentModel(nn.Module):
    """p(z | u), q(z | x) and p(x | u, z), for a range of qualities."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.trunk = Trunk(config)
        self.posteriors = nn.ModuleList(
            LatentPosterior(config, step) for step in self.trunk.schedule
        )
        self.step_gain = FloatGain(config.latent_channels)
        self.reconstruction = Reconstruction()
        self.synthesis = Synthesis(config)

    def steps(self, quality: Quality) -> Tensor:
        """Return the quantisation steps of latents, (B, C, 4h or 1, 4w or 1) pixels."""
        positions = as_map(at_latents(quality))
        gain = self.step_gain.rows(positions)[0].clamp_min(0.1)
        if self.config.is_open:
            gain = FINEST + self._share(quality) * (gain - FINEST)
        return step_of(positions.float()) * gain

    def _share(self, quality: Quality) -> Tensor:
        """Return how much the networks of the transform count, (B, 1, 4h or 1, 4w or 1)."""
        return self.config.learned_share(as_map(at_latents(quality)).float())

    def features(
        self, ycbcr: Tensor, context_image: Tensor, quality: Quality
    ) -> tuple[Tensor, Tensor]:
        """Return the analysis' features, and the residual's coefficients in steps."""
        features, coefficients = self.analysis(ycbcr, context_image, quality)
        return features, coefficients / self.steps(quality)

    def posterior(self, features: Tensor, coefficients: Tensor, quality: Quality) -> Posterior:
        """Return q(z | x) as a `LatentPass` asks for it, of what `features` gave."""

        def residual(step: CodingStep, h: Tensor, mean: Tensor) -> Tensor:
            wanted = coefficients[:, step.start : step.stop] - mean
            found = self.posteriors[step.number](features, h, wanted)
            if not self.config.is_open:
                return found
            return torch.lerp(wanted, found, self._share(quality))

        return residual


class DctVae(nn.Module):
    """The context model and one latent model: what is trained together."""

    def __init__(
        self,
        config: ModelConfig,
        context: ContextModel | None = None,
        latents: LatentModel | None = None,
    ):
        super().__init__()
        self.config = config
        self.context = context or ContextModel(config)
        self.latents = latents or LatentModel(config)

    @torch.no_grad()
    def start_from(self, ycbcr: Tensor, quality: float = 50.0) -> None:
        """Set scales from training images (B, 3, H, W), before the first step."""
        context, latents = self.context, self.latents
        assert isinstance(context.norm, FloatNorm)
        coefficients = context.dct.analyse(ycbcr)
        spread = coefficients.transpose(0, 1).flatten(1).std(dim=1).clamp_min(1.0)
        spread = spread / context.gain.to(spread)
        context.norm.spread.copy_(spread)
        context.prior.start_from(spread)
        at = torch.full((len(ycbcr),), quality, device=ycbcr.device)
        image = context.image(context.quantise(ycbcr, at), at)
        _, residual = latents.analysis(ycbcr, image, at)
        latents.trunk.start_from(residual.transpose(0, 1).flatten(1).std(dim=1).clamp_min(0.1))

    def code_latents(
        self, u: Tensor, quality: Quality, coder: SymbolCoder, posterior: Posterior | None = None
    ) -> Tensor:
        """Walk the trunk: (B, latent_channels, H/8, W/8) latents in steps, as they are shown.

        Args:
            u: (B, C, h, w) integers.
            quality: (B,), or a map.
            coder: decides the symbols.
            posterior: for coders that ask.
        """
        normalised = self.context.norm.inward(u, at_patches(quality))
        latents = self.latents
        network = LatentPass(latents.trunk, latents.reconstruction, normalised, quality, posterior)
        return walk(network, coder).latents

    def synthesise(self, u: Tensor, latents: Tensor, quality: Quality) -> Tensor:
        """Return pixels (B, 3, H, W), YCbCr about zero, from context and latents in steps."""
        image = self.context.image(u, quality)
        model = self.latents
        return model.synthesis(image, latents * model.steps(quality), quality)

    def to_integer(self) -> DctVae:
        """Return a copy whose norm, priors and trunk run on integers.

        Raises:
            BoundError: a filter's sums could leave the exact range.
        """
        return self._converted(convert.to_integer).eval().requires_grad_(False)

    def to_float(self) -> DctVae:
        """Return a trainable copy of an integer model, without priors beside the first."""
        own = copy.copy(self.context)
        own._modules = {**own._modules, "priors": nn.ModuleDict({DEFAULT_PRIOR: own.prior})}
        model = DctVae(self.config, own, self.latents)
        return model._converted(convert.to_float).requires_grad_()

    def _converted(self, function: Callable[[nn.Module], nn.Module]) -> DctVae:
        """Return a copy with the networks that decide symbols converted."""
        latents = copy.deepcopy(self.latents)
        latents.trunk = cast(Trunk, function(self.latents.trunk))
        return DctVae(self.config, cast(ContextModel, function(self.context)), latents)

    def simulate_integers(self, on: bool = True) -> None:
        """Switch quantisation-aware training of what decides symbols on or off."""
        for network in (self.context, self.latents.trunk):
            convert.simulate_integers(network, on)
