from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hvae_codec.benchmarks import datasets

pytest.importorskip("pooch")
Run = Callable[..., Result]


def test_no_network_is_one_line(hvae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "KODAK_HOME", "http://127.0.0.1:9/")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = hvae("dataset", "kodak", "--to", tmp_path / "kodak")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: http://127.0.0.1:9/kodim01.png: cannot be reached; no network? (ConnectionError)\n"
    )


def test_what_lies_there_is_counted(
    hvae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "KODAK", {})
    result = hvae("dataset", "kodak", "--to", tmp_path)
    assert result.exit_code == 0
    assert result.stderr == f"{tmp_path}: 0 images of kodak, 0 fetched now\n"


def test_misuse(hvae: Run, tmp_path: Path) -> None:
    assert "'clic' is not one of 'kodak'" in hvae("dataset", "clic", "--to", tmp_path).stderr
    assert hvae("dataset", "kodak").exit_code == 2
