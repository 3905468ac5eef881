"""The weight file: one safetensors file with the frozen model and the pmf tables.

    entropy.*            integers: weights and shifts int8, all else int32
    everything else      float16
    tables.*             the frozen pmfs, as `bitstream.PmfTables` holds them
    metadata             hvae_codec: JSON of format version and configuration

A file is named by the sha256 of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from safetensors.torch import load

from .config import ModelConfig
from .dct_vae import DctVae
from .errors import WeightsError
from .leaves import INTEGER, check

FORMAT = "1"
TABLES = ("tables.pmf", "tables.start", "tables.length")
_SMALL = ("weight", "shift")


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded weight file: the model, the tables' arrays, and the sha256 of the file."""

    model: DctVae
    tables: dict[str, np.ndarray]
    digest: bytes


def save_weights(path: Path, model: DctVae, tables: dict[str, np.ndarray]) -> None:
    """Write a frozen model and its tables.

    Raises:
        BoundError: the entropy model does not run on integers, or could leave the exact range.
    """
    check(model.entropy)
    tensors = {name: tables[name.removeprefix("tables.")] for name in TABLES}
    for name, tensor in model.state_dict().items():
        array = tensor.detach().cpu().numpy()
        kind = _kind_of(name)
        tensors[name] = np.ascontiguousarray(array.astype(kind))
        if _is_integer(name) and not np.array_equal(tensors[name], array):
            raise WeightsError(f"{name} does not fit {np.dtype(kind)}")
        if not np.isfinite(tensors[name]).all():
            raise WeightsError(f"{name} is not finite in {np.dtype(kind)}")
    # One key, because safetensors writes several in random order, and files are named by hash.
    metadata = {"hvae_codec": json.dumps({"format": FORMAT, "config": model.config.to_json()})}
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(save(tensors, metadata))
    os.replace(temporary, path)


def load_weights(path: Path) -> Weights:
    """Read a weight file, and prove the bounds of its integers again.

    Raises:
        WeightsError: not a weight file, of another format, or its tensors do not fit its own
            configuration.
        BoundError: the integers could leave the exact range.
    """
    try:
        data = path.read_bytes()
        with safe_open(path, "pt") as opened:
            metadata = opened.metadata() or {}
        tensors = load(data)
    except SafetensorError as error:
        raise WeightsError(f"{path.name} is not a weight file: {error}") from error
    try:
        described = dict(json.loads(metadata.get("hvae_codec", "{}")))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path.name} does not describe itself in JSON") from error
    if described.get("format") != FORMAT:
        found = described.get("format", "none")
        raise WeightsError(f"{path.name} has format {found}, this program reads {FORMAT}")
    config = ModelConfig.from_json(str(described.get("config", "")))
    try:
        model = DctVae(config, INTEGER)
    except (TypeError, RuntimeError) as error:
        raise WeightsError(f"{path.name} has sizes that are not sizes: {error}") from error
    if missing := [name for name in TABLES if name not in tensors]:
        raise WeightsError(f"{path.name} has no {missing[0]}")
    tables = {name.removeprefix("tables."): tensors.pop(name).numpy() for name in TABLES}
    try:
        model.load_state_dict(tensors)  # copies into float32 and float64 carriers
    except RuntimeError as error:
        raise WeightsError(f"{path.name} does not fit its own configuration") from error
    check(model.entropy)
    model.eval().requires_grad_(False)
    model.to(memory_format=torch.channels_last)
    return Weights(model, tables, hashlib.sha256(data).digest())


def carry_in(model: DctVae, dtype: torch.dtype) -> None:
    """Carry the entropy model's integers in float32 (fast) or float64; results are the same."""
    for name, buffer in model.entropy.named_buffers():
        if not name.startswith("norm.") and buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)


def _kind_of(name: str) -> type[np.int8] | type[np.int32] | type[np.float16]:
    if not _is_integer(name):
        return np.float16
    return np.int8 if name.rsplit(".", 1)[-1] in _SMALL else np.int32


def _is_integer(name: str) -> bool:
    return name.startswith("entropy.")
