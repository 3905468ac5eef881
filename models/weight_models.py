"""The models of a weight file in PyTorch: read, checked, and written with their graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from ..bitstream import PmfTables
from ..codec.config import ModelConfig
from ..codec.errors import WeightsError
from ..codec.files import replacing
from ..codec.networks.weight_file import (
    WeightFile,
    read_weight_file,
    serving_model,
    write_weight_file,
)
from .dct_vae import ContextModel, DctVae, LatentModel
from .graphs import export_graphs
from .integer import convert
from .networks.trunk import Trunk
from .priors import DEFAULT_PRIOR, make_empty_prior
from .storage import from_arrays, restored, stored, stored_type


@dataclass(frozen=True, eq=False)
class Weights:
    """The integer models of a weight file.

    Attributes:
        context: the context model, common to all.
        latents: one latent model a range of qualities, coarse qualities first.
        first_qualities: of each latent model.
        pmfs: the frozen tables.
    """

    context: ContextModel
    latents: tuple[LatentModel, ...]
    first_qualities: tuple[int, ...]
    pmfs: PmfTables

    def model_at(self, quality: int) -> DctVae:
        """Return the model that serves a quality."""
        number = serving_model(self.first_qualities, quality)
        return DctVae(self.context.config, self.context, self.latents[number])


def save_weights(path: Path, weights: Weights) -> None:
    """Write integer models, their graphs and their tables.

    Raises:
        BoundError: a network that decides symbols is no integer one, or could leave the exact
            range.
        WeightsError: a value does not fit its type, or a model has another size.
        OSError: the file cannot be written.
    """
    context = weights.context
    arrays: dict[str, np.ndarray] = {}
    convert.check(context)
    for name, tensor in context.state_dict().items():
        arrays |= stored(f"context.{name}", tensor)
    for number, model in enumerate(weights.latents):
        convert.check(model.trunk)
        if shapes_of(model) != shapes_of(weights.latents[0]):
            raise WeightsError(f"latent model {number} has another size than the first")
        for name, tensor in model.state_dict().items():
            arrays |= stored(f"{number}.{name}", tensor)
    data = write_weight_file(
        context.config,
        weights.first_qualities,
        tuple(context.priors),
        arrays,
        export_graphs(context, weights.latents[0]),
        weights.pmfs,
    )
    with replacing(path) as part:
        part.write_bytes(data)


def is_weight_file(path: Path) -> bool:
    """Tell by its first bytes, whatever its name is: of a checkpoint they are those of a zip.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"  # behind its length, the header in JSON


def load_weights(path: Path) -> Weights:
    """Read the models of a weight file, and prove the bounds of their integers again.

    Raises:
        OSError, WeightsError: as `read_weight_file`; or the tensors do not fit the configuration.
        BoundError: the integers could leave the exact range.
    """
    return models_of(read_weight_file(path), path.name)


def models_of(file: WeightFile, name: str = "the weight file") -> Weights:
    """Return the models that a weight file holds.

    Raises:
        WeightsError, BoundError: as `load_weights`.
    """
    for tensor, array in file.arrays.items():
        expected = stored_type(tensor)
        if array.dtype != expected:
            raise WeightsError(f"{name} has {tensor} in {array.dtype}, not in {expected}")
    count = len(file.first_qualities)
    prefixes = ("context.", *(f"{number}." for number in range(count)))
    if odd := sorted(tensor for tensor in file.arrays if not tensor.startswith(prefixes)):
        raise WeightsError(f"{name} has {odd[0]}, which belongs to no model")
    others = {p: make_empty_prior(p, file.config) for p in file.priors if p != DEFAULT_PRIOR}
    context = cast(
        ContextModel, convert.empty_integer(_made(ContextModel, file.config, name, others))
    )
    _load(context, file, "context.", name)
    convert.check(context)
    latents = []
    for number in range(count):
        model = _made(LatentModel, file.config, name)
        model.trunk = cast(Trunk, convert.empty_integer(cast(Trunk, model.trunk)))
        _load(model, file, f"{number}.", name)
        convert.check(model.trunk)
        model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        latents.append(model)
    return Weights(context, tuple(latents), file.first_qualities, file.pmfs)


def shapes_of(model: nn.Module) -> dict[str, torch.Size]:
    """Return the shapes of a model's tensors by name."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _made(kind: type, config: ModelConfig, name: str, *more: object) -> nn.Module:
    try:
        return kind(config, *more)
    except (TypeError, RuntimeError) as error:
        raise WeightsError(f"{name} has sizes that are not sizes: {error}") from error


def _load(module: nn.Module, file: WeightFile, prefix: str, name: str) -> None:
    """Load the tensors below a prefix, by the types of the module's own buffers."""
    try:
        module.load_state_dict(restored(from_arrays(file.arrays, prefix)))
    except (KeyError, RuntimeError) as error:
        raise WeightsError(f"{name} does not fit its own configuration") from error
