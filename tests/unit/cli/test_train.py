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


@pytest.mark.parametrize("name", ["checkpoint.pt", "link.pt", "prior.pt"])
def test_weights_do_not_replace_what_they_are_made_from(
    hvae: Run, checkpoint: Path, name: str
) -> None:
    (checkpoint.parent / "link.pt").symlink_to(checkpoint)
    prior = checkpoint.with_name("prior.pt")
    prior.write_bytes(b"hours of work")
    result = hvae("export", checkpoint, "--prior", prior, "-o", checkpoint.parent / name)
    assert result.exit_code == 2
    assert f"{name} is an input itself" in result.stderr
    assert checkpoint.read_bytes() == b"days of work"
    assert prior.read_bytes() == b"hours of work"


def test_a_prior_does_not_replace_its_weights(
    hvae: Run, tiny_weights: Path, tmp_path: Path
) -> None:
    before = tiny_weights.read_bytes()
    shared = "--weights", tiny_weights, "--data", tmp_path
    result = hvae("train-prior", "vamp", *shared, "--out", tiny_weights)
    assert result.exit_code == 2
    assert "is an input itself" in result.stderr
    assert tiny_weights.read_bytes() == before


def test_a_folder_is_no_output(hvae: Run, tiny_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shared = "--weights", tiny_weights, "--data", tmp_path
    assert hvae("train-prior", "vamp", *shared, "--out", folder).exit_code == 2
    assert hvae("export", tiny_weights, "-o", folder).exit_code == 2
    assert [*tmp_path.rglob("*")] == [folder]


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
    assert result.exit_code == 2
    assert "'flow' is not one of 'masked-diffusion', " in result.stderr
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
