import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from hvae_codec.benchmarks.peers import PEERS

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def lossy(codec: object, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let WebP stand in for the codec: BD-rates need something lossy."""
    webp = PEERS["webp"]()

    def encode(image: Image.Image, quality: int, *, effort: int, tune: str) -> bytes:
        return webp.encode(image, quality + effort + (tune == "eye"))

    monkeypatch.setattr("hvae_codec.codec.api.encode", encode)
    monkeypatch.setattr("hvae_codec.codec.api.decode", webp.decode)


@pytest.fixture
def benchmark(hvae: Run, photo: Path, tmp_path: Path) -> Run:
    """Run the command in this process, without times."""

    def run(*options: object) -> Result:
        quick = ("-j", 1, "--rounds", 0, "--qualities", "20,80")
        return hvae("benchmark", photo.parent, "-o", tmp_path / "results", *quick, *options)

    return run


def test_results_and_table(benchmark: Run, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = benchmark("--peers", "jpeg", "--window", "10,60", "--markdown", tmp_path / "b.md")
    assert result.exit_code == 0
    assert "BD-rate of hvae-codec" in result.stdout
    assert "over 10 to 60 dB" in result.stdout
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "hvae-codec-psnr.json",
        "jpeg.json",
        "summary.json",
        "images.csv",
        "index.html",
    }
    assert (out / "files" / "hvae-codec-psnr" / "20" / "photo.png.hvae").is_file()
    text = (tmp_path / "b.md").read_text()
    assert f"hvae-codec benchmark {tmp_path.name} -o" in text  # of the images, the folder's name
    assert "--qualities 20,80 --peers jpeg --window 10,60" in text


def test_a_report_that_cannot_be_written_is_told_before_the_work(
    benchmark: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvae_codec.benchmarks.run.run", None)  # nothing is measured
    result = benchmark("--peers", "", "--markdown", tmp_path / "photo.png" / "b.md")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/photo.png: ")
    assert len(result.stderr.splitlines()) == 1


def test_json_is_all_that_stdout_gets(benchmark: Run) -> None:
    found = json.loads(benchmark("--json", "--peers", "").stdout)
    assert [codec["name"] for codec in found["codecs"]] == ["hvae-codec-psnr"]
    assert "processor" in found["machine"]


def test_effort_is_one_more_codec(benchmark: Run) -> None:
    found = json.loads(benchmark("--json", "--peers", "", "--effort", 9).stdout)
    assert [codec["name"] for codec in found["codecs"]] == [
        "hvae-codec-psnr",
        "hvae-codec-psnr-effort-9",
    ]
    one, other = ([point["bpp"] for point in codec["points"]] for codec in found["codecs"])
    assert other > one


def test_the_tune_for_the_eye_is_one_more_codec(benchmark: Run) -> None:
    found = json.loads(benchmark("--json", "--peers", "", "--eye").stdout)
    assert "--qualities 20,80 --eye --peers ''" in found["command"]  # to be typed again
    assert [codec["name"] for codec in found["codecs"]] == ["hvae-codec-psnr", "hvae-codec"]
    scores = [point["ssimulacra2"] for point in found["codecs"][1]["points"]]
    assert all(a < b <= 100 for a, b in pairwise(scores))


def test_an_absent_peer_is_one_line(benchmark: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    result = benchmark("--peers", "jpeg,avif", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["machine"]["left out"].startswith("avif (Pillow ")
    (line,) = (line for line in result.stderr.splitlines() if "left out" in line)
    assert line.startswith("avif is left out: Pillow ")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--qualities", "5,x"), 2, "'5,x' is not a list"),
        (("--qualities", "5,101"), 2, "quality 101 is outside 0…100"),
        (("--peers", "gif"), 2, "peer 'gif' is not one of"),
        (
            ("--peers", "jpeg", "--anchor", "gif"),
            2,
            "anchor 'gif' is not one of hvae-codec-psnr, jpeg",
        ),
        (("--window", "40,28"), 2, "40 to 28 is no range"),
        (("--window", "28,inf"), 2, "28 to inf is no range"),
        (("--window", "40"), 2, "'40' is not a range"),
        (("-j", "0"), 2, "0 is not in the range"),
    ],
)
def test_misuse(benchmark: Run, options: tuple[str, ...], code: int, message: str) -> None:
    result = benchmark(*options)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_folder_without_images(hvae: Run, tmp_path: Path) -> None:
    result = hvae("benchmark", tmp_path, "-o", tmp_path / "r", "--peers", "")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}: no images in this folder\n"


def test_plots_do_not_come_among_the_images(hvae: Run, tmp_path: Path) -> None:
    result = hvae("benchmark", tmp_path, "-o", tmp_path, "--peers", "")
    assert result.exit_code == 2
    assert "name another -o" in result.stderr
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_does_not_exist(hvae: Run, tmp_path: Path) -> None:
    result = hvae("benchmark", tmp_path / "none", "-o", tmp_path / "r", "--peers", "")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/none: No such file or directory\n"
