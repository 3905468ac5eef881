"""Weight files made quickly, and made wrong."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hvae_codec.models.weight_models import Weights, save_weights


@contextmanager
def without_graphs() -> Iterator[None]:
    """Leave the graphs out of weight files that are written: they take a minute to export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hvae_codec.models.weight_models.export_graphs", lambda *models: {})
        yield


def save_without_graphs(path: Path, weights: Weights) -> Path:
    """Save weights for PyTorch alone."""
    with without_graphs():
        save_weights(path, weights)
    return path


def rewritten(source: Path, target: Path, change: Mapping[str, object]) -> Path:
    """Copy a weight file with other tensors (arrays) or another description; None leaves one out.

    What does not exist yet is added.
    """
    tensors = load_file(source)
    with safe_open(source, "np") as opened:
        described = json.loads(opened.metadata()["hvae_codec"])
    for name, value in change.items():
        if isinstance(value, np.ndarray):
            tensors[name] = value
        elif value is not None:
            described[name] = value
        elif name in tensors:
            del tensors[name]
        else:
            del described[name]
    save_file(tensors, target, {"hvae_codec": json.dumps(described)})
    return target
