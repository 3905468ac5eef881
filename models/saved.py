"""Dictionaries that torch saved: checkpoints of training runs, and fitted priors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..codec.errors import WeightsError
from ..codec.files import replacing


def read_saved(path: Path, keys: set[str], what: str) -> dict[str, Any]:
    """Read a dictionary that torch saved, which has some keys.

    Raises:
        WeightsError: it is not `what` it should be.
    """
    try:
        with path.open("rb") as file:  # of a name torch would look at the suffix
            saved = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of other bytes the unpickler makes anything
        raise WeightsError(f"{path.name} is not a {what}") from error
    if not isinstance(saved, dict) or not keys <= saved.keys():
        raise WeightsError(f"{path.name} is not a {what} of this program")
    return saved


def write_saved(path: Path, saved: dict[str, Any]) -> None:
    """Write a dictionary with torch, whole or not at all.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with replacing(path) as part:
        try:
            with part.open("wb") as file:
                torch.save(saved, file)
        except (OSError, RuntimeError) as error:  # the latter hides what the system said
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error
