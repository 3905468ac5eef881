"""The networks of the two top-down passes in PyTorch, as `codec.symbols.walk.walk` asks for them.

They serve training (float layers, gradients) and coding (integer layers) alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...codec.symbols.fixed_point import CONTEXT_UNIT
from ...codec.symbols.schedule import CodingStep
from ...codec.symbols.walk import Prediction
from ..integer.norms import Norm
from ..qualities import Quality, at_latents, at_patches, without_channels
from .reconstruction import Reconstruction
from .step import StepNetwork, pick, pick_quality, place
from .trunk import MEAN_UNIT, Trunk

if TYPE_CHECKING:
    from ..priors.masked_diffusion import MaskedDiffusion

Posterior = Callable[[CodingStep, Tensor, Tensor], Tensor]
"""q(z_l | z_<l, x) less its mean under the prior, (B, C_l, H, W) in steps, from the step, the
trunk's state and that mean (zero at positions that the step does not code)."""


class ContextPass:
    """p(u) of the masked diffusion, slice by slice.

    Args:
        prior: its networks.
        norm: brings symbols to activations and back.
        size: (B, h, w), contexts and patches of each.
        quality: (B,), or a map.
        target: (B, C, h, w), what is to be coded, whole numbers or not; None to decode.
    """

    def __init__(
        self,
        prior: MaskedDiffusion,
        norm: Norm,
        size: tuple[int, int, int],
        quality: Quality,
        target: Tensor | None = None,
    ):
        self.prior, self.norm, self.target = prior, norm, target
        self.quality = at_patches(quality)
        self.size = size
        self.h = prior.begin(prior.nothing(*size), self.quality)
        self.schedule = prior.schedule
        self._coded: list[tuple[CodingStep, Tensor]] = []

    @property
    def context(self) -> Tensor:
        """The context that was coded: (B, C, h, w)."""
        rows, columns = self.size[1:]
        coded = self._coded[0][1]
        u = coded.new_zeros(self.size[0], self.prior.channels, rows, columns)
        for step, values in self._coded:
            u[:, step.start : step.stop] += place(values, step.squares, rows, columns)
        return u

    def _network(self, step: CodingStep) -> StepNetwork:
        network = self.prior.steps[step.number]
        assert isinstance(network, StepNetwork)
        return network

    def advance(self, step: CodingStep) -> None:
        """See `codec.symbols.walk.Network`."""
        network = self._network(step)
        self.h = network.advance(self.h, self.quality)
        self._here = pick(self.h, step.squares)[..., None]
        self._quality = pick_quality(self.quality, step.squares)
        self._raw = network.head(self._here)
        self._values: list[Tensor] = []
        self._known: list[Tensor] = []
        self._residuals: list[Tensor] = []

    def predict(self, step: CodingStep, number: int) -> Prediction:
        """See `codec.symbols.walk.Network`."""
        network = self._network(step)
        start, stop = step.slices[number]
        outputs = network.outputs(start - step.start, stop - step.start, self._raw.device)
        raw = self._raw[:, outputs]
        if number:
            raw = raw + network.correction(self._here, number, torch.cat(self._residuals, dim=1))
        self._mean, quarters = network.predict(raw, self._quality, outputs)
        eighths = self.norm.outward(self._mean, self._quality, slice(start, stop))
        self._steps = eighths / CONTEXT_UNIT
        return Prediction(self._steps, quarters)

    def residual(self, step: CodingStep, number: int) -> Tensor:
        """See `codec.symbols.walk.Network`."""
        assert self.target is not None, "this coder needs a context"
        start, stop = step.slices[number]
        return pick(self.target[:, start:stop], step.squares).to(self._steps.dtype) - self._steps

    def reveal(self, step: CodingStep, number: int, offset: Tensor) -> None:
        """See `codec.symbols.walk.Network`."""
        values = self._steps + offset
        self._values.append(values)
        self._known.append(self.norm.inward(values, self._quality, slice(*step.slices[number])))
        self._residuals.append(self._known[-1] - self._mean)
        if number == len(step.slices) - 1:
            self._coded.append((step, torch.cat(self._values, dim=1)))
            known = place(torch.cat(self._known, dim=1), step.squares, *self.size[1:])
            self.h = self._network(step).learn(self.h, known)


class LatentPass:
    """p(z | u), step by step.

    Args:
        trunk: its networks.
        reconstruction: where in its interval a latent is shown.
        context: (B, C, h, w) normalised context, activations.
        quality: (B,), or a map.
        posterior: for encoders.
    """

    def __init__(
        self,
        trunk: Trunk,
        reconstruction: Reconstruction,
        context: Tensor,
        quality: Quality,
        posterior: Posterior | None = None,
    ):
        self.trunk, self.reconstruction = trunk, reconstruction
        self.quality, self.posterior = at_latents(quality), posterior
        self.schedule = trunk.schedule
        self.h = trunk.begin(context, quality)
        self._shown: list[tuple[CodingStep, Tensor]] = []

    @property
    def latents(self) -> Tensor:
        """The latents as they are shown: (B, C, H, W) float32, in steps."""
        rows, columns = self.h.shape[2:]
        channels = self.schedule[-1].stop
        shown = self._shown[0][1]
        latents = shown.new_zeros(len(self.h), channels, rows, columns)
        for step, values in self._shown:
            latents[:, step.start : step.stop] += place(values, step.squares, rows, columns)
        return latents

    def _network(self, step: CodingStep) -> StepNetwork:
        network = self.trunk.steps[step.number]
        assert isinstance(network, StepNetwork)
        return network

    def advance(self, step: CodingStep) -> None:
        """See `codec.symbols.walk.Network`."""
        self.h = self._network(step).advance(self.h, self.quality)

    def predict(self, step: CodingStep, number: int) -> Prediction:
        """See `codec.symbols.walk.Network`."""
        network = self._network(step)
        raw = network.head(pick(self.h, step.squares)[..., None])
        outputs = network.outputs(0, network.channels, raw.device)
        quality = pick_quality(self.quality, step.squares)
        mean, self._quarters = network.predict(raw, quality, outputs)
        self._mean = mean / MEAN_UNIT
        return Prediction(self._mean, self._quarters)

    def residual(self, step: CodingStep, number: int) -> Tensor:
        """See `codec.symbols.walk.Network`."""
        assert self.posterior is not None, "this coder needs a posterior"
        board = place(self._mean, step.squares, *self.h.shape[2:])
        return pick(self.posterior(step, self.h, board), step.squares)

    def reveal(self, step: CodingStep, number: int, offset: Tensor) -> None:
        """See `codec.symbols.walk.Network`."""
        z = self._mean + offset
        beside = self.reconstruction(self._quarters, offset)
        if self.trunk.config.is_open:
            quality = pick_quality(self.quality, step.squares)
            share = self.trunk.config.learned_share(without_channels(quality).float())
            beside = beside * (share[:, None, None] if share.dim() == 1 else share[:, None])
        self._shown.append((step, z + beside))
        board = place(z * MEAN_UNIT, step.squares, *self.h.shape[2:])
        self.h = self._network(step).learn(self.h, board)
