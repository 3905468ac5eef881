"""Work that SIGTERM and Ctrl-C end early, but not before it is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set; outside the main thread nothing does.

    The second of a kind ends the work where it stands. What a shell has told this process to ignore
    stays ignored.

    Raises:
        KeyboardInterrupt: one of them came; raised once the work has ended, so that nobody takes
            it for whole.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, _: object) -> None:
        stopped.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: kept for number, kept in before.items() if kept != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)
    if stopped.is_set():
        raise KeyboardInterrupt
