"""How many threads compute."""

from __future__ import annotations

import math
import os
from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what share of the processors a container may use."""

THREADS_VARIABLE = "HVAE_CODEC_THREADS"
"""Environment variable: how many threads compute, by default as many as there are processors, and
no more than `USUAL_THREADS`."""

USUAL_THREADS = 16
"""Each of some seventy graphs has threads of its own. On 64 processors they would be 4400: more
than many a container allows, where ONNX Runtime then waits for ever for those it did not get."""

MOST_THREADS = 1024


def thread_count() -> int:
    """Return how many threads compute a graph.

    Raises:
        ArgumentError: the environment names no number of them.
    """
    named = os.environ.get(THREADS_VARIABLE)
    if not named:
        return min(processors(), USUAL_THREADS)
    if not named.isdecimal() or not 1 <= int(named) <= MOST_THREADS:
        from ...bitstream import ArgumentError  # --help does not wait for it

        raise ArgumentError(f"{THREADS_VARIABLE} is {named!r}, not a number in 1...{MOST_THREADS}")
    return int(named)


def spin_less() -> None:
    """Let PyTorch's threads wait without spinning; before PyTorch is loaded.

    By default they spin for so long that where another program holds a core they hardly do
    anything else.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def processors() -> int:
    """Count the processors that this process may use, those of its container at most."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _granted())
    return os.cpu_count() or 1


def _granted() -> int:
    """Return how many processors' time a container has: `--cpus` of Docker, a limit of Kubernetes.

    More threads use up their share of each tenth of a second at once, and sleep for the rest.
    """
    try:
        if (CONTROL_GROUP / "cpu.max").exists():
            quota, period = (CONTROL_GROUP / "cpu.max").read_text("ascii").split()
        else:  # version 1 of control groups
            quota = (CONTROL_GROUP / "cpu/cpu.cfs_quota_us").read_text("ascii")
            period = (CONTROL_GROUP / "cpu/cpu.cfs_period_us").read_text("ascii")
        share = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no group, or "max"
        return MOST_THREADS
    return math.ceil(share) if share > 0 else MOST_THREADS
