import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hvae_codec.benchmarks.peers import PEERS

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def lossy(codec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let WebP stand in for the codec: BD-rates need something lossy."""
    monkeypatch.setattr("hvae_codec.codec.api.encode", PEERS["webp"].encode)
    monkeypatch.setattr("hvae_codec.codec.api.decode", PEERS["webp"].decode)


def test_results_and_table(hvae: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = hvae("benchmark", photo.parent, "-o", out, "--qualities", "20,80", "--peers", "jpeg")
    assert result.exit_code == 0
    assert "BD-rate of hvae-codec" in result.stdout
    names = {path.name for path in out.iterdir()}
    assert names >= {"hvae-codec.json", "jpeg.json", "summary.json", "images.csv", "rd.svg"}
    assert (out / "files" / "hvae-codec" / "20" / "photo.png.hvae").is_file()


def test_json_is_all_that_stdout_gets(hvae: Run, photo: Path, tmp_path: Path) -> None:
    result = hvae(
        "benchmark", photo.parent, "-o", tmp_path / "r", "--qualities", "20,80", "--json",
        "--peers", "",
    )  # fmt: skip
    assert json.loads(result.stdout)["codecs"][0]["name"] == "hvae-codec"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--qualities", "5,x"), 2, "'5,x' is not a list"),
        (("--qualities", "5,101"), 2, "quality 101 is outside 0…100"),
        (("--peers", "gif"), 2, "peer 'gif' is not one of"),
    ],
)
def test_misuse(hvae: Run, photo: Path, options: tuple[str, ...], code: int, message: str) -> None:
    result = hvae("benchmark", photo.parent, *options)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_folder_without_images(hvae: Run, tmp_path: Path) -> None:
    result = hvae("benchmark", tmp_path, "-o", tmp_path / "r", "--peers", "")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}: no images in this folder\n"


def test_a_folder_that_does_not_exist(hvae: Run, tmp_path: Path) -> None:
    result = hvae("benchmark", tmp_path / "none", "-o", tmp_path / "r", "--peers", "")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/none: No such file or directory\n"
