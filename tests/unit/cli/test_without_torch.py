"""What needs PyTorch says so in one line, and how to install it; the rest does without."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

ABSENT = """raise ModuleNotFoundError("No module named 'torch'", name="torch")\n"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command where PyTorch cannot be imported, in its own processes neither."""
    folder = tmp_path_factory.mktemp("absent")
    (folder / "torch.py").write_text(ABSENT)

    def run(
        *arguments: object, program: tuple[str, ...] = ("-m", "hvae_codec")
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *program, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


@pytest.fixture(scope="module")
def file(run: Run, shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small image that was encoded, and the image beside it."""
    path = tmp_path_factory.mktemp("without") / "a.png"
    Image.linear_gradient("L").convert("RGB").resize((48, 40)).save(path)
    done = run("encode", path, "--content", "photo")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    return path.with_suffix(".hvae")


def test_there_and_back(run: Run, file: Path) -> None:
    back = file.with_name("back.png")
    assert run("decode", file, back).returncode == 0
    assert Image.open(back).size == (48, 40)


REFUSED = {
    "encode a.png -o new.hvae --device cuda": "device cuda",
    "encode a.png -o new.hvae --tune psnr --effort 1": "effort 1",
    "encode a.png -o new.hvae --prior mixture": "the prior mixture",
    "decode a.hvae new.png --device cuda:0": "device cuda:0",
    "sample -o new.png --size 1x1 --device cuda": "device cuda",
    "sample -o new.png --size 1x1 --prior vamp": "the prior vamp",
}
"""Commands, and what of each needs PyTorch."""

EACH = """
import sys
from hvae_codec.cli import main

for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        assert end.code == 1
"""


def test_what_needs_torch_names_the_command_that_installs_it(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    before = sorted(file.parent.iterdir())
    done = run(*REFUSED, program=("-c", EACH))
    assert done.returncode == 0, done.stderr
    for line, wish in zip(done.stderr.splitlines(), REFUSED.values(), strict=True):
        assert line.endswith(
            f": {wish} needs PyTorch, which is not installed: pip install 'hvae-codec[torch]'"
        )
    assert sorted(file.parent.iterdir()) == before


def test_processes_need_no_torch(run: Run, file: Path) -> None:
    twin = file.with_name("twin.hvae")
    twin.write_bytes(file.read_bytes())
    done = run("decode", file, twin, "-j", 2, "--out-dir", file.with_name("out"))
    assert done.returncode == 0, done.stderr
    assert len([*file.with_name("out").iterdir()]) == 2
