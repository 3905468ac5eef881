"""Where weight files are: the one that encodes, and others that decode; known by their hash."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from ..errors import WeightsError
from ..files import digest_of
from ..options import DEFAULT_TUNE
from .fetching import cache_folder

WEIGHTS_VARIABLE = "HVAE_CODEC_WEIGHTS"
"""Environment variable that names another weight file, to encode with and to decode."""

SHIPPED = {"eye": "eye.safetensors", "psnr": "base.safetensors"}
"""The file that encodes, of each tune; others beside them decode what earlier versions encoded."""


def shipped_weights(tune: str = DEFAULT_TUNE) -> Path:
    """Return the path of the weights that encode: the package's own, or the environment's."""
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return Path(named)
    return _folder() / SHIPPED[tune]


def check_variable() -> None:
    """Refuse weights that the environment names, but that cannot be.

    Raises:
        WeightsError: they are not there, or a folder.
    """
    if named := os.environ.get(WEIGHTS_VARIABLE):
        if not os.path.exists(named):
            raise WeightsError(f"{WEIGHTS_VARIABLE} is {named}, which does not exist")
        if os.path.isdir(named):
            raise WeightsError(f"{WEIGHTS_VARIABLE} is {named}, which is a folder")


def weights_named(prefix: bytes) -> Path | None:
    """Return the weight file at hand whose hash begins so."""
    return next((path for path, digest in _hashed() if digest.startswith(prefix)), None)


def digests_at_hand(length: int) -> list[bytes]:
    """Return the first bytes of the hash of each weight file at hand, once each."""
    return [*dict.fromkeys(digest[:length] for _, digest in _hashed())]


def _hashed() -> Iterator[tuple[Path, bytes]]:
    """Yield the weight files at hand with their hash; what cannot be read is passed over."""
    for path in weights_at_hand():
        with contextlib.suppress(OSError):
            yield path, digest_of(path)


def weights_at_hand() -> Iterator[Path]:
    """Return the path of each weight file: the one that encodes, others, and what was fetched."""
    first = shipped_weights()
    if first.is_file():
        yield first
    yield from (path for path in sorted(_folder().glob("*.safetensors")) if path != first)
    if fetched := cache_folder():
        yield from sorted(fetched.glob("*.safetensors"))


def _folder() -> Path:
    return Path(str(resources.files("hvae_codec.models"))) / "weights"
