"""The same work for many jobs in processes, of which some may be killed.

Processes, not threads: the entropy coder holds Python's lock.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")

ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Polite requests to end; Windows knows no hang-up."""


def results(
    work: Callable[[J], R],
    jobs: Iterable[J],
    workers: int,
    killed: Callable[[J], R],
    *,
    ahead: int,
    size: Callable[[J], int] = lambda job: 0,
    ahead_bytes: int = 0,
    at_begin: Callable[[], None] | None = None,
    before_end: Callable[[], None] | None = None,
) -> Generator[R, None, None]:
    """Yield what became of every job, in their order.

    Where a process is killed, as a rule for want of memory, what was in hand then is done by one
    process, one job after the other, so that it shows which job kills.

    Args:
        work: done for every job; picklable.
        jobs: picklable; taken when there is room for one more in hand.
        workers: processes.
        killed: says what became of a job whose process was killed.
        ahead: jobs in hand at a time, at most.
        size: of a job, in bytes.
        ahead_bytes: of the jobs in hand, at most, unless there is one alone.
        at_begin: called in each process before its first job.
        before_end: called in a process that is asked to end.
    """
    jobs = iter(jobs)
    while True:
        in_hand: deque[tuple[J, Future[R] | None]] = deque()
        with _pool(workers, at_begin, before_end) as pool:
            try:
                for job in jobs:
                    in_hand.append((job, None))  # in case that it cannot be submitted any more
                    in_hand[-1] = (job, pool.submit(work, job))
                    while len(in_hand) >= ahead or sum(size(j) for j, _ in in_hand) > ahead_bytes:
                        yield _first(in_hand)
                while in_hand:
                    yield _first(in_hand)
                return
            except BrokenProcessPool:
                pass
        yield from _one_by_one(work, in_hand, killed, at_begin, before_end)


def _first(in_hand: deque[tuple[J, Future[R] | None]]) -> R:
    """Return what became of the first job, which then is no longer in hand."""
    future = in_hand[0][1]
    assert future
    _end_if_interrupted()
    outcome = future.result()
    in_hand.popleft()
    return outcome


def _one_by_one(
    work: Callable[[J], R],
    in_hand: deque[tuple[J, Future[R] | None]],
    killed: Callable[[J], R],
    at_begin: Callable[[], None] | None,
    before_end: Callable[[], None] | None,
) -> Iterator[R]:
    """Yield what became of jobs; what was not done is done by one process, or by its heirs."""
    while in_hand:
        with _pool(1, at_begin, before_end) as pool:
            while in_hand:
                _end_if_interrupted()
                job, future = in_hand.popleft()
                try:
                    yield (future or pool.submit(work, job)).result()
                except BrokenProcessPool:
                    try:
                        yield pool.submit(work, job).result()
                    except BrokenProcessPool:
                        _check_that_one_starts(work, at_begin, before_end)
                        yield killed(job)
                        break


def _check_that_one_starts(
    work: Callable[[J], R],
    at_begin: Callable[[], None] | None,
    before_end: Callable[[], None] | None,
) -> None:
    """Refuse to go on where no job is to blame.

    Raises:
        OSError: a process that is to do nothing ends as well.
    """
    with _pool(1, at_begin, before_end) as pool:
        try:
            pool.submit(_load, work).result()
        except BrokenProcessPool as error:
            raise OSError("processes that are started end at once") from error


def _load(work: object) -> None:
    """Do nothing, once the modules of what would be done are there."""


class _Pool(ProcessPoolExecutor):
    """Starts processes that Ctrl-C ends without a word: Python would print where each was."""

    def submit(self, *given: Any, **named: Any) -> Future[Any]:  # noqa: ANN401
        """Give work; to a process that this starts Ctrl-C comes once `_begin_process` is there."""
        with undisturbed():
            _block_interrupts(True)  # a process that is started inherits it
            try:
                return super().submit(*given, **named)
            finally:
                _block_interrupts(False)


def _block_interrupts(blocked: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):  # unlike on Windows
        how = signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK
        signal.pthread_sigmask(how, [signal.SIGINT])


@contextmanager
def _pool(
    workers: int, at_begin: Callable[[], None] | None, before_end: Callable[[], None] | None
) -> Iterator[ProcessPoolExecutor]:
    """Give work to processes, which end at once where the work is broken off."""
    spawn = multiprocessing.get_context("spawn")  # pools of threads do not survive a fork
    workers = min(workers, 61) if os.name == "nt" else workers  # Windows waits for no more
    pool = _Pool(workers, spawn, partial(_begin_process, at_begin, before_end))
    try:
        yield pool
    except BaseException:
        # the pool's own processes: a caller may have others
        for process in list((pool._processes or {}).values()):
            while process.is_alive():  # a signal on the way into a wait is noticed by the next one
                process.terminate()
                process.join(0.1)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process(
    at_begin: Callable[[], None] | None, before_end: Callable[[], None] | None
) -> None:
    """End at once when asked to: an exception would only end this job, and the next one begin."""
    if at_begin:
        at_begin()

    def end(number: int, frame: object) -> None:
        if before_end:
            before_end()
        os._exit(1)

    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, end)
    _block_interrupts(False)
    threading.Thread(target=_end_with_parent, args=(before_end,), daemon=True).start()


def _end_with_parent(before_end: Callable[[], None] | None) -> None:
    """End when the process that gives the work is killed: no more would come, and none would go."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        if before_end:
            before_end()
        os._exit(1)


_interrupts: list[int] = []


def let_signals_interrupt() -> None:
    """Let a polite request to end do what Ctrl-C does, so that nothing half written stays."""
    _interrupts.clear()
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    _interrupts.append(number)
    raise KeyboardInterrupt


def _end_if_interrupted() -> None:
    """Interrupt once more: an exception in a destructor goes unnoticed."""
    if _interrupts:
        _interrupts.clear()
        raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let polite requests to end wait until a step is whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread
        return
    came: list[int] = []
    before = {
        n: signal.signal(n, lambda number, frame: came.append(number))
        for n in ENDING
        if signal.getsignal(n) != signal.SIG_IGN  # a process that is started shall ignore it too
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    for number in came:
        signal.raise_signal(number)
