"""The engine of one machine: processes that code, a process that reads and writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from .. import processes
from ..errors import ModelError, one_line
from .reading import AHEAD_BYTES, read_ahead
from .row import FAILED, Row
from .run import Failure, Job, Report, Task, state_of
from .samples import Outcome
from .shards import Stats, write_shard
from .sources import Item
from .transcode import How, Result, transcode_bytes

KILLED = "its process was killed (too little memory?)"

_FAILURES = 3
"""So many shards that cannot be written, one after the other, end a run."""


_Job = tuple[bytes | Row, int]
"""What was read, or why not; and the bytes that wait for it."""


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    All shards share them, and so none waits for the last image of another.

    Attributes:
        workers: how many. Each holds one image at a time.
        at_begin: called in each process before its first image.
    """

    workers: int
    at_begin: Callable[[], None] | None = None

    def run(
        self, job: Job, tasks: Sequence[Task], report: Report, begin: Callable[[], None]
    ) -> tuple[Stats, list[Failure]]:
        """See `run.Engine`."""
        stats, failures = Stats(), list[Failure]()
        in_a_row = 0
        begin()
        with closing(self._outcomes(job.how, tasks, failures)) as outcomes:
            for task, of_task in _by_task(tasks, outcomes):
                reported = _reporting(of_task, report)
                try:
                    about = state_of(task.part), job.how.description
                    stats.merge(write_shard(job.target, task.number, reported, *about))
                    in_a_row = 0
                except (OSError, ValueError) as error:
                    failures.append(Failure(task, error))
                    in_a_row += 1
                    if in_a_row == _FAILURES:
                        raise
        return stats, failures

    def _outcomes(
        self, how: How, tasks: Sequence[Task], failures: Sequence[Failure]
    ) -> Generator[tuple[Task, Outcome], None, None]:
        items = _items(tasks, failures, how.memory_bytes)
        in_hand: deque = deque()

        def jobs() -> Iterator[_Job]:
            for task, item, content in read_ahead(how, items):
                in_hand.append((task, item))
                yield content, item.held_bytes

        results = processes.results(
            partial(_work, how),
            jobs(),
            self.workers,
            lambda job: (None, None, killed(job[0])),
            ahead=2 * self.workers + 2,
            size=lambda job: job[1],
            ahead_bytes=AHEAD_BYTES,
            at_begin=self.at_begin,
        )
        with closing(results):
            for data, suffix, row in _of_engine(results):
                task, item = in_hand.popleft()
                yield task, (item, data, suffix, row)


def _items(
    tasks: Sequence[Task], failures: Sequence[Failure], most_bytes: int
) -> Iterator[tuple[Task, Item]]:
    """Yield the items of tasks, but for the rest of those that failed meanwhile."""
    for task in tasks:
        for item in task.part.items(most_bytes):
            if any(failure.task is task for failure in failures):
                break
            yield task, item


def _of_engine(results: Iterator[Result]) -> Iterator[Result]:
    """Yield results, so that what keeps processes from starting is not taken for a full disk.

    Raises:
        ModelError: the machine refuses processes. All later shards would be empty.
    """
    try:
        yield from results
    except OSError as error:
        raise ModelError(f"the processes that code cannot go on: {one_line(error)}") from error


def _by_task(
    tasks: Sequence[Task], outcomes: Iterator[tuple[Task, Outcome]]
) -> Iterator[tuple[Task, Iterator[Outcome]]]:
    """Yield every task with its outcomes, of which it may have none."""
    left = iter(tasks)
    for found, of_task in groupby(outcomes, key=lambda outcome: outcome[0]):
        for task in left:
            if task is found:
                yield task, (outcome for _, outcome in of_task)
                break
            yield task, iter(())
    yield from ((task, iter(())) for task in left)


def _work(how: How, job: _Job) -> Result:
    return work(how, job[0])


def work(how: How, content: bytes | Row) -> Result:
    """Code what was read; what could not be read has its row."""
    return (None, None, content) if isinstance(content, Row) else transcode_bytes(content, how)


def killed(content: bytes | Row) -> Row:
    """Return the row of an image that took its process with it."""
    return Row(FAILED, error=KILLED, original_bytes=_size(content))


def _size(content: bytes | Row) -> int:
    return len(content) if isinstance(content, bytes) else 0


def _reporting(outcomes: Iterator[Outcome], report: Report) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        report(1, not outcome[3].is_good, outcome[0].size)
