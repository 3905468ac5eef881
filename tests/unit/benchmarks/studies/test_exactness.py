import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.benchmarks.studies import exactness
from hvae_codec.codec import api


@pytest.fixture
def files(shipped: Path, photograph: np.ndarray, tmp_path: Path) -> Path:
    """A file of one tile and a file of two."""
    for name, width in (("small", 64), ("wide", 288)):
        pixels = np.ascontiguousarray(photograph[:40, :width])
        (tmp_path / f"{name}.hvae").write_bytes(api.encode(pixels, 40))
    return tmp_path


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("runtime", ["onnx", "onnx-plain"])
def test_every_symbol_is_counted(
    files: Path, runtime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exactness.main(["decode", str(files), "--runtime", runtime])
    found = report(capsys)
    infos = [api.verify(path.read_bytes()) for path in sorted(files.glob("*.hvae"))]
    assert found["files"] == 2
    assert found["symbols"] == sum(info.symbols for info in infos)
    assert found["differing"] == 0
    pixels = np.load(files / "pixels.npy")
    assert pixels.size == 3 * 40 * (64 + 288)
    expected = np.concatenate(
        [np.asarray(api.decode(path)).ravel() for path in sorted(files.glob("*.hvae"))]
    )
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_pytorch_decodes_the_same_symbols(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    was = torch.backends.mkldnn.enabled
    try:
        exactness.main(["decode", str(files), "--runtime", "cpu", "--no-onednn", "--tf32"])
    finally:
        torch.backends.mkldnn.set_flags(was)
    assert report(capsys)["differing"] == 0


def test_a_tile_that_does_not_match_its_checks_counts_with_all_its_symbols(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "wide.hvae").unlink()
    path = files / "small.hvae"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1  # within the words of the only tile
    path.write_bytes(data)
    exactness.main(["decode", str(files)])
    found = report(capsys)
    assert found["differing"] == found["symbols"] > 0


def test_the_matrix_runs_what_the_machine_has(
    shipped: Path,
    photograph: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = []

    def stand_in(command: list[str], env: dict[str, str]) -> bytes:
        ran.append((command[3:], env.get("HVAE_CODEC_THREADS"), env.get("ONEDNN_MAX_CPU_ISA")))
        np.save(tmp_path / "out" / "pixels.npy", np.array([7, 7 + len(ran)], np.uint8))
        return json.dumps({"files": 1, "symbols": 9, "differing": 0, "seconds": 1.0}).encode()

    pictures, out = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    for name in ("a.png", "a.webp"):
        Image.fromarray(photograph[:32, :32]).save(pictures / name)
    monkeypatch.setattr(exactness, "subprocess", SimpleNamespace(check_output=stand_in))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(exactness, "QUALITIES", (10, 90))
    exactness.main(["matrix", str(pictures), "--out", str(out)])
    assert [path.name for path in sorted(out.glob("*.hvae"))] == [
        "a.png-010.hvae", "a.png-090.hvae", "a.webp-010.hvae", "a.webp-090.hvae",
    ]  # fmt: skip
    start = ["decode", str(out), "--runtime"]
    assert ([*start, "onnx"], "1", None) in ran
    assert ([*start, "onnx-plain"], "2", None) in ran
    assert any(command == [*start, "cpu"] and isa == "AVX2" for command, _, isa in ran)
    assert [command for command, *_ in ran[-2:]] == [[*start, "cuda"], [*start, "cuda", "--tf32"]]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ran) == len(exactness.CONFIGURATIONS) + 2
    assert "pixels within 0 of 255" in lines[0] and "pixels within 1 of 255" in lines[1]


def test_files_of_another_run_do_not_count(files: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has coded files, which would count: name another"):
        exactness.main(["matrix", str(tmp_path), "--out", str(files)])


def test_without_pytorch_there_is_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(exactness, "find_spec", lambda name: None)
    found = exactness.configurations()
    assert len(found) == 4
    assert all(c.runtime.startswith("onnx") for c in found.values())
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert exactness.configurations() == exactness.CONFIGURATIONS
