"""The weight file: one safetensors file with the frozen models and the pmf tables.

A model serves a range of qualities. What their contexts are coded under is common to all of them:
so the norm and the priors of the context stand once.

    entropy.*            the norm and the priors, integers: weights and shifts int8, knots of gains
                         int16, all else int32
    0.*, 1.*, ...        the rest of each model, coarse qualities first
      *.entropy.*          integers as above
      *.analysis.*, *.posteriors.*   filters int8, and the `scale` of each float32; but those of
                           `conv2` of the posteriors, whose rounding cost most
      everything else      float16
    tables.*             the frozen pmfs, as `bitstream.PmfTables` holds them
    metadata             hvae_codec: JSON of format version, configuration and first qualities

A file is named by the sha256 of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from safetensors.torch import load
from torch import Tensor

from .config import ModelConfig
from .dct_vae import DctVae
from .errors import WeightsError
from .files import replacing
from .leaves import INTEGER, check
from .quality import QUALITIES

FORMAT = "4"
TABLES = {"tables.pmf": np.uint32, "tables.start": np.int32, "tables.length": np.int32}
_COMMON = ("entropy.norm.", "entropy.priors.")
_KINDS = {"weight": np.int8, "shift": np.int8, "knots": np.int16}
_SCALE = ".scale"
EIGHT_BITS = re.compile(r"^(\d+\.)?(analysis\..*|posteriors\.\d+\.(conv1|shrink))\.weight$")
"""Names of the float filters that the file holds in 8 bits, in a model or in the file."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A loaded weight file.

    Attributes:
        models: coarse qualities first; they have one norm and one set of priors in common.
        begins: the first quality of each model, from 0 on.
        tables: the arrays of `bitstream.PmfTables`.
        digest: sha256 of the file.
    """

    models: tuple[DctVae, ...]
    begins: tuple[int, ...]
    tables: dict[str, np.ndarray]
    digest: bytes

    def model_at(self, quality: int) -> DctVae:
        """Return the model that serves a quality."""
        return self.models[range_of(quality, self.begins)]


def range_of(quality: int, begins: Sequence[int]) -> int:
    """Return which of several models serves a quality, by the first quality of each."""
    return bisect_right(begins, quality) - 1


def save_weights(
    path: Path, models: Sequence[DctVae], begins: Sequence[int], tables: dict[str, np.ndarray]
) -> None:
    """Write frozen models and their tables.

    Args:
        path: of the file.
        models: of one configuration, coarse qualities first. Norm and priors are the first one's.
        begins: the first quality of each, from 0 on.
        tables: the arrays of `bitstream.PmfTables`.

    Raises:
        BoundError: an entropy model does not run on integers, or could leave the exact range.
        WeightsError: a value does not fit its type, or norms or sizes differ.
    """
    tensors = {name: tables[name.removeprefix("tables.")] for name in TABLES}
    norms = [model.entropy.norm.state_dict() for model in models]
    if any(not torch.equal(norm[name], norms[0][name]) for norm in norms for name in norm):
        raise WeightsError("the models bring contexts to different scales, they share no priors")
    if len({replace(model.config, other_priors=()) for model in models}) > 1:
        raise WeightsError("the models are of different sizes")
    for number, model in enumerate(models):
        check(model.entropy)
        for name, tensor in model.state_dict().items():
            if not name.startswith(_COMMON):
                tensors |= _stored(f"{number}.{name}", tensor)
            elif number == 0:
                tensors |= _stored(name, tensor)
    described = {"format": FORMAT, "config": models[0].config.to_json(), "begins": [*begins]}
    # One key, because safetensors writes several in random order, and files are named by hash.
    metadata = {"hvae_codec": json.dumps(described)}
    with replacing(path) as part:
        part.write_bytes(save(tensors, metadata))


def load_weights(path: Path) -> Weights:
    """Read a weight file, and prove the bounds of its integers again.

    Raises:
        WeightsError: not a weight file, of another format, or its tensors do not fit its own
            configuration, have other types, or are not finite.
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
    begins = _checked_begins(path, described.get("begins"))
    for name, tensor in tensors.items():
        _check_kind(path, name, tensor)
    if missing := [name for name in TABLES if name not in tensors]:
        raise WeightsError(f"{path.name} has no {missing[0]}")
    tables = {name.removeprefix("tables."): tensors.pop(name).numpy() for name in TABLES}
    try:
        models = [DctVae(config, INTEGER) for _ in begins]
    except (TypeError, RuntimeError) as error:
        raise WeightsError(f"{path.name} has sizes that are not sizes: {error}") from error
    common = {name: tensors.pop(name) for name in [*tensors] if name.startswith(_COMMON)}
    for number, model in enumerate(models):
        prefix = f"{number}."
        names = [name for name in tensors if name.startswith(prefix)]
        own = {name.removeprefix(prefix): tensors.pop(name) for name in names}
        try:
            own = _restored(own)
            model.load_state_dict(common | own)  # copies into float32 and float64 carriers
        except (KeyError, RuntimeError) as error:
            raise WeightsError(f"{path.name} does not fit its own configuration") from error
        check(model.entropy)
        model.eval().requires_grad_(False)
        model.to(memory_format=torch.channels_last)
        model.entropy.norm, model.entropy.priors = models[0].entropy.norm, models[0].entropy.priors
    if tensors:
        raise WeightsError(f"{path.name} has {min(tensors)}, which belongs to no model")
    return Weights(tuple(models), begins, tables, hashlib.sha256(data).digest())


def _checked_begins(path: Path, found: object) -> tuple[int, ...]:
    """Return the first qualities that a file names, if they are qualities in order from 0 on."""
    begins = tuple(found) if isinstance(found, list) else ()
    whole = all(type(first) is int and first < QUALITIES for first in begins)
    if not whole or begins[:1] != (0,) or any(a >= b for a, b in pairwise(begins)):
        raise WeightsError(f"{path.name} does not say from which quality on its models serve")
    return begins


def carry_in(model: DctVae, dtype: torch.dtype) -> None:
    """Carry the entropy model's integers in float32 (fast) or float64; results are the same."""
    for name, buffer in model.entropy.named_buffers():
        if not name.startswith("norm.") and buffer.is_floating_point():
            buffer.data = buffer.data.to(dtype)


def _stored(name: str, tensor: Tensor) -> dict[str, np.ndarray]:
    """Return what stands in the file of one tensor: itself, or 8 bits of it and a scale."""
    array = tensor.detach().cpu().numpy()
    if not np.isfinite(array).all():
        raise WeightsError(f"{name} is not finite")
    if EIGHT_BITS.match(name):
        return _in_eight_bits(name, array)
    kind = _kind(name)
    stored = np.ascontiguousarray(array.astype(kind))
    exact = kind == np.float16 or np.array_equal(stored, array)
    if not exact or not np.isfinite(stored).all():
        raise WeightsError(f"{name} does not fit {np.dtype(kind)}")
    return {name: stored}


def _kind(name: str) -> type[np.generic]:
    """Return the type that a tensor has in the file."""
    if name in TABLES:
        return TABLES[name]
    if "entropy." in name:
        return _KINDS.get(name.rsplit(".", 1)[-1], np.int32)
    if EIGHT_BITS.match(name.removesuffix(_SCALE)):
        return np.float32 if name.endswith(_SCALE) else np.int8
    return np.float16


def _check_kind(path: Path, name: str, tensor: Tensor) -> None:
    found, expected = str(tensor.dtype).removeprefix("torch."), np.dtype(_kind(name)).name
    if found != expected:
        raise WeightsError(f"{path.name} has {name} in {found}, not in {expected}")
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise WeightsError(f"{path.name} has values in {name} that are not finite")


def _in_eight_bits(name: str, filters: np.ndarray) -> dict[str, np.ndarray]:
    """Round filters (O, I, k, k) to integers -127...127 times a scale each."""
    scale = eight_bit_scale(filters)
    integers = np.clip(np.rint(filters / scale), -127, 127)
    return {name: np.ascontiguousarray(integers.astype(np.int8)), name + _SCALE: scale}


def eight_bit_scale(filters: np.ndarray) -> np.ndarray:
    """Return by what the integers of filters (O, I, k, k) are multiplied: (O, 1, 1, 1) float32."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return np.where(largest > 0, largest / 127, 1).astype(np.float32)


def _restored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply filters by their scales, which leaves the tensors of a model."""
    scales = {name: tensors.pop(name) for name in [*tensors] if name.endswith(_SCALE)}
    for name, scale in scales.items():
        filters = name.removesuffix(_SCALE)
        if scale.shape != (len(tensors[filters]), 1, 1, 1):
            raise KeyError(name)
        tensors[filters] = tensors[filters] * scale
    return tensors
