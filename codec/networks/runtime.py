"""The networks as the codec calls them: NumPy arrays in and out, whatever computes between.

`onnx_runtime` runs the graphs of the weight file on the CPU. `models.runtime` runs the same
networks in PyTorch, on a GPU as well, several tiles at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import TorchMissing
from ..quality.qualities import Quality
from ..symbols.walk import Network
from .threads import spin_less
from .weight_file import WeightFile

Floats = NDArray[np.float32]


class ContextNetwork(Network, Protocol):
    """A pass over the context of a batch of tiles."""

    @property
    def context(self) -> Floats:
        """What was coded: (B, C, h, w) integers."""
        ...


class LatentNetwork(Network, Protocol):
    """A pass over the latents of a batch of tiles."""

    @property
    def latents(self) -> Floats:
        """The latents as the synthesis sees them: (B, C, H, W), in steps."""
        ...


class Features(Protocol):
    """What the analysis finds in an image."""

    def crop(self, rows: slice, columns: slice) -> Features:
        """Return what it found in a part, in positions of the latents."""
        ...


class Runtime(Protocol):
    """The networks of a weight file. The quality of a file chooses the latent model."""

    @property
    def tiles_at_once(self) -> int:
        """How many tiles of one size make a good batch."""
        ...

    def unrounded_context(self, rgb: Floats, quality: Quality) -> Floats:
        """Return the context before rounding.

        Args:
            rgb: (B, 3, H, W) in 0...255, sides multiples of 32.
            quality: of the tiles.

        Returns:
            (B, C, H/32, W/32), in steps.
        """
        ...

    def context_pass(
        self, size: tuple[int, int, int], quality: Quality, target: Floats | None = None
    ) -> ContextNetwork:
        """Return the network of a pass over the contexts of tiles.

        Args:
            size: (B, h, w), tiles and patches of each.
            quality: of the tiles.
            target: (B, C, h, w) what is to be coded, whole numbers or not; None to decode.
        """
        ...

    def analyse(self, rgb: Floats, u: Floats, quality: Quality) -> Features:
        """Analyse images (B, 3, H, W) in 0...255 whose contexts u (B, C, h, w) are decided."""
        ...

    def latent_pass(
        self, u: Floats, quality: Quality, features: Sequence[Any] = ()
    ) -> LatentNetwork:
        """Return the network of a pass over the latents of tiles.

        Args:
            u: (B, C, h, w) the integer context.
            quality: of the tiles.
            features: of each tile, cropped to it; none to decode.
        """
        ...

    def synthesise(self, u: Floats, latents: Floats, quality: Quality) -> Floats:
        """Return RGB (B, 3, H, W), clamped to 0...255, of context and latents."""
        ...


def make_runtime(file: WeightFile, device: str) -> Runtime:
    """Return the networks of a weight file on a device, `cpu`, `cuda` or `cuda:N`.

    Raises:
        TorchMissing: the device needs PyTorch, which is not installed.
        WeightsError: the device is not there.
        BoundError: it does not compute exactly.
    """
    if device == "cpu":
        from .onnx_runtime import OnnxRuntime

        return OnnxRuntime(file)
    return torch_side("runtime", f"device {device}").make_runtime(file, device)


def torch_side(module: str, wish: str) -> Any:  # noqa: ANN401
    """Import a module of `models`, the side that needs PyTorch.

    Raises:
        TorchMissing: PyTorch is not installed.
    """
    spin_less()
    try:
        return import_module(f"...models.{module}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "torch":
            raise
        raise TorchMissing(
            f"{wish} needs PyTorch, which is not installed: pip install 'hvae-codec[torch]'"
        ) from error
