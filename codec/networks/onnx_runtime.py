"""The networks of a weight file in ONNX Runtime, on the CPU.

Every integer that decides a symbol is exact in float32 whatever the instruction set and the number
of threads (docs/exact-arithmetic.md): convolutions are sums of products below 2**24, and ONNX
Runtime computes them by matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue

from ..quality.qualities import FINE, LATENT, PATCH, PatchQualities, Quality, base_of, positions_of
from ..symbols.schedule import (
    CodingStep,
    context_schedule,
    latent_schedule,
    pick,
    place,
    positions,
)
from ..symbols.walk import Prediction
from .onnx_constants import ContextConstants, Inputs
from .onnx_graphs import Graphs, check_arithmetic
from .runtime import Floats
from .weight_file import WeightFile


@dataclass(frozen=True, eq=False)
class OnnxFeatures:
    """Features (1, F, H, W) and coefficients in steps (1, C, H, W) of an image."""

    features: Floats
    coefficients: Floats

    def crop(self, rows: slice, columns: slice) -> OnnxFeatures:
        """See `runtime.Features`."""
        part = (..., rows, columns)
        return OnnxFeatures(
            np.ascontiguousarray(self.features[part]),
            np.ascontiguousarray(self.coefficients[part]),
        )


class OnnxRuntime:
    """See `runtime.Runtime`; one tile at a time.

    Args:
        file: the weights.
        is_plain: whether to run the graphs as they were exported, without any optimisation.
    """

    tiles_at_once = 1

    def __init__(self, file: WeightFile, *, is_plain: bool = False):
        self.file = file
        self._graphs = Graphs(file, is_plain)
        self._filters: dict[str, OrtValue] = {}
        self._constants: dict[int, ContextConstants] = {}
        check_arithmetic(self._graphs)

    def unrounded_context(self, rgb: Floats, quality: Quality) -> Floats:
        """See `runtime.Runtime`."""
        inputs = {"rgb": rgb, **_qualities(quality)}
        return self._graphs.run("context.exact", inputs)[0].numpy()  # its name in weight files

    def context_pass(
        self, size: tuple[int, int, int], quality: Quality, target: Floats | None = None
    ) -> _ContextPass:
        """See `runtime.Runtime`."""
        return _ContextPass(self._graphs, self._constants_at(quality), size, target)

    def _constants_at(self, quality: Quality) -> ContextConstants:
        if isinstance(quality, PatchQualities):  # of these there are too many to keep
            return ContextConstants(self.file, quality, self._filters)
        if quality not in self._constants:
            self._constants[quality] = ContextConstants(self.file, quality, self._filters)
        return self._constants[quality]

    def analyse(self, rgb: Floats, u: Floats, quality: Quality) -> OnnxFeatures:
        """See `runtime.Runtime`."""
        inputs = {"rgb": rgb, "u": u, **_qualities(quality)}
        found = self._graphs.run("analysis", inputs, self.file.model_at(base_of(quality)))
        return OnnxFeatures(*(value.numpy() for value in found))

    def latent_pass(
        self, u: Floats, quality: Quality, features: Sequence[OnnxFeatures] = ()
    ) -> _LatentPass:
        """See `runtime.Runtime`."""
        return _LatentPass(self._graphs, u, quality, features[0] if features else None)

    def synthesise(self, u: Floats, latents: Floats, quality: Quality) -> Floats:
        """See `runtime.Runtime`."""
        inputs = {"u": u, "latents": latents, **_qualities(quality)}
        model = self.file.model_at(base_of(quality))
        return self._graphs.run("synthesis", inputs, model)[0].numpy()


def _qualities(quality: Quality) -> dict[str, NDArray[np.int64]]:
    """Return the qualities at all strides, by the names that graphs have for them."""
    names = {"quality_32": PATCH, "quality_8": LATENT, "quality_4": FINE}
    return {name: positions_of(quality, a_side) for name, a_side in names.items()}


class _ContextPass:
    """The masked diffusion, step by step; see `walk.Network`.

    The state stays with ONNX Runtime, and so does what a step's head puts out. Values that were
    coded and their means cross the border: they are few.
    """

    def __init__(
        self,
        graphs: Graphs,
        constants: ContextConstants,
        size: tuple[int, int, int],
        target: Floats | None,
    ):
        self.graphs, self.constants = graphs, constants
        self.size, self.target = size, target
        config = graphs.file.config
        self.schedule = context_schedule(config)
        self.context = np.zeros((size[0], config.context_channels, *size[1:]), np.float32)
        self._width = config.prior_width
        self._state: OrtValue

    def advance(self, step: CodingStep) -> None:
        """See `walk.Network`."""
        where = positions(*self.size[1:], step.squares)
        self._count = where.size
        # a graph takes no empty tensor: what it says of one position too many is not used
        inputs = {
            **self.constants.steps[step.number],
            "positions": where if where.size else np.zeros(1, np.int64),
        }
        if step.number == 0:
            inputs["nothing"] = np.zeros((self.size[0], self._width, *self.size[1:]), np.float32)
            graph = "context.begin"
        else:
            before = self.schedule[step.number - 1]
            part = self.context[:, before.start : before.stop]
            inputs["values"] = place(pick(part, before.squares), before.squares, self.size[1:])
            inputs["h"] = self._state
            graph = "context.step" if step.has_block else "context.blind_step"
        self._state, self._here, self._raw = self.graphs.run(graph, inputs)
        self._values: list[NDArray] = []
        self._means: list[NDArray] = []

    def predict(self, step: CodingStep, number: int) -> Prediction:
        """See `walk.Network`."""
        inputs = {**self.constants.slices[step.number][number], "raw": self._raw}
        if number:
            inputs["here"] = self._here
            inputs["values"] = np.concatenate(self._values, axis=1)
            inputs["means"] = np.concatenate(self._means, axis=1)
        graph = "context.slice" if number else "context.first_slice"
        mean, steps, quarters = self.graphs.run(graph, inputs)
        self._means.append(mean.numpy())
        self._steps = steps.numpy()
        return Prediction(self._steps[..., : self._count], quarters.numpy()[..., : self._count])

    def residual(self, step: CodingStep, number: int) -> NDArray:
        """See `walk.Network`."""
        assert self.target is not None, "this coder needs a context"
        start, stop = step.slices[number]
        wanted = pick(self.target[:, start:stop], step.squares)
        return wanted.astype(np.float64) - self._steps[..., : self._count]

    def reveal(self, step: CodingStep, number: int, offset: NDArray) -> None:
        """See `walk.Network`."""
        values = (self._steps[..., : self._count] + offset).astype(np.float32)
        start, stop = step.slices[number]
        self.context[:, start:stop] += place(values, step.squares, self.size[1:])
        full = values if self._count else np.zeros_like(self._steps)
        self._values.append(full)


class _LatentPass:
    """The trunk, step by step; see `walk.Network`."""

    def __init__(self, graphs: Graphs, u: Floats, quality: Quality, features: OnnxFeatures | None):
        self.graphs, self.features = graphs, features
        self.model = graphs.file.model_at(base_of(quality))
        qualities = _qualities(quality)
        self.quality = OrtValue.ortvalue_from_numpy(qualities["quality_8"])
        config = graphs.file.config
        # how much the networks of the transform count, at each position
        at = qualities["quality_8"]
        self.share: Floats = np.broadcast_to(np.float32(config.learned_share(at)), at.shape)
        self.schedule = latent_schedule(config)
        (self._state,) = graphs.run("trunk.begin", {"u": u, **qualities}, self.model)
        rows, columns = self._state.shape()[2:]
        self._size = int(rows), int(columns)
        self.latents = np.zeros((len(u), config.latent_channels, *self._size), np.float32)
        self._known: NDArray | None = None

    def advance(self, step: CodingStep) -> None:
        """See `walk.Network`."""
        inputs: Inputs = {"h": self._state, "quality_8": self.quality}
        if self._known is not None:
            inputs["values"] = self._known
        found = self.graphs.run(f"trunk.step.{step.number}", inputs, self.model)
        self._state, self._mean, quarters = found
        self._quarters = pick(quarters.numpy(), step.squares)

    def predict(self, step: CodingStep, number: int) -> Prediction:
        """See `walk.Network`."""
        self._means = pick(self._mean.numpy(), step.squares)
        return Prediction(self._means, self._quarters)

    def residual(self, step: CodingStep, number: int) -> NDArray:
        """See `walk.Network`."""
        assert self.features is not None, "this coder needs an image"
        inputs = {
            "features": self.features.features,
            "coefficients": self.features.coefficients[:, step.start : step.stop],
            "h": self._state,
            "mean": self._mean,
        }
        (residual,) = self.graphs.run(f"posterior.{step.number}", inputs, self.model)
        found = residual.numpy()
        if (self.share < 1).any():
            found = found + (1 - self.share) * (inputs["coefficients"] - self._mean.numpy() - found)
        return pick(found, step.squares)

    def reveal(self, step: CodingStep, number: int, offset: NDArray) -> None:
        """See `walk.Network`."""
        values = self._means + offset
        shown = np.array(values, order="C")  # so that `reshape` below is a view
        where = np.flatnonzero(offset)
        if where.size:
            inputs = {"quarters": self._quarters.ravel()[where], "symbols": offset.ravel()[where]}
            (moved,) = self.graphs.run("reconstruction", inputs, self.model)
            share = np.broadcast_to(self._share_of(step), shown.shape).reshape(-1)[where]
            shown.reshape(-1)[where] += share * moved.numpy()
        self.latents[:, step.start : step.stop] += place(shown, step.squares, self._size)
        self._known = place(values, step.squares, self._size)

    def _share_of(self, step: CodingStep) -> Floats:
        """Return the networks' share on the squares of a step: (B or 1, 1, n or 1)."""
        return self.share[..., 0] if self.share.size == 1 else pick(self.share, step.squares)
