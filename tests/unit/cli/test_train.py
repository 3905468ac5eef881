"""What `train` and `export` refuse before anything is lost; training has its own tests."""

import dataclasses
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from hvae_codec.models.training.config import TrainConfig
from hvae_codec.models.training.state import settings_of
from hvae_codec.models.weight_models import Weights, load_weights
from tests.weight_files import save_without_graphs, without_graphs

Run = Callable[..., Result]


@pytest.fixture
def weights(integer_weights: Weights, tmp_path: Path) -> Iterator[Path]:
    """A weight file for PyTorch alone, as are all that the test writes."""
    with without_graphs():
        yield save_without_graphs(tmp_path / "tiny.safetensors", integer_weights)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "checkpoint.pt"
    path.parent.mkdir()
    path.write_bytes(b"days of work")
    return path


def test_a_run_of_a_name_that_no_folder_can_have_is_one_line(hvae: Run, tmp_path: Path) -> None:
    out = "n" * 300
    result = hvae("train", "--data", tmp_path, "--valid", tmp_path, "--out", out)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {out}: File name too long\n"


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
    assert f"{name} is an input and would be an output too" in result.stderr
    assert checkpoint.read_bytes() == b"days of work"
    assert prior.read_bytes() == b"hours of work"


def test_a_prior_does_not_replace_its_weights(hvae: Run, weights: Path, tmp_path: Path) -> None:
    before = weights.read_bytes()
    shared = "--weights", weights, "--data", tmp_path
    result = hvae("train-prior", "vamp", *shared, "--out", weights)
    assert result.exit_code == 2
    assert "is an input and would be an output too" in result.stderr
    assert weights.read_bytes() == before


def test_a_folder_is_no_output(hvae: Run, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shared = "--weights", weights, "--data", tmp_path
    assert hvae("train-prior", "vamp", *shared, "--out", folder).exit_code == 2
    assert hvae("export", weights, "-o", folder).exit_code == 2
    assert {*tmp_path.rglob("*")} == {folder, weights}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What `train` is asked to do, and does not."""
    found: list[TrainConfig] = []
    monkeypatch.setattr("hvae_codec.models.training.loop.train", found.append)
    return found


def test_options_of_a_resumed_run_are_those_it_was_started_with(
    hvae: Run, tmp_path: Path, asked: list[TrainConfig]
) -> None:
    folders = "--data", tmp_path, "--valid", tmp_path, "--out", tmp_path
    own = "--qualities", 0, 40, "--graphics", 0.5, "--rate", 1e-4, "--steps", 7, "--cooldown", 2
    assert hvae("train", *folders, *own).exit_code == 0
    (first,) = asked
    saved = {"config": {}, "qualities": (0, 40), "average": {}, "settings": settings_of(first)}
    torch.save(saved, tmp_path / "checkpoint.pt")
    assert hvae("train", *folders, "--resume", "--steps", 9, "--workers", 0).exit_code == 0
    assert asked[1] == dataclasses.replace(first, resume=True, steps=9, workers=0)
    assert hvae("train", *folders, "--resume", "--rate", 8e-4).exit_code == 0
    assert asked[2] == dataclasses.replace(first, resume=True, learning_rate=8e-4)


def test_photographs_are_cached_beside_the_weights_or_where_it_is_said(
    hvae: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def remember(data: Path, folder: Path) -> None:
        asked.append((data, folder))

    monkeypatch.setattr("hvae_codec.models.training.data.ImageCache", remember)
    monkeypatch.setattr(
        "hvae_codec.models.export.export", lambda found, out, cache: out.write_bytes(b"w")
    )
    monkeypatch.setattr("hvae_codec.models.export.gather", lambda sources, priors: None)
    monkeypatch.chdir(checkpoint.parent)
    exported = "export", "checkpoint.pt", "-o", "w", "--data", tmp_path
    assert hvae(*exported).exit_code == 0
    assert hvae(*exported, "--cache", tmp_path / "other").exit_code == 0
    assert asked == [(tmp_path, checkpoint.parent / "cache"), (tmp_path, tmp_path / "other")]
    refused = hvae("export", "checkpoint.pt", "-o", "w", "--cache", tmp_path / "other")
    assert refused.exit_code == 2
    assert "--cache is for the photographs of --data" in refused.stderr


@pytest.mark.slow
def test_a_fitted_prior_joins_a_weight_file(
    hvae: Run, weights: Path, photograph: np.ndarray, tmp_path: Path
) -> None:
    names = ("pictures", "v.pt", "w.safetensors", "again.safetensors")
    pictures, fitted, joined, taken = (tmp_path / name for name in names)
    pictures.mkdir()
    Image.fromarray(photograph[:288, :320]).save(pictures / "a.png")
    shared = "--weights", weights, "--data", pictures, "--out", fitted
    result = hvae("train-prior", "flow", *shared)
    assert result.exit_code == 2
    assert "'flow' is not one of 'masked-diffusion', " in result.stderr
    assert hvae("train-prior", "vamp", *shared, "--pseudo-inputs").exit_code == 2
    result = hvae("train-prior", "vamp", *shared, "--steps", 1)
    assert result.exit_code == 0, result.stderr
    assert hvae("export", weights, "-o", joined, "--prior", fitted).exit_code == 0
    assert hvae("export", weights, "-o", taken, "--prior", joined).exit_code == 0
    assert taken.read_bytes() == joined.read_bytes()
    before, after = load_weights(weights), load_weights(joined)
    assert tuple(after.context.priors) == ("masked-diffusion", "vamp")
    assert np.array_equal(before.pmfs.pmf, after.pmfs.pmf)
    for old, new in zip(
        (before.context, *before.latents), (after.context, *after.latents), strict=True
    ):
        for name, values in old.state_dict().items():
            assert torch.equal(new.state_dict()[name], values), name


def test_an_output_that_cannot_be_is_refused_before_the_work(
    hvae: Run, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "out"
    folders = "--data", tmp_path, "--valid", tmp_path
    for command in (
        ("train", *folders, "--out", below),
        ("train-prior", "vamp", "--weights", weights, "--data", tmp_path, "--out", below),
        ("export", weights, "--data", tmp_path, "-o", below),
    ):
        result = hvae(*command)
        assert result.exit_code == 1, result.stderr  # not of tmp_path, which has no photographs
        assert re.search("file(/out)?: (File exists|Not a directory)", result.stderr)


def test_a_fit_that_is_stopped_is_written(
    hvae: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = []

    def fit(*given: Callable[[], bool]) -> str:
        signal.raise_signal(signal.SIGTERM)
        stopped.append(given[-1]())
        return "so far"

    def save(out: Path, model: object, name: str, prior: str) -> None:
        out.write_text(prior)

    monkeypatch.setattr("hvae_codec.models.training.data.ImageCache", lambda data, cache: None)
    monkeypatch.setattr("hvae_codec.models.training.contexts.fit", fit)
    monkeypatch.setattr("hvae_codec.models.training.contexts.save_prior", save)
    shared = "--weights", weights, "--data", tmp_path
    out = tmp_path / "new" / "prior.pt"
    assert hvae("train-prior", "vamp", *shared, "--out", out).exit_code == 1
    assert stopped == [True]
    assert out.read_text() == "so far"


def test_weights_are_checked_before_photographs_are_read(
    hvae: Run, weights: Path, checkpoint: Path, tmp_path: Path
) -> None:
    bad = checkpoint.rename(tmp_path / "bad.pt")
    shared = "-o", tmp_path / "w", "--data", tmp_path  # which has none
    for sources in ((weights, "--prior", bad), (bad,)):
        result = hvae("export", *sources, *shared)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {bad}: bad.pt is not a ")
    result = hvae("export", bad, weights, *shared)
    assert result.exit_code == 2
    assert "a weight file is the only SOURCE, or none" in result.stderr


def test_a_short_run_does_not_cool_down_all_the_time(
    hvae: Run, tmp_path: Path, asked: list[TrainConfig]
) -> None:
    folders = "--data", tmp_path, "--valid", tmp_path, "--out", tmp_path
    for steps in (200_000, 1000, 1):
        assert hvae("train", *folders, "--steps", steps).exit_code == 0
    assert hvae("train", *folders, "--steps", 9, "--cooldown", 99, "--simulate", 0).exit_code == 0
    ends = [(config.cooldown, config.simulate) for config in asked]
    assert ends == [(10_000, 1_000), (500, 100), (0, 0), (99, 0)]


def test_a_model_that_is_started_from_has_its_own_size(
    hvae: Run, weights: Path, tmp_path: Path
) -> None:
    folders = "--data", tmp_path, "--valid", tmp_path, "--out", tmp_path
    result = hvae("train", *folders, "--start", weights, "--preset", "tiny")
    assert result.exit_code == 2
    assert "--preset is for a new model" in result.stderr
