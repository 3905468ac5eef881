"""The engine of a cluster: Ray's tasks, one for every shard and one for every image.

A shard's task reads, hands out images and writes; it takes no core. Ray's own sinks name files by
numbers of their own and know no rows for what failed, so shards are written as everywhere else;
which of them are done, their stats files tell, and so Ray's checkpoints have nothing to add.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import one_line
from ..networks.threads import THREADS_VARIABLE
from .local import killed, work
from .reading import AHEAD_BYTES, read_ahead
from .row import Row
from .run import Failure, Job, Report, Task, state_of
from .samples import Outcome
from .shards import Stats, write_shard
from .transcode import How, Result

_CORES_A_SHARD = 32
"""Shards at a time: one for so many cores or fewer, and one more, so that no core waits for a last
image."""

_ASK_S = 0.5
"""Between two questions of a shard whether the run is broken off."""

_ANSWER_S = 20.0
"""For a cluster to answer a first knock."""

_RETRIES = 1
"""Of an image or a shard whose process or machine is lost."""


@dataclass(frozen=True)
class OnRay:
    """A cluster that Ray knows, or one that it starts on this machine and ends.

    Attributes:
        workers: images at a time; 0 for as many as the cluster has cores for.
        threads: cores of each.
        address: of the cluster; None for what RAY_ADDRESS says, and else this machine.
    """

    workers: int = 0
    threads: int = 1
    address: str | None = None

    def run(
        self, job: Job, tasks: Sequence[Task], report: Report, begin: Callable[[], None]
    ) -> tuple[Stats, list[Failure]]:
        """See `run.Engine`."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        stats, failures = Stats(), list[Failure]()
        with self._cluster():
            begin()
            cores = int(ray.cluster_resources().get("CPU", 1))
            at_once = self.workers or max(1, cores // self.threads)
            shards_at_once = 2 + at_once // _CORES_A_SHARD
            in_hand = 2 + 2 * -(-at_once // shards_at_once)
            shard = ray.remote(num_cpus=0, max_retries=_RETRIES)(_write_shard)
            end = ray.remote(num_cpus=0)(_End).remote()
            left, running = deque(tasks), dict[Any, Task]()
            try:
                while left or running:
                    while left and len(running) < shards_at_once:
                        task = left.popleft()
                        running[shard.remote(job, task, in_hand, self.threads, end)] = task
                    (ready,), _ = ray.wait([*running], num_returns=1)
                    task = running.pop(ready)
                    try:
                        done = ray.get(ready)
                    except RayTaskError as error:
                        if not isinstance(error.cause, OSError | ValueError):
                            raise error.cause from error
                        failures.append(Failure(task, error.cause))
                    except RayError as error:  # its machine was lost, again
                        failures.append(Failure(task, OSError(f"Ray: {error}")))
                    else:
                        stats.merge(done)
                        report(done.count, done.failed, task.part.size)
            except KeyboardInterrupt:
                end.come.remote()  # each shard writes what is done
                if running:
                    ray.wait([*running], num_returns=len(running), timeout=60)
                raise
        return stats, failures

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        import ray

        is_ours = not ray.is_initialized()
        if is_ours:
            address = self.address or os.environ.get("RAY_ADDRESS") or ""
            cores = self.workers * self.threads if not address and self.workers else None
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
            try:
                _check_reachable(address)
                ray.init(self.address, num_cpus=cores, **quiet)
            except Exception as error:  # a bare one where a start takes too long
                wish = f"reached at {address}" if address else "started"
                raise OSError(f"Ray cannot be {wish}: {one_line(error)}") from error
        try:
            yield
        finally:
            if is_ours:
                ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse a host that does not answer, for which Ray would wait for minutes.

    Raises:
        OSError: it does not.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


class _End:
    """Tells all shards whether the run is broken off.

    A task that is cancelled as it ends takes Ray's driver with it (2.60), so none is cancelled.
    """

    def __init__(self) -> None:
        self.is_here = False

    def come(self) -> None:
        self.is_here = True

    def has_come(self) -> bool:
        return self.is_here


def _write_shard(job: Job, task: Task, in_hand: int, threads: int, end: Any) -> Stats:  # noqa: ANN401
    """Write a shard, of whose images so many are in hand at a time, until the end comes."""
    outcomes = _outcomes(job.how, task, in_hand, threads)
    about = state_of(task.part), job.how.description
    try:
        return write_shard(job.target, task.number, _until(end, outcomes), *about)
    except KeyboardInterrupt:
        return Stats()


def _until(end: Any, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:  # noqa: ANN401
    """Yield outcomes; raise KeyboardInterrupt once the end has come."""
    import ray

    asked = time.monotonic()
    for outcome in outcomes:
        yield outcome
        if time.monotonic() - asked > _ASK_S:
            if ray.get(end.has_come.remote()):
                raise KeyboardInterrupt
            asked = time.monotonic()


def _outcomes(how: How, task: Task, in_hand: int, threads: int) -> Iterator[Outcome]:
    import ray

    one = ray.remote(_work).options(num_cpus=threads, memory=how.memory_bytes, max_retries=_RETRIES)
    how_ref = ray.put(how)
    waiting: deque[tuple[Any, Any, Any]] = deque()
    held = 0

    def first() -> Outcome:
        item, content, ref = waiting.popleft()
        return item, *_result(ref, content)

    items = task.part.items(how.memory_bytes)
    for _, item, content in read_ahead(how, ((None, item) for item in items)):
        waiting.append((item, content, one.remote(how_ref, content, threads)))
        held += item.held_bytes
        while len(waiting) > in_hand or held > AHEAD_BYTES:
            held -= waiting[0][0].held_bytes
            yield first()
    while waiting:
        yield first()


def _work(how: How, content: bytes | Row, threads: int) -> Result:
    os.environ[THREADS_VARIABLE] = str(threads)  # a runtime environment would start processes anew
    return work(how, content)


def _result(ref: Any, content: bytes | Row) -> Result:  # noqa: ANN401
    import ray
    from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from error
    except (WorkerCrashedError, OutOfMemoryError):
        return None, None, killed(content)
