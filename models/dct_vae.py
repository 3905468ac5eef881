"""The whole model: a hierarchical VAE with a quantised DCT context on top (DCT-VAE, DVP-VAE).

`EntropyModel` is all that decides a symbol; it trains on `FLOAT` leaves and ships on `INTEGER`
ones. `DctVae` adds what stays float: analysis, posterior heads, synthesis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from .analysis import Analysis, LatentPosterior
from .coders import LatentCoder
from .config import ModelConfig
from .dct import ContextDct, context_gain
from .errors import WeightsError
from .leaves import FLOAT, INTEGER, FloatGain, FloatNorm, Leaves, freeze, simulate_integers, thaw
from .priors import DEFAULT_PRIOR, prior_kind
from .priors.masked_diffusion import MaskedDiffusion
from .quality import step_of
from .reconstruction import Reconstruction
from .synthesis import Synthesis
from .trunk import Posterior, Trunk


class EntropyModel(nn.Module):
    """p(u) p(z | u): priors of the context and the trunk over one normalisation of the context."""

    def __init__(self, config: ModelConfig, leaves: Leaves):
        super().__init__()
        self.norm = leaves.norm(config.context_channels)
        names = (DEFAULT_PRIOR, *config.other_priors)
        self.priors = nn.ModuleDict({name: prior_kind(name)(config, leaves) for name in names})
        self.trunk = Trunk(config, leaves)

    @property
    def prior(self) -> MaskedDiffusion:
        """The prior of the context that every model has."""
        return cast(MaskedDiffusion, self.priors[DEFAULT_PRIOR])


class DctVae(nn.Module):
    """Analysis, entropy model and synthesis of one configuration, for every quality."""

    def __init__(self, config: ModelConfig, leaves: Leaves = FLOAT):
        super().__init__()
        self.config = config
        self.dct = ContextDct(config)
        self.context_gain = context_gain(config)
        self.entropy = EntropyModel(config, leaves)
        self.analysis = Analysis(config)
        self.posteriors = nn.ModuleList(
            LatentPosterior(config, part) for part in self.entropy.trunk.parts
        )
        self.step_gain = FloatGain(config.latent_channels)
        self.reconstruction = Reconstruction()
        self.synthesis = Synthesis(config)

    @torch.no_grad()
    def start_from(self, ycbcr: Tensor, quality: float = 50.0) -> None:
        """Set scales from training images (B, 3, H, W), before the first step."""
        assert isinstance(self.entropy.norm, FloatNorm)
        coefficients = self.dct.analyse(ycbcr)
        spread = coefficients.transpose(0, 1).flatten(1).std(dim=1).clamp_min(1.0)
        spread = spread / self.context_gain.to(spread)
        self.entropy.norm.spread.copy_(spread)
        self.entropy.prior.start_from(coefficients, spread)
        at = torch.full((len(ycbcr),), quality, device=ycbcr.device)
        context_image = self.context_image(self.context(ycbcr, at), at)
        _, residual = self.analysis(ycbcr, context_image, at)
        self.entropy.trunk.start_from(residual.transpose(0, 1).flatten(1).std(dim=1).clamp_min(0.1))

    def steps(self, quality: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) quantisation step of each latent channel, in pixels."""
        gain = self.step_gain.table(quality)[:, 0].clamp_min(0.1)
        return (step_of(quality)[:, None] * gain)[..., None, None]

    def context_steps(self, quality: Tensor) -> Tensor:
        """Return the (B, C, 1, 1) quantisation step of each context coefficient, in pixels."""
        gain = self.context_gain.to(quality.device)
        return (step_of(quality)[:, None] * gain)[..., None, None]

    def context(self, ycbcr: Tensor, quality: Tensor) -> Tensor:
        """Return the integer context u = round(DCT / step): (B, C, H/32, W/32)."""
        return torch.floor(self.exact_context(ycbcr, quality) + 0.5)

    def exact_context(self, ycbcr: Tensor, quality: Tensor) -> Tensor:
        """Return the context before rounding, DCT / step: (B, C, H/32, W/32)."""
        return self.dct.analyse(ycbcr) / self.context_steps(quality)

    def context_image(self, context: Tensor, quality: Tensor) -> Tensor:
        """Return what the context alone decodes to: (B, 3, H, W) YCbCr about zero."""
        return self.dct.synthesise(context.float() * self.context_steps(quality))

    def features(
        self, ycbcr: Tensor, context_image: Tensor, quality: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the analysis' features, and the residual's coefficients in steps."""
        features, coefficients = self.analysis(ycbcr, context_image, quality)
        return features, coefficients / self.steps(quality)

    def posterior(self, features: Sequence[Tensor]) -> Posterior:
        """Return q(z | x) as the trunk asks for it, of what `features` gave."""
        trunk = self.entropy.trunk

        def residual(step: int, h: Tensor, mean: Tensor) -> Tensor:
            channels = slice(trunk.parts[step].start, trunk.parts[step].stop)
            return self.posteriors[step](features[0], h, features[1][:, channels] - mean)

        return residual

    def latents(
        self,
        context: Tensor,
        quality: Tensor,
        coder: LatentCoder,
        posterior: Posterior | None = None,
    ) -> Tensor:
        """Walk the trunk: (B, latent_channels, H/8, W/8) latents in steps, as they are shown.

        Args:
            context: (B, C, h, w) integers.
            quality: (B,).
            coder: see `trunk.Trunk.walk`.
            posterior: for coders that ask.
        """
        normalised = self.entropy.norm.inward(context, quality)
        trunk = self.entropy.trunk
        return trunk.walk(normalised, quality, coder, self.reconstruction, posterior)

    def synthesise(self, context: Tensor, latents: Tensor, quality: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), YCbCr about zero, from context and latents in steps."""
        coefficients = context.float() * self.context_steps(quality)
        image = self.dct.synthesise(coefficients)
        return self.synthesis(coefficients, image, latents * self.steps(quality), quality)

    def frozen(self) -> DctVae:
        """Return a copy whose entropy model runs on integers.

        Raises:
            BoundError: a filter's sums could leave the exact range.
        """
        model = DctVae(self.config, INTEGER)
        freeze(self.entropy, model.entropy)
        model._copy_float_parts(self)
        return model.eval()

    def thawed(self) -> DctVae:
        """Return a copy of a frozen model that can be trained further, without its other priors."""
        model = DctVae(replace(self.config, other_priors=()))
        thaw(self.entropy, model.entropy)
        model._copy_float_parts(self)
        return model

    def with_prior(self, name: str, fitted: nn.Module) -> DctVae:
        """Return a copy of a frozen model with one more prior of the context, or another of a name.

        Args:
            name: of the prior.
            fitted: the prior in float.

        Raises:
            BoundError: a filter's sums could leave the exact range.
        """
        others = dict.fromkeys((*self.config.other_priors, name))
        others.pop(DEFAULT_PRIOR, None)
        model = DctVae(replace(self.config, other_priors=tuple(others)), INTEGER)
        part = f"priors.{name}"
        kept = {k: v for k, v in self.state_dict().items() if not k.startswith(f"entropy.{part}.")}
        model.load_state_dict(kept, strict=False)
        freeze(fitted, model.entropy.get_submodule(part))
        return model.eval()

    def with_priors_of(self, other: DctVae) -> DctVae:
        """Return a copy of a frozen model with the further priors of another frozen one.

        Raises:
            WeightsError: they were fitted to other contexts.
        """
        ours, theirs = self.entropy.norm.state_dict(), other.entropy.norm.state_dict()
        same = all(torch.equal(ours[name], theirs[name]) for name in ours)
        if not same or self.config.prior_components != other.config.prior_components:
            raise WeightsError("its priors were fitted to other contexts, or have another shape")
        names = dict.fromkeys((*self.config.other_priors, *other.config.other_priors))
        model = DctVae(replace(self.config, other_priors=tuple(names)), INTEGER)
        parts = tuple(f"entropy.priors.{name}." for name in other.config.other_priors)
        further = {k: v for k, v in other.state_dict().items() if k.startswith(parts)}
        model.load_state_dict({**self.state_dict(), **further})
        return model.eval()

    def _copy_float_parts(self, other: DctVae) -> None:
        for name in ("analysis", "posteriors", "step_gain", "reconstruction", "synthesis"):
            getattr(self, name).load_state_dict(getattr(other, name).state_dict())

    def simulate_integers(self, on: bool = True) -> None:
        """Switch quantisation-aware training of the entropy model on or off."""
        simulate_integers(self.entropy, on)
