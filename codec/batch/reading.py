"""Images read ahead of their turn, by threads: a slow bucket keeps nobody from computing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..errors import one_line
from .row import FAILED, UNREADABLE, Row
from .sources import Item
from .transcode import How, refusal

Tag = TypeVar("Tag")

AHEAD_BYTES = 1 << 28
"""Of samples that were read and not coded yet, at most, unless there is one alone."""

_READERS = 16


def read_ahead(
    how: How, items: Iterable[tuple[Tag, Item]]
) -> Iterator[tuple[Tag, Item, bytes | Row]]:
    """Yield items with their content, or with a row that says why there is none, in order."""
    pool = ThreadPoolExecutor(_READERS)
    waiting: deque[tuple[Tag, Item, Future[bytes | Row]]] = deque()
    held = 0
    try:
        for tag, item in items:
            waiting.append((tag, item, pool.submit(_content, how, item)))
            held += item.held_bytes
            while len(waiting) > 2 * _READERS or held > AHEAD_BYTES:
                tag, item, future = waiting.popleft()
                held -= item.held_bytes
                yield tag, item, future.result()
        while waiting:
            tag, item, future = waiting.popleft()
            yield tag, item, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _content(how: How, item: Item) -> bytes | Row:
    if reason := refusal(how, item.suffix):
        return Row(FAILED, error=reason)
    if item.size > how.memory_bytes:
        return Row(FAILED, error=f"{item.size} bytes are more than a process may hold")
    try:
        return item.read()
    except Exception as error:  # as many kinds as there are file systems
        text = str(error) or type(error).__name__
        return Row(UNREADABLE, error=one_line(text))
