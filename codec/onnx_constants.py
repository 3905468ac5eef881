"""What the graphs of the context prior take beside a picture: its tensors, at one quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue

from .schedule import CodingStep, context_schedule
from .weight_file import WeightFile

PRIOR = "context.priors.masked-diffusion"

_UNIT = 64  # activations are multiples of 1/64
_KNOT_SPAN = 10  # qualities from a knot to the next
_KNOT_UNIT = 16  # gains at the knots are sixteenths of those between them

Inputs = dict[str, OrtValue | NDArray]
"""Inputs of a graph, by name."""


class ContextConstants:
    """The tensors of the context prior at one quality, prepared for its graphs.

    They are what `convert.prepared` makes of integer layers in PyTorch. All numbers are integers
    times powers of two, and exact.

    Args:
        file: the weights.
        quality: 0...100.
        filters: those that were prepared before, at whatever quality; others are added.

    Attributes:
        steps: of each step, the inputs of the graph that brings the state to it.
        slices: of each step and slice, those of the graph that predicts it.
    """

    def __init__(self, file: WeightFile, quality: int, filters: dict[str, OrtValue]):
        self.file, self.quality, self.filters = file, quality, filters
        schedule = context_schedule(file.config)
        self.steps = [self._step(schedule, step) for step in schedule]
        self.slices = [
            [self._slice(step, number) for number in range(len(step.slices))] for step in schedule
        ]

    def _step(self, schedule: Sequence[CodingStep], step: CodingStep) -> Inputs:
        own = f"{PRIOR}.steps.{step.number}"
        if step.number == 0:
            start = self._gain(f"{PRIOR}.start", slice(None))
            return _prefixed("prior.start", start) | self._layers(
                "prior.steps.0.head", f"{own}.head"
            )
        before = schedule[step.number - 1]
        modules = {"current.head": f"{own}.head"}
        modules["previous.embed"] = f"{PRIOR}.steps.{before.number}.embed"
        if step.has_block:
            modules["current.block"] = f"{own}.block"
        inputs = self._norm("inward", slice(before.start, before.stop), dimensions=4)
        for name, module in modules.items():
            inputs |= self._layers(name, module)
        return inputs

    def _slice(self, step: CodingStep, number: int) -> Inputs:
        own = f"{PRIOR}.steps.{step.number}"
        start, stop = step.slices[number]
        means = np.arange(start - step.start, stop - step.start)
        outputs = np.concatenate([means, step.stop - step.start + means])
        inputs = _prefixed("current.head_gain", self._gain(f"{own}.head_gain", outputs))
        inputs |= self._norm("outward", slice(start, stop), dimensions=3)
        inputs["outputs"] = OrtValue.ortvalue_from_numpy(outputs)
        if number:
            module = f"{own}.channel_contexts.{number - 1}"
            inputs |= self._layers("current.channel_contexts.1", module)
            inputs |= self._norm("inward", slice(step.start, start), dimensions=3)
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
                found |= _prefixed(here, self._gain(layer, slice(None)))
        return found

    def _filter(self, name: str) -> OrtValue:
        """Return filters or biases with the shifts of their layer taken into them."""
        if name not in self.filters:
            array = self.file.arrays[name].astype(np.float32)
            shift = self.file.arrays[f"{name.rpartition('.')[0]}.shift"].astype(np.float32)
            scaled = array * np.exp2(-shift).reshape(-1, *[1] * (array.ndim - 1))
            self.filters[name] = OrtValue.ortvalue_from_numpy(scaled)
        return self.filters[name]

    def _gain(self, layer: str, channels: slice | NDArray) -> dict[str, OrtValue]:
        """Return factor and offset (1, c, 1, 1) of some channels of a gain."""
        knots = self.file.arrays[f"{layer}.knots"][..., channels].astype(np.int64)
        low, part = divmod(self.quality, _KNOT_SPAN)
        sums = (_KNOT_SPAN - part) * knots[low] + (part * knots[low + 1] if part else 0)
        unit = _KNOT_SPAN * _KNOT_UNIT
        scale, shift = ((sums + unit // 2) // unit)[..., None, None].astype(np.float32)
        return {
            "factor": OrtValue.ortvalue_from_numpy(scale[None] / _UNIT),
            "offset": OrtValue.ortvalue_from_numpy(shift[None] + np.float32(0.5)),
        }

    def _norm(self, way: str, channels: slice, dimensions: int) -> Inputs:
        """Return the row of the norm for some channels of arrays of so many dimensions."""
        table = self.file.arrays[f"context.norm.{way}_table"]
        unit = 2.0**-8 if way == "inward" else 2.0**-12
        row = table[self.quality, channels].astype(np.float64) * unit
        row = row.reshape(1, -1, *[1] * (dimensions - 2))
        return {f"norm.{way}_row": OrtValue.ortvalue_from_numpy(row)}


def _prefixed(prefix: str, tensors: Mapping[str, OrtValue]) -> Inputs:
    return {f"{prefix}.{name}": value for name, value in tensors.items()}
