"""Time codecs honestly: each in a process of its own, taking turns, one call at a time.

`whole` times what a person waits for, processes that start, code one image, and end.

What else the machine does meets all codecs alike, start-up is a figure apart, and no codec's
memory counts as another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from . import whole
from .codecs import Codec, warm_up
from .run import read_image

T = TypeVar("T")

ENOUGH_S = 30.0
"""A codec that has been timed for so long begins no further round."""


@dataclass(frozen=True)
class Timing:
    """One image through one codec, once.

    Attributes:
        cpu_s: seconds of all threads together, for encoding and decoding.
    """

    codec: str
    setting: int
    round: int
    image: str
    megapixels: float
    encode_s: float
    decode_s: float
    cpu_s: float


@dataclass(frozen=True)
class Process:
    """What a codec's process costs beside its calls.

    Attributes:
        startup_s: from nothing to the first small image encoded and decoded.
        peak_mib: resident memory at its highest, Python included; None where the system does
            not tell.
    """

    startup_s: float
    peak_mib: float | None


@dataclass(frozen=True)
class Speed:
    """All that was timed.

    Attributes:
        timings: warm calls.
        processes: by codec, what the processes of its warm calls cost.
        runs: whole processes, each for one image.
        installed_mib: see `whole.installed_mib`.
    """

    timings: tuple[Timing, ...]
    processes: dict[str, Process]
    runs: tuple[whole.Run, ...] = ()
    installed_mib: float | None = None


def measure(
    paths: Sequence[Path], codecs: Sequence[Codec], rounds: int, *, progress: bool = False
) -> Speed:
    """Time every codec at each of its settings, once a round, with another image each round.

    After that, whole processes on the first image; see `whole.measure`.

    Args:
        paths: the images; rounds pick some, evenly spread.
        codecs: they take turns, setting by setting.
        rounds: how often, within `ENOUGH_S`; with 0 nothing is timed.
        progress: show a bar on stderr.

    Raises:
        OSError: a process was killed, or failed.
    """
    from tqdm import tqdm

    if rounds == 0:
        return Speed((), {})
    turns = _turns(codecs)
    timings = []
    with (
        ExitStack() as stack,
        tqdm(total=rounds * len(turns), unit="call", desc="times", disable=not progress) as bar,
    ):
        workers, startup_s = {}, {}
        for codec in codecs:
            start = time.perf_counter()
            pool = ProcessPoolExecutor(1, get_context("spawn"))
            workers[codec.name] = stack.enter_context(pool)
            _call(pool, codec.name, warm_up, codec, codec.settings[0])
            startup_s[codec.name] = time.perf_counter() - start
        spent_s = dict.fromkeys(workers, 0.0)
        for number in range(rounds):
            path = paths[number * len(paths) // rounds]
            taking_part = {name for name in workers if spent_s[name] < ENOUGH_S}
            for codec, setting in turns:
                if codec.name in taking_part:
                    call = _time, codec, setting, number, path
                    timings.append(_call(workers[codec.name], codec.name, *call))
                    spent_s[codec.name] += timings[-1].encode_s + timings[-1].decode_s
                bar.update()
        processes = {
            name: Process(startup_s[name], _call(worker, name, _peak_mib))
            for name, worker in workers.items()
        }
    runs = whole.measure(paths[0], codecs, progress=progress)
    return Speed(tuple(timings), processes, runs, whole.installed_mib())


def _call(
    pool: ProcessPoolExecutor, name: str, function: Callable[..., T], *arguments: object
) -> T:
    """Call a function in a codec's process."""
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        raise OSError(None, "its process was killed (too little memory?)", name) from None


def _turns(codecs: Sequence[Codec]) -> list[tuple[Codec, int]]:
    """Spread every codec's settings evenly over one list."""
    spread = [
        (index / len(codec.settings), codec, setting)
        for codec in codecs
        for index, setting in enumerate(codec.settings)
    ]
    return [(codec, setting) for _, codec, setting in sorted(spread, key=lambda turn: turn[0])]


def _time(codec: Codec, setting: int, number: int, path: Path) -> Timing:
    image = read_image(path)
    warm_up(codec, setting)  # some load the weights of a setting when it first comes up
    cpu_start, start = time.process_time(), time.perf_counter()
    data = codec.encode(image, setting)
    middle = time.perf_counter()
    codec.decode(data)
    end, cpu_end = time.perf_counter(), time.process_time()
    return Timing(
        codec=codec.name,
        setting=setting,
        round=number,
        image=path.name,
        megapixels=image.width * image.height / 1e6,
        encode_s=middle - start,
        decode_s=end - middle,
        cpu_s=cpu_end - cpu_start,
    )


def _peak_mib() -> float | None:
    """Read Linux's high-water mark; getrusage's would contain the parent's memory."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return None
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0]) / 1024 if marks else None
