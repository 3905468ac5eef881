"""The weights that encode and decode: found by hash, loaded once, with their tables checked."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import cast

import torch

from ..bitstream import Header, PmfTables, Prior, WrongWeights, check_weights
from ..models.config import ModelConfig
from ..models.dct_vae import DctVae
from ..models.errors import WeightsError
from ..models.fixed_point import check_arithmetic
from ..models.priors.interface import ContextPrior, Norm
from ..models.weights import load_weights, range_of
from .tables import TABLE_COUNT

WEIGHTS_VARIABLE = "HVAE_CODEC_WEIGHTS"
"""Environment variable that names another weight file, to encode with and to decode."""

SHIPPED = "base.safetensors"
"""The file that encodes; others beside it decode what earlier versions encoded."""

_LOADING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Codec:
    """The models of a weight file and the tables that go with them.

    Attributes:
        models: one a range of qualities, coarse ones first.
        begins: the first quality of each.
        tables: of all.
        digest: sha256 of the file.
    """

    models: tuple[DctVae, ...]
    begins: tuple[int, ...]
    tables: PmfTables
    digest: bytes

    @property
    def config(self) -> ModelConfig:
        """The sizes of every model."""
        return self.models[0].config

    @property
    def norm(self) -> Norm:
        """The norm of the context, which all models have in common."""
        return cast(Norm, self.models[0].entropy.norm)

    @property
    def priors(self) -> dict[str, ContextPrior]:
        """The priors of the context by name, which all models have in common."""
        return cast(dict[str, ContextPrior], dict(self.models[0].entropy.priors.items()))

    def model_at(self, quality: int) -> DctVae:
        """Return the model that serves a quality."""
        return self.models[range_of(quality, self.begins)]

    def accept(self, header: Header) -> None:
        """Refuse a file that other weights wrote.

        Raises:
            WrongWeights: the header names others.
        """
        check_weights(header, self.digest)

    def float_model_at(self, quality: int) -> DctVae:
        """Return the model that serves a quality in float, whose gradient a search follows."""
        return _in_float(self.model_at(quality))

    def prior(self, kind: Prior) -> ContextPrior:
        """Return one of the priors of the context.

        Raises:
            WeightsError: the weights do not have it.
        """
        if kind.label not in self.priors:
            there = ", ".join(self.priors)
            raise WeightsError(f"the weights have no prior {kind.label}, only {there}")
        return self.priors[kind.label]


@functools.lru_cache(maxsize=4)  # one more than the shipped file has models
def _in_float(model: DctVae) -> DctVae:
    thawed = model.thawed().eval().requires_grad_(False)
    return thawed.to(memory_format=torch.channels_last)


def shipped_weights() -> Path:
    """Return the path of the weights that encode: the package's own, or the environment's."""
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return Path(named)
    return _folder() / SHIPPED


def load_codec(path: Path | None = None) -> Codec:
    """Load a weight file, by default the one that encodes; each file once.

    Raises:
        OSError: the file cannot be read.
        WeightsError: it is not a weight file.
        BoundError: this machine's convolutions are not exact.
        BitstreamError: its tables are not tables.
    """
    with _LOADING:  # or two threads would load it twice
        return _load(path or shipped_weights())


def codec_for(header: Header) -> Codec:
    """Load the weights that a file was written with.

    Raises:
        WrongWeights: they are not at hand.
        OSError, WeightsError, BitstreamError: as `load_codec`.
    """
    for path in _at_hand():
        if _digest(path).startswith(header.weights):
            return load_codec(path)
    raise WrongWeights(header.weights, _digest(shipped_weights())[: len(header.weights)])


def is_known(header: Header) -> bool:
    """Tell whether the weights that a file was written with are at hand, without loading them."""
    return any(_digest(path).startswith(header.weights) for path in _at_hand())


def _at_hand() -> Iterator[Path]:
    yield from (path for path in [shipped_weights()] if path.is_file())
    yield from sorted(_folder().glob("*.safetensors"))


def _folder() -> Path:
    return Path(str(resources.files("hvae_codec.models"))) / "weights"


@functools.cache
def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@functools.cache
def _load(path: Path) -> Codec:
    check_arithmetic()
    weights = load_weights(path)
    tables = PmfTables(**weights.tables)
    if len(tables) != TABLE_COUNT:
        expected = f"this program codes by {TABLE_COUNT}"
        raise WeightsError(f"{path.name} has {len(tables)} tables, {expected}")
    return Codec(weights.models, weights.begins, tables, weights.digest)
