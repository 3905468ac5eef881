"""The networks of a weight file in PyTorch, as `codec.networks.runtime.Runtime` asks for them.

On a GPU several tiles share a batch. The integers are the same on every device: convolutions that
decide symbols are matrix products there (`fixed_point.multiply_and_add`), and TF32 is turned off
meanwhile (`settings.own_settings`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..codec.errors import WeightsError
from ..codec.networks.runtime import Floats
from ..codec.networks.weight_file import WeightFile
from ..codec.quality.qualities import Quality, base_of
from ..codec.symbols.schedule import CodingStep
from ..codec.symbols.walk import Prediction
from .dct_vae import DctVae
from .integer import convert
from .integer.fixed_point import check_arithmetic
from .networks.dct import to_rgb, to_ycbcr
from .networks.passes import ContextPass, LatentPass
from .qualities import QualityMap, at_patches, moved, tensors_of
from .settings import own_settings
from .weight_models import Weights, models_of

F = TypeVar("F", bound=Callable[..., Any])

TILES_AT_ONCE = 8
"""On a GPU; the steps of the context prior are too small for it otherwise."""


@own_settings()
def make_runtime(file: WeightFile, device: str) -> TorchRuntime:
    """Return the networks of a weight file on a device.

    Raises:
        WeightsError: the device is not there.
        BoundError: it does not compute exactly.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise WeightsError(f"device {device} is not there: PyTorch finds no CUDA device")
    at = torch.device(device)
    if at.index is not None and at.index >= torch.cuda.device_count():
        raise WeightsError(f"device {device} is not there: {torch.cuda.device_count()} are")
    check_arithmetic(at)
    return TorchRuntime(models_of(file), at)


def _inference(function: F) -> F:
    """Run in our settings, without gradients and autocast, whatever the caller has switched on."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        with (
            own_settings(),
            torch.inference_mode(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            return function(*arguments, **named)

    return wrapped  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class TorchFeatures:
    """Features and coefficients of an image, tensors (1, C, H, W) on the device."""

    features: Tensor
    coefficients: Tensor

    def crop(self, rows: slice, columns: slice) -> TorchFeatures:
        """See `codec.networks.runtime.Features`."""
        return TorchFeatures(
            self.features[..., rows, columns], self.coefficients[..., rows, columns]
        )


class TorchRuntime:
    """See `codec.networks.runtime.Runtime`."""

    def __init__(self, weights: Weights, device: torch.device):
        ready = (convert.with_ready_filters(m) for m in (weights.context, *weights.latents))
        context, *latents = (module.to(device) for module in ready)
        self.weights = replace(weights, context=context, latents=tuple(latents))
        self.device = device
        self.tiles_at_once = 1 if device.type == "cpu" else TILES_AT_ONCE

    def _model(self, quality: Quality) -> DctVae:
        return self.weights.model_at(base_of(quality))

    def _at(self, quality: Quality, batch: int) -> Tensor | QualityMap:
        return moved(tensors_of(quality, batch), self.device)

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.array(array, order="C")).to(self.device)

    @_inference
    def unrounded_context(self, rgb: Floats, quality: Quality) -> Floats:
        """See `codec.networks.runtime.Runtime`."""
        ycbcr = to_ycbcr(self._tensor(rgb))
        return self.weights.context.unrounded(ycbcr, self._at(quality, len(rgb))).cpu().numpy()

    @_inference
    def context_pass(
        self, size: tuple[int, int, int], quality: Quality, target: Floats | None = None
    ) -> _Border:
        """See `codec.networks.runtime.Runtime`."""
        context = self.weights.context
        wanted = None if target is None else self._tensor(target).double()
        at = self._at(quality, size[0])
        return _Border(ContextPass(context.prior, context.norm, size, at, wanted))

    @_inference
    def analyse(self, rgb: Floats, u: Floats, quality: Quality) -> TorchFeatures:
        """See `codec.networks.runtime.Runtime`."""
        model, at = self._model(quality), self._at(quality, len(rgb))
        image = model.context.image(self._tensor(u), at)
        return TorchFeatures(*model.latents.features(to_ycbcr(self._tensor(rgb)), image, at))

    @_inference
    def latent_pass(
        self, u: Floats, quality: Quality, features: Sequence[TorchFeatures] = ()
    ) -> _Border:
        """See `codec.networks.runtime.Runtime`."""
        model, at = self._model(quality), self._at(quality, len(u))
        posterior = None
        if features:
            posterior = model.latents.posterior(
                torch.cat([each.features for each in features]),
                torch.cat([each.coefficients for each in features]),
                at,
            )
        normalised = model.context.norm.inward(self._tensor(u), at_patches(at))
        latents = model.latents
        return _Border(LatentPass(latents.trunk, latents.reconstruction, normalised, at, posterior))

    @_inference
    def synthesise(self, u: Floats, latents: Floats, quality: Quality) -> Floats:
        """See `codec.networks.runtime.Runtime`."""
        model, at = self._model(quality), self._at(quality, len(u))
        ycbcr = model.synthesise(self._tensor(u), self._tensor(latents), at)
        return to_rgb(ycbcr).clamp(0, 255).cpu().numpy()


class _Border:
    """A pass in PyTorch whose coder works on NumPy arrays."""

    def __init__(self, network: ContextPass | LatentPass):
        self.network = network
        self.schedule = network.schedule

    @property
    def context(self) -> Floats:
        """See `codec.networks.runtime.ContextNetwork`."""
        assert isinstance(self.network, ContextPass)
        return self._array(self.network.context)

    @property
    def latents(self) -> Floats:
        """See `codec.networks.runtime.LatentNetwork`."""
        assert isinstance(self.network, LatentPass)
        return self._array(self.network.latents)

    @_inference
    def advance(self, step: CodingStep) -> None:
        """See `codec.symbols.walk.Network`."""
        self.network.advance(step)

    @_inference
    def predict(self, step: CodingStep, number: int) -> Prediction:
        """See `codec.symbols.walk.Network`."""
        mean, quarters = self.network.predict(step, number)
        return Prediction(self._array(mean), quarters.cpu().numpy().astype(np.uint8))

    @_inference
    def residual(self, step: CodingStep, number: int) -> NDArray:
        """See `codec.symbols.walk.Network`."""
        return self.network.residual(step, number).cpu().numpy()

    @_inference
    def reveal(self, step: CodingStep, number: int, offset: NDArray) -> None:
        """See `codec.symbols.walk.Network`."""
        values = torch.from_numpy(np.ascontiguousarray(offset)).to(self.network.h.device)
        dtype = torch.float64 if isinstance(self.network, ContextPass) else torch.float32
        self.network.reveal(step, number, values.to(dtype))

    @_inference
    def _array(self, tensor: Tensor) -> Floats:
        return tensor.to(torch.float32).cpu().numpy()
