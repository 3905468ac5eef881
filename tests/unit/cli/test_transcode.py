"""The command for datasets: what it says, what it refuses, and what an end leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

pytest.importorskip("fsspec")
pq = pytest.importorskip("pyarrow.parquet")

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 40 images, which take a moment each, and one that is none."""
    (tmp_path / "in").mkdir()
    for k in range(40):
        Image.effect_noise((96, 64), 50 + k).convert("RGB").save(tmp_path / "in" / f"{k:02d}.png")
    (tmp_path / "in/x.jpg").write_bytes(b"no picture")
    return tmp_path / "in"


def transcode(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hvae_codec", "transcode", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def keys_in(folder: Path) -> list[str]:
    done = [path.name.replace("_stats.json", ".parquet") for path in folder.glob("*_stats.json")]
    return sorted(key for name in done for key in pq.read_table(folder / name)["key"].to_pylist())


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_what_is_done_and_the_next_does_the_rest(
    folder: Path, tmp_path: Path, shipped: Path, name: str
) -> None:
    command = [sys.executable, "-m", "hvae_codec", "transcode", str(folder), str(tmp_path / "out")]
    command += ["-j", "2", "--shard-size", "25"]
    child = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out/00000_stats.json").exists():
        assert child.poll() is None
        time.sleep(0.02)
    number = getattr(signal, name)
    (os.killpg if name == "SIGINT" else os.kill)(child.pid, number)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    assert errors.strip().endswith("Aborted!")
    before = len(keys_in(tmp_path / "out"))
    assert 25 <= before < 41
    again = transcode(folder, tmp_path / "out", "-j", "2", "--json")
    assert again.returncode == (1 if json.loads(again.stdout)["failed_to_transcode"] else 0)
    assert f"{before} images were done before" in again.stderr
    assert keys_in(tmp_path / "out") == [*(f"{k:02d}" for k in range(40)), "x"]
    assert not list((tmp_path / "out").glob(".*"))


def test_what_was_done_and_what_failed_is_told(folder: Path, tmp_path: Path, shipped: Path) -> None:
    for k in range(3, 40):
        (folder / f"{k:02d}.png").unlink()
    done = transcode(folder, tmp_path / "out", "-q", "20", "--measure", "--json", "-j", "1")
    assert done.returncode == 1
    first, second, *errors = done.stderr.splitlines()
    assert first.startswith("1 shard, ")
    assert second.startswith("4 images: 3 transcoded, 0 kept, 1 failed  ")
    (error,) = errors
    assert error.startswith("Error: 1 time: not an image in a format that Pillow knows, first of ")
    assert error.endswith("/in/x.jpg")
    told = json.loads(done.stdout)
    assert (told["count"], told["successes"], told["failed_shards"]) == (4, 3, [])
    rows = pq.read_table(tmp_path / "out/00000.parquet").to_pylist()
    assert [row["quality"] for row in rows] == [20, 20, 20, None]
    assert all(row["psnr_db"] > 10 for row in rows[:3])
    again = transcode(folder, tmp_path / "out", "-q", "20")
    assert "4 images were done before, 1 of which failed" in again.stderr
    assert "other options" not in again.stderr
    again = transcode(folder, tmp_path / "out", "-q", "30")
    assert "done by other options: encode quality=20" in again.stderr
    back = transcode(tmp_path / "out", tmp_path / "back", "--decode", "--to", "files", "--quiet")
    assert (back.returncode, back.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "back/00000").iterdir()) == [
        "00.png", "01.png", "02.png",
    ]  # fmt: skip


def test_of_several_pictures_one_is_chosen(tmp_path: Path) -> None:
    first, second = (Image.effect_noise((20, 20), 50) for _ in range(2))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    refused = transcode(tmp_path / "a.gif", tmp_path / "out", "--lossless")
    assert refused.returncode == 1
    assert "2 pictures, of which one can be kept; choose a page (--page N)" in refused.stderr
    done = transcode(tmp_path / "a.gif", tmp_path / "chosen", "--lossless", "--page", "1")
    assert done.returncode == 0
    assert done.stderr.endswith("left out: 1 more picture of 1\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in",), "Missing argument 'SRC...'"),
        (("in", "out", "-q", "50", "--size", "1k"), "exclude each other"),
        (("in", "out", "--decode", "-q", "50"), "--decode knows none of the options"),
        (("in", "out", "--decode", "--tune", "psnr"), "--decode knows none of the options"),
        (("in", "out", "--lossless", "--effort", "0"), "--lossless has no --effort"),
        (("in", "out", "--decode", "--format", "xyz"), "no image format is known for '.xyz'"),
        (("in", "out", "--format", "webp"), "--format is of images; it needs --decode"),
        (("in", "out", "--address", "here:1"), "it needs --engine ray"),
        (("in", "out", "--memory", "much"), "'much' is not a number of bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    hvae: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    result = hvae("transcode", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("out").exists()


def test_what_is_not_there_is_told_in_one_line(
    hvae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = hvae("transcode", "nothing", "out")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "nothing" in result.stderr
    (tmp_path / "empty").mkdir()
    result = hvae("transcode", "empty", "out")
    assert result.stderr == "Error: empty: no images, tar shards or Parquet files there\n"


ABSENT = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("braceexpand", "fsspec", "pyarrow", "ray", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv[:] = ["hvae-codec", *sys.argv[1:]]
runpy.run_module("hvae_codec", run_name="__main__")
"""


def test_a_missing_extra_is_named_in_one_line(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, "transcode", str(folder), str(tmp_path / "out")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'hvae-codec[batch]'" in done.stderr
    assert not (tmp_path / "out").exists()
