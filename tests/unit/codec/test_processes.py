"""A request to end waits for a step that must be whole, and is not lost."""

import signal
import subprocess
import sys

import pytest

from hvae_codec.codec.processes import undisturbed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

WHOLE = """
import os, signal
from hvae_codec.codec.processes import undisturbed

with undisturbed():
    os.kill(os.getpid(), signal.SIG{name})
    print("whole", flush=True)
print("further")
"""


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_what_asks_to_end_within_a_step_ends_behind_it(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHOLE.format(name=name)], capture_output=True, text=True
    )
    assert done.returncode == -signal.Signals[f"SIG{name}"]
    assert done.stdout == "whole\n"


def test_what_is_ignored_stays_ignored() -> None:
    """As by nohup: a process that is started within the step inherits it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undisturbed():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
