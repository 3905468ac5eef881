"""A process that was forked after encoding encodes and decodes as its parent does, and ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing
import numpy as np
import hvae_codec
from hvae_codec.codec import verify

picture = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
effort = {effort}

def again(data):
    assert not hvae_codec.verify(data).differing
    assert verify._plain_runtime.cache_info().misses == 2  # the parent's and its own
    same = hvae_codec.encode(picture, 20, effort=effort, tune="psnr", content="photo") == data
    return same, np.asarray(hvae_codec.decode(data))

data = hvae_codec.encode(picture, 20, effort=effort, tune="psnr", content="photo", verify=True)
expected = np.asarray(hvae_codec.decode(data))
with multiprocessing.get_context("fork").Pool(2) as pool:
    for same, decoded in pool.map_async(again, [data] * 3).get(200):
        assert same and np.array_equal(decoded, expected)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("effort", [0, 1])
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks(
    shipped: Path, effort: int
) -> None:
    script = SCRIPT.format(effort=effort)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=250)


ENDING = """
import os, sys
os.environ["HVAE_CODEC_THREADS"] = "2"
from hvae_codec.codec.networks.weights import load_codec

codec = load_codec()  # has made a session, which has a thread
if os.fork() == 0:
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_ends(shipped: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", ENDING], start_new_session=True)
    try:
        assert program.wait(40) == 0
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)


HELD = """
import os, threading, time
from hvae_codec.codec.locks import lock

held, started = lock(), threading.Event()

def hold():
    with held:
        started.set()
        time.sleep(0.5)

threading.Thread(target=hold).start()
started.wait()
if os.fork() == 0:
    os._exit(0 if held.acquire(timeout=5) else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert held.acquire(timeout=5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_finds_locks_free() -> None:
    subprocess.run([sys.executable, "-c", HELD], check=True, timeout=60)
