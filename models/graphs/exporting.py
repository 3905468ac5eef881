"""From a module to an ONNX graph whose tensors are those of the weight file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..integer.prepared import PreparedConv, PreparedGain, PreparedNorm
from ..storage import restored, stored

OPSET = 20
"""Version of ONNX's operators; ONNX Runtime 1.17 and later run it."""

_LARGEST_INLINE_BYTES = 4096
"""A constant of the topology; a larger one would be a tensor that the file holds already."""

AUTO = torch.export.Dim.AUTO

Exported = dict[str, tuple[bytes, tuple[str, ...]]]
"""By name: the ONNX model, and the names of its initialisers in the weight file."""


class Restoring(nn.Module):
    """A network whose tensors are given as the file stores them.

    Args:
        network: the network.
        names: of its tensors, in the order of the call.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]):
        super().__init__()
        self.network, self.names = network, list(names)

    def forward(self, arguments: tuple[Tensor, ...], tensors: tuple[Tensor, ...]) -> Any:  # noqa: ANN401
        """Call the network with restored tensors."""
        named = dict(zip(self.names, tensors, strict=True))
        return torch.func.functional_call(self.network, restored(named), arguments)


Modules = Mapping[str, nn.Module | None]
"""Modules by the prefix that their tensors' names have in a network."""


def file_tensors(module: nn.Module, prefix: str) -> dict[str, np.ndarray]:
    """Return the tensors of a module as they stand in the file, by their names there."""
    found: dict[str, np.ndarray] = {}
    for name, tensor in module.state_dict().items():
        found |= stored(prefix + name, tensor)
    return found


def _stored_examples(modules: Modules) -> dict[str, Tensor]:
    """Return the tensors of modules, by their names in a network, of the types of the file."""
    found: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        # what decides symbols stands below `context.` or `trunk.`, whatever a network calls it
        floats = prefix.startswith(("analysis", "synthesis", "step_gain", "reconstruction"))
        place = "posteriors.0." if prefix == "posterior." else prefix if floats else "context."
        for name, tensor in module.state_dict().items() if module is not None else ():
            if module is not None and _is_prepared(module):
                found[prefix + name] = tensor
                continue
            for full, array in stored(place + name, tensor).items():
                found[prefix + full.removeprefix(place)] = torch.from_numpy(array)
    return found


_BROADCAST = (
    "factor",
    "offset",
    "inward_row",
    "outward_row",
    "quality_32",
    "quality_8",
    "quality_4",
)
"""Inputs that have a value a position, or one for all positions."""


def _channel_dimensions(name: str, tensor: Tensor) -> tuple[int, ...]:
    """Return the dimensions of a layer's tensor that count channels."""
    kind = name.rpartition(".")[2]
    if kind == "weight":
        return (0, 1)
    if kind == "knots":
        return (2,)
    return (0,) if tensor.dim() == 1 else (1,)  # a bias or a shift; a row


def _is_prepared(module: nn.Module) -> bool:
    """Tell whether a module's tensors are those that a runtime prepares, not those of the file."""
    kinds = PreparedConv, PreparedGain, PreparedNorm
    return any(isinstance(layer, kinds) for layer in module.modules())


def exported(
    network: nn.Module,
    arguments: dict[str, Tensor],
    outputs: list[str],
    modules: Modules | None = None,
    *,
    dynamic: bool = False,
) -> Any:  # noqa: ANN401
    """Export a network as an ONNX model that takes its tensors as inputs.

    Args:
        network: its `forward` takes `arguments` in their order.
        arguments: examples, by the names of the graph's inputs. All of their dimensions but those
            of size 1 are dynamic. So are, once exported, the positions of what is `_BROADCAST`.
        outputs: names of the graph's outputs.
        modules: whose tensors the network takes.
        dynamic: whether the tensors' channels are dynamic as well.
    """
    tensors = _stored_examples(modules or {})
    module = Restoring(network, list(tensors)).eval()
    shapes = (
        tuple({n: AUTO for n, size in enumerate(x.shape) if size > 1} for x in arguments.values()),
        tuple(
            dict.fromkeys(_channel_dimensions(name, x), AUTO) if dynamic else None
            for name, x in tensors.items()
        ),
    )
    with _quiet():
        program = torch.onnx.export(
            module,
            (tuple(arguments.values()), tuple(tensors.values())),
            input_names=[*arguments, *tensors],
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # exported with one position, so that no shape of the graph is taken from these inputs
    for value in model.graph.input:
        if value.name.rpartition(".")[2] in _BROADCAST:
            for number, dimension in enumerate(value.type.tensor_type.shape.dim[2:]):
                dimension.dim_param = f"{value.name}.{number}"
    return model


def bound(
    model: Any,  # noqa: ANN401
    prefixes: Mapping[str, str],
    tensors: Mapping[str, np.ndarray],
) -> tuple[bytes, tuple[str, ...]]:
    """Make initialisers of some inputs of an exported model.

    Args:
        model: what `exported` returned.
        prefixes: of names in the network, and of the same tensors in the file. Inputs without one
            of these stay inputs.
        tensors: those of the file, which tell sizes and types.

    Returns:
        The ONNX model, and the names of its initialisers.
    """
    model = type(model).FromString(model.SerializeToString())
    graph = model.graph
    renamed: dict[str, str] = {}
    for value in graph.input:
        for prefix, place in prefixes.items():
            name = place + value.name.removeprefix(prefix)
            if value.name.startswith(prefix) and name in tensors:
                renamed[value.name] = name
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    for tensor in kept:
        assert len(tensor.raw_data) <= _LARGEST_INLINE_BYTES, tensor.name
    inputs = [v for v in graph.input if v.name not in renamed and v.name in used]
    held = [name for old, name in renamed.items() if old in used]
    kept += [_external(name, tensors[name]) for name in held]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    _replace(graph.initializer, kept)
    _replace(graph.input, inputs)
    del graph.value_info[:]
    del graph.metadata_props[:]
    del model.metadata_props[:]
    return model.SerializeToString(), tuple(held)


def _external(name: str, array: np.ndarray) -> Any:  # noqa: ANN401
    """Return an initialiser whose numbers the weight file has."""
    from onnx import TensorProto
    from onnx.helper import np_dtype_to_tensor_dtype

    external = TensorProto(
        name=name,
        data_type=np_dtype_to_tensor_dtype(array.dtype),
        dims=array.shape,
        data_location=TensorProto.EXTERNAL,
    )
    external.external_data.add(key="location", value="weights")
    return external


def _replace(field: Any, values: Sequence[Any]) -> None:  # noqa: ANN401
    """Set the elements of a repeated field."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from printing its progress and its advice."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
