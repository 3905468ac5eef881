"""A weight file is refused before it decides a symbol."""

from pathlib import Path

import numpy as np
import pytest

from hvae_codec.bitstream import gaussian_tables
from hvae_codec.codec.weights import load_codec
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import WeightsError
from hvae_codec.models.weights import save_weights


def test_tables_that_are_not_as_many_as_it_takes_are_refused(
    tiny_model: DctVae, tmp_path: Path
) -> None:
    few = gaussian_tables(np.array([0.5, 2.0]), np.zeros(1))
    path = tmp_path / "few.safetensors"
    arrays = {name: getattr(few, name) for name in ("pmf", "start", "length")}
    save_weights(path, [tiny_model.frozen()], [0], arrays)
    with pytest.raises(WeightsError, match="has 2 tables"):
        load_codec(path)
