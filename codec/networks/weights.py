"""The weights that encode and decode, loaded once for each device."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...bitstream import Header, Prior, WrongWeights
from ..config import ModelConfig
from ..errors import WeightsError
from ..files import digest_of
from ..locks import lock
from ..options import DEFAULT_TUNE
from ..symbols.tables import Tables
from .fetching import fetch_weights
from .runtime import Runtime, make_runtime, torch_side
from .weight_file import WeightFile, read_weight_file
from .weight_paths import check_variable, digests_at_hand, shipped_weights, weights_named

_LOADING = lock()


@dataclass(frozen=True, eq=False)
class Codec:
    """A weight file and what runs its networks."""

    file: WeightFile
    tables: Tables
    runtime: Runtime

    @property
    def config(self) -> ModelConfig:
        """The sizes of every model."""
        return self.file.config

    @cached_property
    def research_priors(self) -> Any:  # noqa: ANN401
        """The priors of the context beside the masked diffusion.

        Raises:
            TorchMissing: PyTorch is not installed.
        """
        return torch_side("research_priors", "this prior of the context").ResearchPriors(self.file)

    def check_prior(self, prior: Prior) -> None:
        """Refuse a prior that cannot code here.

        Raises:
            WeightsError: the weights do not have it.
            TorchMissing: it needs PyTorch, which is not installed.
        """
        if prior.label not in self.file.priors:
            there = ", ".join(self.file.priors)
            raise WeightsError(f"the weights have no prior {prior.label}, only {there}")
        if prior is not Prior.MASKED_DIFFUSION:
            torch_side("research_priors", f"the prior {prior.label}")


def codec_of(file: WeightFile, device: str = "cpu") -> Codec:
    """Return a codec of a weight file.

    Raises:
        WeightsError, BoundError, TorchMissing: its networks cannot run on the device.
    """
    return Codec(file, Tables(file.pmfs), make_runtime(file, device))


def load_codec(path: Path | None = None, device: str = "cpu", *, tune: str = DEFAULT_TUNE) -> Codec:
    """Load a weight file, by default the one that encodes by a tune; once for each device.

    Raises:
        OSError: the file cannot be read.
        WeightsError: it is not a weight file, or the device is not there.
        BoundError: this machine's convolutions are not exact.
        TorchMissing: the device needs PyTorch, which is not installed.
    """
    if path is None:
        check_variable()
    with _LOADING:  # or two threads would load it twice
        path = path or shipped_weights(tune)
        return _load(path, digest_of(path), device, os.getpid())


def codec_for(header: Header, device: str = "cpu") -> Codec | None:
    """Load the weights that a file was written with; None where no tile needs any.

    Those of other versions may be fetched.

    Raises:
        WrongWeights: they are not at hand, and there is nowhere to fetch them from.
        OSError, WeightsError: as `load_codec`, or they cannot be fetched.
    """
    if not header.needs_weights:
        return None
    if path := weights_named(header.weights) or fetch_weights(header.weights):
        return load_codec(path, device)
    raise WrongWeights(header.weights, *digests_at_hand(len(header.weights)))


@functools.cache
def _read(path: Path, digest: bytes) -> WeightFile:
    return read_weight_file(path)


@functools.cache
def _load(path: Path, digest: bytes, device: str, process: int) -> Codec:
    """Load anew where the file was replaced, and in a process that was forked.

    Threads of its parent did not come along.
    """
    return codec_of(_read(path, digest), device)
