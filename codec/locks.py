"""Locks that a fork waits for."""

from __future__ import annotations

import os
import threading


def lock() -> threading.RLock:
    """Return a lock that nobody holds in a process that was forked.

    Another thread of the parent may hold it, which would never let it go in the child. So the fork
    waits until it is free.
    """
    made = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=made.acquire, after_in_parent=made.release, after_in_child=made.release
        )
    return made
