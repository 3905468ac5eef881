"""What the graphs of the context prior take beside a picture: its tensors, by quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue

from ...bitstream import Prior
from ..quality.qualities import PATCH, Quality, positions_of
from ..symbols.fixed_point import INWARD_UNIT, KNOT_SPAN, KNOT_UNIT, OUTWARD_UNIT, UNIT
from ..symbols.schedule import CodingStep, context_schedule, pick
from .weight_file import WeightFile

PRIOR = f"context.priors.{Prior.MASKED_DIFFUSION.label}"

Inputs = dict[str, OrtValue | NDArray]
"""Inputs of a graph, by name."""


class ContextConstants:
    """The tensors of the context prior at a quality, prepared for its graphs.

    They are what `convert.prepared` makes of integer layers in PyTorch. All numbers are integers
    times powers of two, and exact.

    Args:
        file: the weights.
        quality: of a tile.
        filters: those that were prepared before, at whatever quality; others are added.

    Attributes:
        steps: of each step, the inputs of the graph that brings the state to it.
        slices: of each step and slice, those of the graph that predicts it.
    """

    def __init__(self, file: WeightFile, quality: Quality, filters: dict[str, OrtValue]):
        self.file, self.filters = file, filters
        patches = positions_of(quality, PATCH)
        self._qualities, numbers = np.unique(patches, return_inverse=True)
        self._patches = numbers.reshape(patches.shape)  # of each the number of its quality
        schedule = context_schedule(file.config)
        self.steps = [self._step(schedule, step) for step in schedule]
        self.slices = [
            [self._slice(step, number) for number in range(len(step.slices))] for step in schedule
        ]

    def _step(self, schedule: Sequence[CodingStep], step: CodingStep) -> Inputs:
        own = f"{PRIOR}.steps.{step.number}"
        if step.number == 0:
            start = self._gain(f"{PRIOR}.start", slice(None), self._patches)
            return _prefixed("prior.start", start) | self._layers(
                "prior.steps.0.head", f"{own}.head"
            )
        before = schedule[step.number - 1]
        modules = {"current.head": f"{own}.head"}
        modules["previous.embed"] = f"{PRIOR}.steps.{before.number}.embed"
        if step.has_block:
            modules["current.block"] = f"{own}.block"
        inputs = self._norm("inward", slice(before.start, before.stop), self._patches)
        for name, module in modules.items():
            inputs |= self._layers(name, module)
        return inputs

    def _slice(self, step: CodingStep, number: int) -> Inputs:
        own = f"{PRIOR}.steps.{step.number}"
        start, stop = step.slices[number]
        means = np.arange(start - step.start, stop - step.start, dtype=np.int64)
        outputs = np.concatenate([means, step.stop - step.start + means])
        here = self._picked(step)
        gain = self._gain(f"{own}.head_gain", outputs, here[..., None])
        inputs = _prefixed("current.head_gain", gain)
        inputs |= self._norm("outward", slice(start, stop), here)
        inputs["outputs"] = OrtValue.ortvalue_from_numpy(outputs)
        if number:
            module = f"{own}.channel_contexts.{number - 1}"
            inputs |= self._layers("current.channel_contexts.1", module)
            inputs |= self._norm("inward", slice(step.start, start), here)
        return inputs

    def _layers(self, prefix: str, module: str) -> Inputs:
        """Return the tensors of all layers of a module, by the names that graphs have for them."""
        found: Inputs = {}
        for name in self.file.modules[module]:
            layer, _, kind = name.rpartition(".")
            here = prefix + layer.removeprefix(module)
            if kind in ("weight", "bias"):
                found[f"{here}.{kind}"] = self._filter(name)
            elif kind == "knots":
                found |= _prefixed(here, self._gain(layer, slice(None), self._patches))
        return found

    def _filter(self, name: str) -> OrtValue:
        """Return filters or biases with the shifts of their layer taken into them."""
        if name not in self.filters:
            array = self.file.arrays[name].astype(np.float32)
            shift = self.file.arrays[f"{name.rpartition('.')[0]}.shift"].astype(np.float32)
            scaled = array * np.exp2(-shift).reshape(-1, *[1] * (array.ndim - 1))
            self.filters[name] = OrtValue.ortvalue_from_numpy(scaled)
        return self.filters[name]

    def _picked(self, step: CodingStep) -> NDArray[np.int64]:
        """Return what `_patches` has where a step codes, (1, 1, n); or one, if it codes nowhere."""
        if self._patches.size == 1:
            return self._patches[..., 0]
        picked = pick(self._patches, step.squares)
        return picked if picked.size else self._patches[:, :, 0, :1]

    def _gain(
        self, layer: str, channels: slice | NDArray, where: NDArray[np.int64]
    ) -> dict[str, OrtValue]:
        """Return factor and offset (1, c, h, w) of some channels of a gain at some patches."""
        knots = self.file.arrays[f"{layer}.knots"][..., channels].astype(np.int64)
        low, part = np.divmod(self._qualities, KNOT_SPAN)
        high = np.minimum(low + 1, len(knots) - 1)
        part = part[:, None, None]
        sums = (KNOT_SPAN - part) * knots[low] + part * knots[high]
        unit = KNOT_SPAN * KNOT_UNIT
        scale, shift = ((sums + unit // 2) // unit).astype(np.float32).transpose(1, 0, 2)
        return {
            "factor": _looked_up(scale / UNIT, where),
            "offset": _looked_up(shift + np.float32(0.5), where),
        }

    def _norm(self, way: str, channels: slice, where: NDArray[np.int64]) -> Inputs:
        """Return the rows (1, c, ...) of the norm for some channels at some patches."""
        table = self.file.arrays[f"context.norm.{way}_table"]
        unit = INWARD_UNIT if way == "inward" else OUTWARD_UNIT
        rows = table[self._qualities, channels].astype(np.float64) / unit
        return {f"norm.{way}_row": _looked_up(rows, where)}


def _looked_up(rows: NDArray, numbers: NDArray[np.int64]) -> OrtValue:
    """Return rows (n, c) by their numbers (1, 1, ...): (1, c, ...)."""
    found = np.take(np.ascontiguousarray(rows.T), numbers[0, 0], axis=1)
    return OrtValue.ortvalue_from_numpy(found[None])


def _prefixed(prefix: str, tensors: Mapping[str, OrtValue]) -> Inputs:
    return {f"{prefix}.{name}": value for name, value in tensors.items()}
