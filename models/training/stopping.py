"""Work that SIGTERM and Ctrl-C end early, but not before it is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set; outside the main thread nothing does.

    A second Ctrl-C ends the work where it stands. What a shell has told this process to ignore
    stays ignored.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; raised once the work has ended.
    """
    stopped, pressed = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def press(*_: object) -> None:
        stopped.set()
        pressed.set()
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    handlers = {signal.SIGTERM: lambda *_: stopped.set(), signal.SIGINT: press}
    before = {number: signal.getsignal(number) for number in handlers}
    before = {number: kept for number, kept in before.items() if kept != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handlers[number])
    try:
        yield stopped
    finally:
        for number, kept in before.items():
            signal.signal(number, kept)
    if pressed.is_set():
        raise KeyboardInterrupt
