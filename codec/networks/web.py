"""The weights as a browser fetches them: what decoding needs, split by qualities.

    HASH/context.safetensors    the prior of the context, the tables, graphs that all models share
    HASH/model-N.safetensors    trunk and synthesis of latent model N

HASH is what headers say of the weights. A part holds tensors and graphs as the weight file does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from safetensors.numpy import save

from ...bitstream.header import WEIGHTS_BYTES
from ..errors import WeightsError
from .onnx_constants import PRIOR
from .weight_file import FORMAT, WeightFile

_CONTEXT_GRAPHS = ("convolution", "context.")
_MODEL_GRAPHS = ("trunk.", "reconstruction", "synthesis")
_ENCODER_GRAPHS = ("context.exact",)


def web_parts(file: WeightFile) -> Iterator[tuple[str, bytes]]:
    """Return path and contents of each part.

    Raises:
        WeightsError: the weights are open, which a page does not decode.
    """
    if file.config.is_open:
        raise WeightsError("a page does not decode the files of open weights")
    folder = file.digest[:WEIGHTS_BYTES].hex()
    tensors = {f"tables.{name}": getattr(file.pmfs, name) for name in ("pmf", "start", "length")}
    shared = (f"{PRIOR}.", "context.norm.")
    tensors |= {name: array for name, array in file.arrays.items() if name.startswith(shared)}
    tensors |= _graphs(file, _CONTEXT_GRAPHS)
    yield f"{folder}/context.safetensors", _part(file, tensors)
    graphs = _graphs(file, _MODEL_GRAPHS)
    names = {name for graph in graphs for name in file.initialisers[graph.removeprefix("graphs.")]}
    own = sorted(name for name in names if not name.startswith("context."))
    for model in range(len(file.first_qualities)):
        tensors = {name: file.arrays[f"{model}.{name}"] for name in own}
        yield f"{folder}/model-{model}.safetensors", _part(file, tensors | graphs)


def _graphs(file: WeightFile, prefixes: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {
        f"graphs.{name}": np.frombuffer(graph, np.uint8)
        for name, graph in file.graphs.items()
        if name.startswith(prefixes) and name not in _ENCODER_GRAPHS
    }


def _part(file: WeightFile, tensors: dict[str, np.ndarray]) -> bytes:
    described = {
        "format": FORMAT,
        "config": file.config.to_json(),
        "first_qualities": [*file.first_qualities],
        "weights": file.digest.hex(),
    }
    return save(tensors, {"hvae_codec": json.dumps(described)})
