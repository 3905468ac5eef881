import os
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from hvae_codec.benchmarks import whole
from hvae_codec.benchmarks.codecs import PROGRAM, Codec, ours
from hvae_codec.benchmarks.peers import PEERS
from hvae_codec.benchmarks.run import read_image

IDLE = "import time; kept = bytearray({mib} << 20); time.sleep({seconds})"


def fail(image: Image.Image, setting: int) -> bytes:
    raise ValueError("too wide")


def test_a_codec_runs_in_fresh_processes_at_its_middle_setting(
    jpeg: Codec, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "RUNS", 2)
    runs = whole.measure(paths[0], [jpeg, replace(jpeg, name="twin")])
    assert [(run.round, run.codec, run.process) for run in runs] == [
        (number, name, process)
        for number in (0, 1)
        for name in ("jpeg", "twin")
        for process in ("encode", "decode")
    ]
    for run in runs:
        assert (run.setting, run.image) == (50, "a.png")
        assert run.megapixels == pytest.approx(40 * 24 / 1e6)
        assert run.seconds > 0
        assert 5 < run.peak_mib < 60  # an interpreter and Pillow, not NumPy and PyTorch as here


def test_a_slow_codec_is_started_no_more(
    jpeg: Codec, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "RUNS", 3)
    monkeypatch.setattr(whole, "ENOUGH_S", 1e-9)
    assert {run.round for run in whole.measure(paths[0], [jpeg])} == {0}


def test_a_system_that_does_not_tell_ends_no_benchmark(
    jpeg: Codec, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "wait4")  # as Windows
    monkeypatch.setattr(os, "posix_spawn", None)
    assert whole.measure(paths[0], [jpeg]) == ()


def test_our_program_also_tells_and_helps(shipped: Path, paths: list[Path]) -> None:
    runs = whole.measure(paths[0], [ours((10, 60, 90))])
    assert [run.process for run in runs] == ["encode", "decode", "info", "--help"]
    by_process = {run.process: run for run in runs}
    assert by_process["encode"].peak_mib > by_process["info"].peak_mib
    assert by_process["info"].peak_mib > by_process["--help"].peak_mib


@pytest.mark.parametrize("mib", [40, 400])
def test_the_peak_is_the_processs_own(mib: int) -> None:
    """Whatever this process holds, which the kernel would count as its child's."""
    here = bytearray(200 << 20)
    here[::4096] = b"x" * len(here[::4096])
    command = [sys.executable, "-S", "-c", IDLE.format(mib=mib, seconds=0)]
    _, peak = whole._watched(command)
    assert mib < peak < mib + 40


def test_the_seconds_are_the_processs_own() -> None:
    seconds, _ = whole._watched([sys.executable, "-S", "-c", IDLE.format(mib=0, seconds=0.5)])
    assert seconds > 0.5


def test_a_process_that_fails_says_why(jpeg: Codec, paths: list[Path]) -> None:
    with pytest.raises(OSError, match="its process ended with 1: ValueError: too wide"):
        whole.measure(paths[0], [replace(jpeg, encode=fail)])


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_peers_process_imports_no_more_than_it_needs(name: str, tmp_path: Path) -> None:
    codec = PEERS[name]()
    for call in (codec.encode, codec.decode):
        (tmp_path / "call").write_bytes(pickle.dumps(call))
        found = (
            "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'));"
            "print(*[n for n in ('PIL.Image', 'numpy', 'torch', 'click') if n in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", found, str(tmp_path / "call")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.split() == ["PIL.Image"]


def test_a_plain_install_has_what_is_required_and_no_extras() -> None:
    required = whole._required(PROGRAM)
    assert required >= {PROGRAM, "numpy", "onnxruntime", "pillow", "click"}
    assert not required & {"torch", "matplotlib", "compressai", "pytest"}
    size = whole.installed_mib()
    runtime = metadata.distribution("onnxruntime").locate_file("onnxruntime")
    largest = sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(str(runtime))
        for name in names
        if "__pycache__" not in folder
    )
    assert size and largest / 2**20 < size < 1500


def test_a_size_that_cannot_be_told_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata.PathDistribution, "files", None)
    assert whole.installed_mib() is None


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (9, 99, 9, 130)), ("I;16", 32896)])
def test_all_read_the_pixels_that_are_measured(
    mode: str,
    color: int | tuple[int, ...],
    shipped: Path,
    jpeg: Codec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ours kept alpha, which no peer gets here, and then could not write it as PPM."""
    path, was, read = tmp_path / "odd.png", whole._watched, list[Image.Image]()
    Image.new(mode, (24, 16), color).save(path)

    def watched(command: list[str]) -> tuple[float, float]:
        for word in command:
            if word.endswith(".png"):
                read.append(Image.open(word).copy())
        return was(command)

    monkeypatch.setattr(whole, "_watched", watched)
    whole.measure(path, [ours((60,)), jpeg])
    assert read == [read_image(path)] * 2


def test_the_size_of_an_install_without_one_of_its_distributions_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where onnxruntime-gpu stands in for onnxruntime."""
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-distribution"])
    assert whole.installed_mib() is None
