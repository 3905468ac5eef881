"""A dataset to another one: what is to be done, by whom, and again after a fault."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, filterfalse
from typing import Protocol

from . import shards, storage
from .shards import Stats
from .sources import Part, cut, parts_of, printable
from .target import Target
from .transcode import How

MODES = ("incremental", "overwrite", "extend")
SHARD_SIZE = 10_000

_TRIES = 2
"""Of a shard that cannot be written."""

Report = Callable[[int, int, int], None]
"""Is told of progress: images, how many of them failed, bytes of their files."""


@dataclass(frozen=True)
class Job:
    """What a run is asked for.

    Attributes:
        sources: paths or URLs of folders, images, tar shards and Parquet files, also patterns.
        target: where the shards go.
        how: what is done with every image.
        shard_size: images of a shard at most; a tar stays one shard.
        image_column: of Parquet files; None for the one whose name tells.
        mode: `incremental` does what no shard of the target has, `overwrite` deletes its shards
            first, `extend` does everything, into new shards.
    """

    sources: tuple[str, ...]
    target: Target
    how: How
    shard_size: int = SHARD_SIZE
    image_column: str | None = None
    mode: str = MODES[0]


@dataclass(frozen=True)
class Task:
    """A part, and the number of the shard that it becomes."""

    number: int
    part: Part


@dataclass(frozen=True)
class Failure:
    """A shard that was not written, and why."""

    task: Task
    error: Exception


class Engine(Protocol):
    """Processes of this machine, or of a cluster."""

    def run(
        self, job: Job, tasks: Sequence[Task], report: Report, begin: Callable[[], None]
    ) -> tuple[Stats, list[Failure]]:
        """Write shards; return what is told of them, and those that could not be written.

        It calls `begin` once nothing keeps it from working.

        Raises:
            KeyboardInterrupt: it was broken off; what was done by then is written.
            Full: there is no room for more.
            WeightsError, TorchMissing: nothing can be coded at all.
        """
        ...


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        tasks: shards to write.
        done: images that earlier runs did, of whatever sources.
        failed: of them, those that failed.
        otherwise: descriptions of how else they were done than this run does it.
    """

    tasks: tuple[Task, ...]
    done: int
    failed: int = 0
    otherwise: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the files that are to be read."""
        return sum(task.part.size for task in self.tasks)


@dataclass(frozen=True)
class Totals:
    """What a run did.

    Attributes:
        stats: of all its shards together.
        failures: shards that could not be written.
        seconds: that it took.
    """

    stats: Stats
    failures: tuple[Failure, ...]
    seconds: float


def plan(job: Job) -> Plan:
    """Find what is left to do; nothing is changed.

    Raises:
        OSError: sources or target cannot be listed or read.
        DataError: a Parquet file has no images, or a shard of the target is damaged.
    """
    _check_target(job)
    images, others = parts_of(job.sources, job.shard_size, job.image_column, job.target.url)
    done = shards.read_done(job.target)
    taken = done.foreign | (done.numbers if job.mode != "overwrite" else frozenset())
    numbers = filterfalse(taken.__contains__, count())
    if job.mode == "extend":
        numbers = count(max(taken, default=-1) + 1)
    if job.mode != "incremental":
        done = shards.Done()  # all sources are to do
    images = [image for image in images if printable(image.url) not in done.sources]
    left: list[Part] = [*cut(images, job.shard_size)]
    known = done.parts
    left += [
        part.without(done.sources)
        for part in others
        if not {part.name, state_of(part)} & known  # 1.0.0 did not note the size
    ]
    tasks = tuple(Task(number, part) for number, part in zip(numbers, left, strict=False))
    otherwise = sorted(done.descriptions - {job.how.description})
    return Plan(tasks, len(done.sources), done.failed, tuple(otherwise))


def state_of(part: Part) -> str | None:
    """Return what tells a part from what it was before it grew; None of images."""
    return None if part.name is None else f"{part.name} ({part.size} bytes)"


def _check_target(job: Job) -> None:
    """Refuse a target that is no folder.

    Raises:
        OSError: it is none.
    """
    filesystem, path = storage.place_of(job.target.url)
    if storage.kind_of(filesystem, path) not in ("directory", None):
        raise NotADirectoryError(None, "is no folder, where shards could go", job.target.url)


def run(job: Job, tasks: Sequence[Task], engine: Engine, report: Report) -> Totals:
    """Do it; a shard that cannot be written is tried again when the others are done.

    Raises:
        OSError: another run writes to the target.
        KeyboardInterrupt, Full, WeightsError, TorchMissing: see `Engine.run`.
    """
    start = time.monotonic()
    stats, failures = Stats(), list[Failure]()
    begin = partial(_delete_shards, job) if job.mode == "overwrite" else _nothing
    with storage.locked(job.target.url):
        for _ in range(_TRIES):
            done, failures = engine.run(job, tasks, report, begin)
            begin = _nothing
            stats.merge(done)
            tasks = [failure.task for failure in failures]
            if not tasks:
                break
    return Totals(stats, tuple(failures), time.monotonic() - start)


def _delete_shards(job: Job) -> None:
    """Delete the shards of the target, once it is known that others can be made."""
    job.how.load()
    shards.delete_shards(job.target)


def _nothing() -> None:
    pass
