"""The weight file: one safetensors file with everything that the codec knows of the models.

    context.*            the norm and the priors of the context, common to all models
    0.*, 1.*, ...        one latent model for each range of qualities, coarse qualities first
    graphs.*             ONNX graphs as bytes. They hold the topology alone; their initialisers are
                         tensors of this file
    tables.*             the frozen pmfs, as `bitstream.PmfTables` holds them
    metadata             hvae_codec: JSON of format, configuration, first qualities, priors, graphs

A file is named by the sha256 of its bytes.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...bitstream import InvalidTables, PmfTables
from ..config import ModelConfig
from ..errors import WeightsError
from ..files import digest_of
from ..quality.curve import MAX_QUALITY, QUALITIES

FORMAT = "6"
_TYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8, "U32": np.uint32}
_TYPES |= {"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64}

BELOW, ABOVE = 12, 5
"""Qualities below its first and above its last at which a model takes less than 3 % more bits than
the model that serves them."""

_TABLES = {"pmf": np.uint32, "start": np.int32, "length": np.int32}


@dataclass(frozen=True, eq=False)
class WeightFile:
    """A weight file, read.

    Attributes:
        config: the sizes of every model.
        first_qualities: the first quality of each latent model, from 0 on.
        priors: names of the priors of the context.
        arrays: the tensors, as they are stored.
        graphs: ONNX models by name.
        initialisers: of each graph, the names of its tensors.
        pmfs: the frozen tables.
        digest: sha256 of the file.
    """

    config: ModelConfig
    first_qualities: tuple[int, ...]
    priors: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]
    graphs: Mapping[str, bytes]
    initialisers: Mapping[str, tuple[str, ...]]
    pmfs: PmfTables
    digest: bytes

    def model_at(self, quality: int) -> int:
        """Return the number of the latent model that serves a quality."""
        return serving_model(self.first_qualities, quality)

    def patch_range_at(self, quality: int) -> tuple[int, int]:
        """Return the lowest and the highest quality of a patch in a picture of this quality."""
        model = self.model_at(quality)
        ends = (*self.first_qualities, QUALITIES)
        return patch_range(ends[model], ends[model + 1] - 1)

    @cached_property
    def modules(self) -> dict[str, list[str]]:
        """The names of the tensors below each module, by the module's name."""
        below: dict[str, list[str]] = {}
        for name in self.arrays:
            path = name.split(".")
            for depth in range(1, len(path)):
                below.setdefault(".".join(path[:depth]), []).append(name)
        return below


def patch_range(first: int, last: int) -> tuple[int, int]:
    """Return the lowest and the highest quality of a patch where a model serves first...last."""
    return max(0, first - BELOW), min(MAX_QUALITY, last + ABOVE)


def serving_model(first_qualities: Sequence[int], quality: int) -> int:
    """Return the number of the model that serves a quality, by the first quality of each."""
    return bisect_right(first_qualities, quality) - 1


def write_weight_file(
    config: ModelConfig,
    first_qualities: tuple[int, ...],
    priors: tuple[str, ...],
    arrays: Mapping[str, np.ndarray],
    graphs: Mapping[str, tuple[bytes, tuple[str, ...]]],
    pmfs: PmfTables,
) -> bytes:
    """Return the bytes of a weight file.

    Args:
        config: the sizes of every model.
        first_qualities: of each latent model, from 0 on.
        priors: names of the priors of the context.
        arrays: the tensors by name, of the types that the file holds.
        graphs: by name, an ONNX model and the names of its tensors.
        pmfs: the frozen tables.
    """
    tensors = dict(arrays)
    for name, (graph, _) in graphs.items():
        tensors[f"graphs.{name}"] = np.frombuffer(graph, np.uint8)
    for name in _TABLES:
        tensors[f"tables.{name}"] = getattr(pmfs, name)
    described = {
        "format": FORMAT,
        "config": config.to_json(),
        "first_qualities": [*first_qualities],
        "priors": [*priors],
        "graphs": {name: [*initialisers] for name, (_, initialisers) in graphs.items()},
    }
    # One key, because safetensors writes several in random order, and files are named by hash.
    return save(tensors, {"hvae_codec": json.dumps(described)})


def read_weight_file(path: Path) -> WeightFile:
    """Read a weight file.

    Raises:
        OSError: it cannot be read.
        WeightsError: it is not a weight file, of another format, or does not describe itself.
    """
    try:
        tensors, described, digest = _mapped(path)
    except (SafetensorError, ValueError, TypeError, KeyError, struct.error) as error:
        raise WeightsError(f"{path.name} is not a weight file: {error}") from error
    if described.get("format") != FORMAT:
        found = described.get("format", "none")
        raise WeightsError(f"{path.name} has format {found}, this program reads {FORMAT}")
    config = ModelConfig.from_json(str(described.get("config", "")))
    tables = {}
    for name, kind in _TABLES.items():
        array = tensors.pop(f"tables.{name}", None)
        if array is None or array.dtype != kind:
            raise WeightsError(f"{path.name} has no tables.{name} of {np.dtype(kind).name}")
        tables[name] = array
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{path.name} has values in {name} that are not finite")
    try:
        initialisers = {k: tuple(v) for k, v in dict(described["graphs"]).items()}
        graphs = {k: tensors.pop(f"graphs.{k}").tobytes() for k in initialisers}
        priors = tuple(described["priors"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name} does not name its graphs and priors") from error
    try:
        checked = PmfTables(**tables)
    except InvalidTables as error:
        raise WeightsError(f"{path.name} has tables that are none: {error}") from error
    return WeightFile(
        config=config,
        first_qualities=_checked(path, described.get("first_qualities")),
        priors=priors,
        arrays=tensors,
        graphs=graphs,
        initialisers=initialisers,
        pmfs=checked,
        digest=digest,
    )


def _mapped(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], bytes]:
    """Return tensors, description and digest; all processes that read it share one copy."""
    with safe_open(path, "np") as file:  # refuses what does not fit its own header
        names, metadata = file.keys(), file.metadata() or {}
    data = np.asarray(np.memmap(path, np.uint8, "r"))  # slices of a memmap are slow to make
    (size,) = struct.unpack_from("<Q", data.data)
    header = json.loads(data[8 : 8 + size].tobytes())
    tensors = {}
    for name in names:
        about = header[name]
        begin, end = about["data_offsets"]
        part = data[8 + size + begin : 8 + size + end].view(_TYPES[about["dtype"]])
        tensors[name] = np.asarray(part).reshape(about["shape"])
    described = dict(json.loads(metadata.get("hvae_codec", "{}")))
    return tensors, described, digest_of(path)


def _checked(path: Path, found: object) -> tuple[int, ...]:
    """Return the first qualities that a file names, if they are qualities in order from 0 on."""
    firsts = tuple(found) if isinstance(found, list) else ()
    whole = all(type(first) is int and first < QUALITIES for first in firsts)
    if not whole or firsts[:1] != (0,) or any(a >= b for a, b in pairwise(firsts)):
        raise WeightsError(f"{path.name} does not say from which quality on its models serve")
    return firsts
