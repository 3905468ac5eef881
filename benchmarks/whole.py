"""What a person waits for: whole processes, which start, code one image, and end.

Ours is the command that a person types. A peer's is a fresh Python process that imports what the
codec needs and nothing else. All read the pixels that `run` measures, as PNG: no codec has alpha,
metadata or deep samples to keep that others leave out. They write decoded pixels uncompressed
(PPM): no other format's compression counts.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory

from .codecs import PROGRAM, Codec
from .run import read_image

RUNS = 5
"""How often each process is started; medians count."""

ENOUGH_S = 60.0
"""A codec whose processes took so long together is started no more."""

# A process of its own, and small: the kernel counts what the parent had in memory as the child's.
_WATCH = """
import json, os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, kib / 1024]))
"""

_ENCODE = """
import pickle, sys
from PIL import Image
call, setting = pickle.load(open(sys.argv[1], "rb"))
image = Image.open(sys.argv[2]).convert("RGB")
open(sys.argv[3], "wb").write(call(image, setting))
"""

_DECODE = """
import pickle, sys
call, _ = pickle.load(open(sys.argv[1], "rb"))
call(open(sys.argv[2], "rb").read()).save(sys.argv[3])
"""


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        process: "encode", "decode", and of a codec with a program of its own "info" and "--help".
        seconds: from its start to its end.
        peak_mib: resident memory at its highest (VmHWM).
    """

    codec: str
    setting: int
    round: int
    image: str
    megapixels: float
    process: str
    seconds: float
    peak_mib: float


def measure(path: Path, codecs: Sequence[Codec], *, progress: bool = False) -> tuple[Run, ...]:
    """Start every codec's processes on an image, in turns, each at its middle setting.

    Returns:
        Nothing where the system does not tell what one process took, as Windows.

    Raises:
        OSError: a process failed.
    """
    from tqdm import tqdm

    if not hasattr(os, "wait4"):
        return ()
    image = read_image(path)
    megapixels = image.width * image.height / 1e6
    runs: list[Run] = []
    spent_s = dict.fromkeys((codec.name for codec in codecs), 0.0)
    with (
        TemporaryDirectory() as scratch,
        tqdm(total=RUNS * len(codecs), unit="round", desc="processes", disable=not progress) as bar,
    ):
        original = Path(scratch) / "original.png"
        image.save(original)
        for number in range(RUNS):
            for codec in codecs:
                bar.update()
                if spent_s[codec.name] >= ENOUGH_S:
                    continue
                setting = codec.settings[len(codec.settings) // 2]
                for process, command in _commands(codec, setting, original, Path(scratch)):
                    seconds, mib = _watched(command)
                    spent_s[codec.name] += seconds
                    runs.append(
                        Run(codec.name, setting, number, path.name, megapixels, process, seconds,
                            mib)
                    )  # fmt: skip
    return tuple(runs)


def _commands(codec: Codec, setting: int, path: Path, scratch: Path) -> list[tuple[str, list[str]]]:
    """Return the processes of a codec, each with its command line, in the order to start them."""
    file, back = scratch / f"coded{codec.suffix}", scratch / "back.ppm"
    if codec.program:
        places = {"encode": (path, file), "decode": (file, back), "info": (file, back),
                  "--help": (file, back)}  # fmt: skip
        return [(call, codec.program(call, setting, *both)) for call, both in places.items()]
    found = []
    for name, call, program, source, target in (
        ("encode", codec.encode, _ENCODE, path, file),
        ("decode", codec.decode, _DECODE, file, back),
    ):
        pickled = scratch / f"{codec.name}-{name}"
        pickled.write_bytes(pickle.dumps((call, setting)))
        arguments = [str(place) for place in (pickled, source, target)]
        found.append((name, [sys.executable, "-c", program, *arguments]))
    return found


def _watched(command: list[str]) -> tuple[float, float]:
    """Return the seconds and the MiB that a process took."""
    watcher = [sys.executable, "-I", "-S", "-c", _WATCH, *command]
    done = subprocess.run(watcher, capture_output=True, text=True)
    code, seconds, mib = json.loads(done.stdout) if done.returncode == 0 else (1, 0.0, 0.0)
    if code:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(None, f"its process ended with {code}: {last}", Path(command[0]).name)
    return seconds, mib


def installed_mib() -> float | None:
    """Return the size of this codec and of all that it requires, without extras.

    None where a distribution is missing (another stands in for it, or no installer was asked), or
    where an installer kept no list of its files.
    """
    try:
        sizes = [_distribution_bytes(name) for name in sorted(_required(PROGRAM) - {PROGRAM})]
    except metadata.PackageNotFoundError:
        return None
    if None in sizes:
        return None
    return (_own_bytes() + sum(size or 0 for size in sizes)) / 2**20


def _required(name: str) -> set[str]:
    """Name a distribution and all that it requires here, without extras."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found, left = set(), [name]
    while left:
        one = canonicalize_name(left.pop())
        if one in found:
            continue
        found.add(one)
        for text in metadata.requires(one) or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


def _distribution_bytes(name: str) -> int | None:
    """Add up the files that an installer says it wrote."""
    distribution = metadata.distribution(name)
    if distribution.files is None:
        return None
    places = [Path(str(distribution.locate_file(file))) for file in distribution.files]
    return sum(place.stat().st_size for place in places if place.is_file())


def _own_bytes() -> int:
    """Add up the files of this codec, which may be installed where it is developed."""
    home = __name__.partition(".")[0]
    files = [*Path(str(resources.files(home))).glob("*.*")]
    for room in ("bitstream", "codec", "models", "benchmarks", "cli"):
        for folder, below, names in os.walk(str(resources.files(f"{home}.{room}"))):
            below[:] = [name for name in below if name not in ("__pycache__", "results")]
            files += [Path(folder, name) for name in names]
    return sum(file.stat().st_size for file in files)
