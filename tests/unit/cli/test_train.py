"""What `train` and `export` refuse before anything is lost; training has its own tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from hvae_codec.codec.weights import load_codec

Run = Callable[..., Result]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "checkpoint.pt"
    path.parent.mkdir()
    path.write_bytes(b"days of work")
    return path


def test_a_run_is_not_begun_over_another(hvae: Run, checkpoint: Path, tmp_path: Path) -> None:
    result = hvae("train", "--data", tmp_path, "--valid", tmp_path, "--out", checkpoint.parent)
    assert result.exit_code == 2
    assert "holds a run already: --resume goes on with it, or name another --out" in result.stderr
    assert checkpoint.read_bytes() == b"days of work"


@pytest.mark.parametrize("name", ["checkpoint.pt", "link.pt"])
def test_weights_do_not_replace_their_checkpoint(hvae: Run, checkpoint: Path, name: str) -> None:
    (checkpoint.parent / "link.pt").symlink_to(checkpoint)
    result = hvae("export", checkpoint, "-o", checkpoint.parent / name)
    assert result.exit_code == 2
    assert f"{name} is the source itself" in result.stderr
    assert checkpoint.read_bytes() == b"days of work"


def test_the_photographs_of_a_checkpoint_in_the_current_folder_are_cached_beside_its_run(
    hvae: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def remember(data: Path, folder: Path) -> None:
        asked.append((data, folder))

    monkeypatch.setattr("hvae_codec.models.training.data.ImageCache", remember)
    monkeypatch.setattr(
        "hvae_codec.codec.export.export", lambda sources, out, cache, priors: out.write_bytes(b"w")
    )
    monkeypatch.chdir(checkpoint.parent)
    assert hvae("export", "checkpoint.pt", "-o", "w", "--data", tmp_path).exit_code == 0
    assert asked == [(tmp_path, tmp_path / "cache")]


def test_a_fitted_prior_joins_a_weight_file(
    hvae: Run, tiny_weights: Path, photograph: np.ndarray, tmp_path: Path
) -> None:
    names = ("pictures", "v.pt", "w.safetensors", "again.safetensors")
    pictures, fitted, joined, taken = (tmp_path / name for name in names)
    pictures.mkdir()
    Image.fromarray(photograph[:288, :320]).save(pictures / "a.png")
    shared = "--weights", tiny_weights, "--data", pictures, "--out", fitted
    result = hvae("train-prior", "flow", *shared)
    assert result.exit_code == 1
    assert "tiny.safetensors: prior flow is not one of masked-diffusion, " in result.stderr
    assert hvae("train-prior", "vamp", *shared, "--pseudo-inputs").exit_code == 2
    assert hvae("train-prior", "vamp", *shared, "--steps", 1).exit_code == 0
    assert hvae("export", tiny_weights, "-o", joined, "--prior", fitted).exit_code == 0
    assert hvae("export", tiny_weights, "-o", taken, "--prior", joined).exit_code == 0
    assert taken.read_bytes() == joined.read_bytes()
    before, after = load_codec(tiny_weights), load_codec(joined)
    assert tuple(after.models[0].entropy.priors) == ("masked-diffusion", "vamp")
    assert np.array_equal(before.tables.pmf, after.tables.pmf)
    for name, values in before.models[0].state_dict().items():
        assert torch.equal(after.models[0].state_dict()[name], values), name
