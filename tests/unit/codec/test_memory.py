import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hvae_codec.codec.memory import trim


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_goes_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not glibc")
    # small blocks lie in the heap; every eighth one lives on, and the heap cannot shrink
    blocks = [np.ones(15_000, np.float32) for _ in range(2_000)]  # 120 MB
    kept = blocks[::8]
    del blocks
    before = resident_bytes()
    trim()
    assert before - resident_bytes() > 50e6
    assert all(block.sum() == 15_000 for block in kept)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    trim()


ENCODE = """
import sys
import numpy as np
import hvae_codec

rng = np.random.default_rng(0)
noise = rng.normal(128, 40, (33, 1 + 32 * int(sys.argv[1])))
picture = np.kron(noise, np.ones((32, 32)))[:1024, : 1024 * int(sys.argv[1])]
hvae_codec.encode(picture.clip(0, 255).astype(np.uint8), content="photo")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_tiles_leave_no_memory_behind() -> None:
    """Five tiles of a megapixel took 790 MiB where each left what the next could not use."""
    command = [sys.executable, "-c", ENCODE, "5"]
    peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(peak) / 1024 < 650
