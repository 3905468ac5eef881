"""The graphs of a weight file in ONNX Runtime: made ready, and run."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime import OrtValue

from ..errors import BoundError, WeightsError
from ..symbols.fixed_point import ACCUMULATOR_LIMIT, ACTIVATION_MAX
from .threads import thread_count
from .weight_file import WeightFile

# Blocked layouts are faster for float networks, and take longer to make ready. They gain nothing
# between the floors of integer networks.
_BASIC = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
_ALL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
_FLOAT_NETWORKS = ("analysis", "posterior", "synthesis")

_LARGE = ("analysis", "synthesis")
"""Graphs that take most of the memory."""

_LARGE_VALUES = 3 * 2**19
"""Input values of half a megapixel. From there on these graphs give their memory back: among what
the walk through a tile holds, the next tile would seldom find as much in one piece."""


@cache
def _share_memory() -> int:
    """Make the memory that all graphs share, before the first of them.

    One arena each, growing by powers of two and not by what is asked for, would hold three times
    as much.

    Returns:
        The process that has it.
    """
    arena = ort.OrtArenaCfg({"arena_extend_strategy": 1})
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, arena)
    return os.getpid()


@dataclass(frozen=True, eq=False)
class _Graph:
    """A graph that is ready to run, and the names of its inputs."""

    session: ort.InferenceSession
    inputs: tuple[str, ...]


_SESSIONS: weakref.WeakSet[ort.InferenceSession] = weakref.WeakSet()
"""All that are alive."""


def _keep_for_ever() -> None:
    """Let nothing destroy the sessions of the parent in a process that was forked.

    When it ends it would wait for their threads, which it does not have.
    """
    for session in _SESSIONS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_for_ever)


class Graphs:
    """The graphs of a weight file, each made ready when it is first run."""

    def __init__(self, file: WeightFile, is_plain: bool):
        self.file, self.is_plain = file, is_plain
        self._ready: dict[tuple[str, int], _Graph] = {}
        self._values: dict[str, OrtValue] = {}
        self._lock = threading.RLock()

    def run(
        self, name: str, inputs: Mapping[str, OrtValue | NDArray], model: int = 0
    ) -> Sequence[OrtValue]:
        """Run a graph with the tensors of latent model number `model`."""
        graph = self._ready.get((name, model)) or self._made(name, model)
        feeds = {key: _value(inputs[key]) for key in graph.inputs}
        options = _shrinking() if name in _LARGE and _count(feeds) >= _LARGE_VALUES else None
        return graph.session.run_with_ort_values(None, feeds, options)

    def tensor(self, name: str) -> OrtValue:
        """Return a tensor of the file."""
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = OrtValue.ortvalue_from_numpy(self.file.arrays[name])
        return value

    def _made(self, name: str, model: int) -> _Graph:
        with self._lock:  # or two threads would make it twice
            if (name, model) in self._ready:
                return self._ready[name, model]
            options = ort.SessionOptions()
            options.log_severity_level = 3
            # Threads of one graph must sleep while another computes. ONNX Runtime's pool for all
            # graphs would do it too, but then it refuses every other session of the process.
            options.intra_op_num_threads = thread_count()
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            if _share_memory() == os.getpid():  # a fork may find it locked by a thread it lacks
                options.add_session_config_entry("session.use_env_allocators", "1")
            options.graph_optimization_level = (
                ort.GraphOptimizationLevel.ORT_DISABLE_ALL if self.is_plain else _level(name)
            )
            try:
                names = [*self.file.initialisers[name]]
                full = (n if n.startswith("context.") else f"{model}.{n}" for n in names)
                options.add_external_initializers(names, [self.tensor(n) for n in full])
                session = ort.InferenceSession(
                    self.file.graphs[name],
                    options,
                    providers=["CPUExecutionProvider"],
                    enable_fallback=0,  # it would print
                )
            except Exception as error:  # a KeyError, and as many kinds as ONNX Runtime has
                if "alloc" in str(error):
                    raise MemoryError from error
                raise WeightsError(f"the graph {name} does not fit its tensors") from error
            _SESSIONS.add(session)
            graph = _Graph(session, tuple(value.name for value in session.get_inputs()))
            self._ready[name, model] = graph
            return graph


def _count(feeds: Mapping[str, OrtValue]) -> int:
    return sum(math.prod(value.shape()) for value in feeds.values())


@cache
def _shrinking() -> ort.RunOptions:
    """Return options of a run that gives the arena's free memory back when it ends."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _level(name: str) -> ort.GraphOptimizationLevel:
    return _ALL if name.startswith(_FLOAT_NETWORKS) else _BASIC


def _value(value: OrtValue | NDArray) -> OrtValue:
    return OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value


def check_arithmetic(graphs: Graphs) -> None:
    """Convolve numbers near the bound, whose sums are known.

    Raises:
        BoundError: the sums are not exact: something computes in fewer bits.
    """
    rng = np.random.default_rng(0)
    channels, rows, columns = 32, 12, 20
    largest = ACCUMULATOR_LIMIT // (channels * 9 * ACTIVATION_MAX)
    x = rng.integers(ACTIVATION_MAX - 63, ACTIVATION_MAX + 1, (channels, rows, columns))
    weight = rng.integers(largest - 16, largest + 1, (channels, channels, 3, 3))
    weight[::2] *= -1
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    expected = sum(
        np.tensordot(weight[:, :, i, j], padded[:, i : i + rows, j : j + columns], axes=1)
        for i in range(3)
        for j in range(3)
    )
    inputs = {
        "x": x[None].astype(np.float32),
        "conv.weight": weight.astype(np.float32),
        "conv.bias": np.zeros(channels, np.float32),
    }
    (sums,) = graphs.run("convolution", inputs)
    if not np.array_equal(sums.numpy()[0], expected):
        raise BoundError("convolutions are not exact here: some setting computes in fewer bits")
