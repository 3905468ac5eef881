"""Gives memory back to the system that the C library would keep."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Return freed memory to the system, where the C library knows how to (glibc).

    It keeps what lies between blocks that live on: 0.4 GB after some dozens of tiles.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library; TypeError on Windows
        return
