"""A pack trains by itself: where this package is not installed, and nothing can be fetched."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from hvae_codec.codec.errors import DataError
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.export import load_checkpoints
from hvae_codec.models.training.pack import MAIN, write_pack
from tests.conftest import ROOT

SETTINGS = {
    "qualities": [[0, 60], [52, 100]],
    "grow": True,
    "rate": 8e-4,
    "crops": 2,
    "crop_px": 64,
    "graphics": 0.5,
}

BARE = """
import atexit, sys
from pathlib import Path

sys.modules["constriction"] = sys.modules["click"] = None

@atexit.register
def tell():
    if "hvae_codec" in sys.modules:
        with Path(__file__).with_name("places").open("a") as places:
            print(sys.modules["hvae_codec"].__file__, file=places)
"""
"""A `sitecustomize` that hides packages, and notes where the code came from."""


@pytest.fixture
def start(tiny_model: DctVae, tmp_path: Path) -> Path:
    path = tmp_path / "start.pt"
    average = {f"module.{name}": value for name, value in tiny_model.state_dict().items()}
    average["n_averaged"] = torch.tensor(0)
    config = tiny_model.config.to_json()
    saved = {"config": config, "qualities": (0, 100), "seconds": 0.0, "average": average}
    torch.save(saved | {"optimiser": torch.zeros(5_000_000)}, path)
    return path


def test_a_pack_holds_what_fits_and_no_more(start: Path, folder: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.zip", tmp_path / "part.zip"
    assert write_pack(whole, folder, folder, [start], SETTINGS, 50_000_000) == 4
    room = whole.stat().st_size - 20_000
    assert 0 < write_pack(part, folder, folder, [start], SETTINGS, room) < 4
    assert part.stat().st_size <= room
    with ZipFile(whole) as pack:
        names = pack.namelist()
    assert "code/hvae_codec/models/training/loop.py" in names
    assert not [name for name in names if "/cli/" in name or "/benchmarks/" in name]
    with pytest.raises(DataError, match="no photograph fits into a pack of 5000 bytes: the small"):
        write_pack(tmp_path / "none.zip", folder, folder, [start], SETTINGS, 5000)
    assert not (tmp_path / "none.zip").exists()


def test_of_a_checkpoint_a_pack_has_the_averages_alone(
    start: Path, tiny_model: DctVae, folder: Path, tmp_path: Path
) -> None:
    write_pack(tmp_path / "pack.zip", folder, folder, [start], SETTINGS, 50_000_000)
    with ZipFile(tmp_path / "pack.zip") as pack:
        packed = Path(pack.extract("start/0.pt", tmp_path))
    assert packed.stat().st_size < start.stat().st_size / 8
    (model,), _ = load_checkpoints([packed])
    for name, values in tiny_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], values, rtol=2**-10, atol=1e-6)


def test_photographs_of_before_1980_are_packed(start: Path, folder: Path, tmp_path: Path) -> None:
    for image in folder.iterdir():
        os.utime(image, (0, 0))  # as some archives have them, and no zip
    assert write_pack(tmp_path / "pack.zip", folder, folder, [start], SETTINGS, 50_000_000) == 4


@pytest.mark.slow
def test_a_minute_on_a_cpu(start: Path, folder: Path, tmp_path: Path) -> None:
    pack, out, site = tmp_path / "pack.zip", tmp_path / "out", tmp_path / "site"
    write_pack(pack, folder, folder, [start], SETTINGS, 50_000_000)
    site.mkdir()
    (site / "sitecustomize.py").write_text(BARE)
    done = subprocess.run(
        [sys.executable, pack, "--minutes", "1", "--out", out],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    places = set((site / "places").read_text().splitlines())
    assert places and not any(str(ROOT) in place for place in places)
    assert {path.name for path in out.iterdir()} == {
        "0-60.pt",
        "0-60.jsonl",
        "52-100.pt",
        "52-100.jsonl",
    }
    models, firsts = load_checkpoints([out / "0-60.pt", out / "52-100.pt"])
    assert firsts == (0, 56)
    assert all(model.config.latent_channels == 192 for model in models)
    for name in ("0-60", "52-100"):
        rows = [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] >= 1 and rows[-1]["rows"]


CHILD = """
import signal, sys, time
from pathlib import Path

def save(*_):
    time.sleep(0.3)
    (out / "saved").write_text(str(Path(sys.argv[1]).exists()))
    sys.exit(0)

out = Path(sys.argv[-1])
signal.signal(signal.SIGTERM, save)
(out / "begun").touch()
time.sleep(60)
"""


def test_a_pack_that_is_stopped_saves_and_leaves_nothing(tmp_path: Path) -> None:
    pack, out, scratch = (tmp_path / name for name in ("pack.zip", "out", "scratch"))
    with ZipFile(pack, "w") as file:
        file.writestr("__main__.py", MAIN)
        for package in ("", "models/", "models/training/"):  # so that no installed one is taken
            file.writestr(f"code/hvae_codec/{package}__init__.py", "")
        file.writestr("code/hvae_codec/models/training/packed.py", CHILD)
    out.mkdir()
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen([sys.executable, "-S", pack, "--out", out], env=environment)
    until = time.monotonic() + 30
    while not (out / "begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.terminate()
    assert process.wait(30) == 0
    assert (out / "saved").read_text() == "True"
    assert not [*scratch.iterdir()]
