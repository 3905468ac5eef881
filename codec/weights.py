"""The weights that encode and decode: the shipped file, loaded once, with its tables checked."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..bitstream import Header, PmfTables, check_weights
from ..models.dct_vae import DctVae
from ..models.weights import load_weights

WEIGHTS_VARIABLE = "HVAE_CODEC_WEIGHTS"
"""Environment variable that names another weight file."""


@dataclass(frozen=True, eq=False)
class Codec:
    """A model and the tables that go with it."""

    model: DctVae
    tables: PmfTables
    digest: bytes

    def accept(self, header: Header) -> None:
        """Refuse a file that other weights wrote.

        Raises:
            WrongWeights: the header names others.
        """
        check_weights(header, self.digest)


def shipped_weights() -> Path:
    """Return the path of the weights in use: the package's own, unless the environment says."""
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return Path(named)
    with resources.as_file(resources.files("hvae_codec.models") / "weights") as folder:
        return folder / "base.safetensors"


def digest_in_use() -> bytes:
    """Return the sha256 of the weight file in use, without loading it.

    Raises:
        OSError: the file cannot be read.
    """
    return hashlib.sha256(shipped_weights().read_bytes()).digest()


def load_codec(path: Path | None = None) -> Codec:
    """Load a weight file, by default the one in use; each file once.

    Raises:
        OSError: the file cannot be read.
        WeightsError: it is not a weight file.
        BitstreamError: its tables are not tables.
    """
    return _load(path or shipped_weights())


@functools.cache
def _load(path: Path) -> Codec:
    weights = load_weights(path)
    return Codec(weights.model, PmfTables(**weights.tables), weights.digest)
