"""What `pack` refuses; what it writes has its own tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    return folder


@pytest.fixture
def start(tmp_path: Path, tiny_weights: Path) -> Path:
    return Path(shutil.copy(tiny_weights, tmp_path / "start.safetensors"))


def test_a_pack_is_told_of(hvae: Run, folder: Path, start: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.zip"
    result = hvae("pack", out, "--data", folder, "--valid", folder, "--start", start)
    assert result.exit_code == 0, result.stderr
    assert "bytes  1 photograph\n" in result.stderr
    assert out.stat().st_size < 60e6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--qualities", 60, 40), "60 40 is no range"),
        (("--crop-px", 100), "100 is not a multiple of 32"),
        (("--start", "START"), "2 times --start for 3 times --qualities"),
    ],
)
def test_what_makes_no_sense_is_refused(
    hvae: Run, folder: Path, start: Path, tmp_path: Path, options: tuple, reason: str
) -> None:
    named = [start if option == "START" else option for option in options]
    result = hvae(
        "pack", tmp_path / "p.zip", "--data", folder, "--valid", folder, "--start", start, *named
    )
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (tmp_path / "p.zip").exists()


def test_a_pack_does_not_replace_its_start(
    hvae: Run, folder: Path, start: Path, tiny_weights: Path
) -> None:
    result = hvae("pack", start, "--data", folder, "--valid", folder, "--start", start)
    assert result.exit_code == 2
    assert "is an input and would be an output too" in result.stderr
    assert start.read_bytes() == tiny_weights.read_bytes()


def test_what_no_run_could_start_from_is_refused(hvae: Run, folder: Path, tmp_path: Path) -> None:
    picture = next(folder.glob("*.png"))
    shared = "--data", folder, "--valid", folder, "--start", picture
    result = hvae("pack", tmp_path / "p.zip", *shared)
    assert result.exit_code == 1
    assert picture.name in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "p.zip").exists()


def test_a_pack_without_room_is_one_line(hvae: Run, folder: Path, start: Path) -> None:
    out = start.with_name("p.zip")
    shared = "--data", folder, "--valid", folder, "--start", start
    result = hvae("pack", out, *shared, "--megabytes", 0.001)
    assert result.exit_code == 1
    assert "no photograph fits into a pack of 1000 bytes" in result.stderr
    assert not out.exists()
