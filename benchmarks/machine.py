"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..codec.networks.threads import THREADS_VARIABLE, processors
from . import metrics

_PACKAGES = ("onnxruntime", "torch", "numpy", "pillow", "constriction", "compressai", "bjontegaard",
             *metrics.PACKAGES)  # fmt: skip

_THREADS = (THREADS_VARIABLE, "OMP_NUM_THREADS")


def describe() -> dict[str, str]:
    """Name processor, memory, system, threads, load and versions; never a host."""
    return {
        "processor": f"{_processor()}, {processors()} processors for this process",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "threads": ", ".join(f"{name} is {os.environ.get(name, 'not set')}" for name in _THREADS),
        "load before the run": _load(),
        "packages": ", ".join(_versions()),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{size / 2**30:.0f} GiB"


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f} on {processors()} processors (load average of a minute)"


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
