"""What a process loads and holds: counted, so that a slow machine has no say in it."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json
import sys
from pathlib import Path


def loaded():
    names = {name.partition(".")[0] for name in sys.modules if not name.startswith("_")}
    return sorted(names - sys.stdlib_module_names - {"hvae_codec"} - before)


def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


before = {name.partition(".")[0] for name in sys.modules}  # what an installation loads anyhow
import hvae_codec

found = {"import": loaded(), "own": [n for n in sys.modules if n.split(".")[0] == "hvae_codec"]}
from hvae_codec import cli

cli.main(["encode", "-h"], standalone_mode=False)
found["help"] = loaded()
import numpy as np

rows, columns = np.mgrid[:512, :768]
waves = [np.sin(rows / 9 + k) + np.sin(columns / (5 + k)) for k in range(3)]
data = hvae_codec.encode((128 + 40 * np.stack(waves, 2)).astype(np.uint8))
hvae_codec.decode(data)
found |= {"coding": loaded(), "modules": len(sys.modules)}
if sys.platform.startswith("linux"):
    found["peak_mib"] = peak_mib()
print(json.dumps(found))
"""


@cache
def found() -> dict[str, Any]:
    reticent = {"ORT_DISABLE_TELEMETRY", "CI", "GITHUB_ACTIONS"}  # what lets ONNX Runtime be so
    settings = {name: value for name, value in os.environ.items() if name not in reticent}
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True, text=True, env=settings | {"XDG_CACHE_HOME": cache},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]) | {"kept": os.listdir(cache)}


def test_importing_the_package_loads_nothing(shipped: Path) -> None:
    assert found()["import"] == []
    assert found()["own"] == ["hvae_codec"]


def test_help_loads_click_alone(shipped: Path) -> None:
    assert found()["help"] == ["click"]


def test_coding_loads_what_a_plain_install_brings(shipped: Path) -> None:
    plain = {"PIL", "click", "constriction", "numpy", "onnxruntime", "safetensors"}
    assert set(found()["coding"]) - {"cython_runtime"} == plain
    assert found()["modules"] < 600


def test_nothing_is_kept_to_be_reported(shipped: Path) -> None:
    """ONNX Runtime would keep a number of the machine, and what it has not sent yet."""
    assert found()["kept"] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_photograph_takes_little_memory(shipped: Path) -> None:
    """Encoding and decoding 768x512 pixels in one process takes some 270 MiB.

    With AVX-512 it is 370: ONNX Runtime's blocked layouts are wider there.
    """
    assert found()["peak_mib"] < 400
