"""How far a long call is: its tiles are counted for whoever wants to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Report = Callable[[int, int], None]
"""Is told how many tiles are done, of how many. A search for a quality begins anew each time."""

_REPORT: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Let calls of this thread tell of their tiles meanwhile."""
    before = _REPORT.set(report)
    try:
        yield
    finally:
        _REPORT.reset(before)


class Progress:
    """Counts the tiles of one call."""

    def __init__(self, tiles: int):
        self.tiles, self.done = tiles, 0
        self._report = _REPORT.get()

    def passed(self, tiles: int = 1) -> None:
        """Count tiles that are done."""
        self.done += tiles
        if self._report:
            self._report(self.done, self.tiles)
