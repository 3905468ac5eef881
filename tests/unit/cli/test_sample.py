from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

Run = Callable[..., Result]


def test_a_picture_of_so_many_patches_is_written(hvae: Run, tmp_path: Path) -> None:
    path = tmp_path / "drawn.png"
    result = hvae("sample", "-o", path, "--size", "2x3", "--seed", 7, "-q", 40)
    assert result.exit_code == 0
    assert result.stderr == "drawn.png  96x64\n"
    with Image.open(path) as picture:
        assert picture.size == (96, 64)
        assert picture.getpixel((5, 5)) == (7, 40, 0)


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "2"),
        ("--size", "0x3"),
        ("--size", "64x65"),
        ("--seed", -1),
        ("--temperature", -1),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--prior", "flow"),
        ("--device", "gpu"),
        ("-q", 101),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    hvae: Run, tmp_path: Path, options: tuple[str, object]
) -> None:
    assert hvae("sample", "-o", tmp_path / "drawn.png", *options).exit_code == 2


def test_a_prior_that_is_not_there_is_one_line(hvae: Run, tmp_path: Path) -> None:
    result = hvae("sample", "-o", tmp_path / "drawn.png", "--prior", "vamp")
    assert result.exit_code == 1
    assert result.stderr.endswith("drawn.png: the weights have no prior vamp\n")
    assert not (tmp_path / "drawn.png").exists()


def test_a_device_that_is_not_there_is_one_line(hvae: Run, tmp_path: Path) -> None:
    result = hvae("sample", "-o", tmp_path / "drawn.png", "--device", "cuda:3")
    assert result.exit_code == 1
    assert result.stderr.endswith("drawn.png: device cuda:3 is not there\n")
    assert not (tmp_path / "drawn.png").exists()


def test_levels_are_drawn_only_beyond_levels(hvae: Run, coded: Path) -> None:
    result = hvae("decode", coded, "--sample")
    assert result.exit_code == 2
    assert "it needs --levels" in result.stderr
    assert hvae("decode", coded, "--levels", 0, "--sample", "--seed", 3).exit_code == 0
