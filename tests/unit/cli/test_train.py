"""What `train` and `export` refuse before anything is lost; training has its own tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

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
    assert f"{name} is the checkpoint itself" in result.stderr
    assert checkpoint.read_bytes() == b"days of work"


def test_the_photographs_of_a_checkpoint_in_the_current_folder_are_cached_beside_its_run(
    hvae: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def remember(data: Path, folder: Path) -> None:
        asked.append((data, folder))

    monkeypatch.setattr("hvae_codec.models.training.data.ImageCache", remember)
    monkeypatch.setattr(
        "hvae_codec.codec.export.export", lambda checkpoint, out, cache: out.write_bytes(b"w")
    )
    monkeypatch.chdir(checkpoint.parent)
    assert hvae("export", "checkpoint.pt", "-o", "w", "--data", tmp_path).exit_code == 0
    assert asked == [(tmp_path, tmp_path / "cache")]
