"""Gives memory back to the system that the C library would keep, as an image's tiles go by."""

from __future__ import annotations

import ctypes

_PATCHES = 512


def trim() -> None:
    """Return freed memory to the system, where the C library knows how to (glibc).

    It keeps what lies between blocks that live on: 0.4 GB after some dozens of tiles.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library; TypeError on Windows
        return


class Trimming:
    """Trims after 512 patches, half a megapixel, not after each of many small tiles."""

    def __init__(self) -> None:
        self.patches = 0

    def passed(self, patches: int) -> None:
        """Count patches that are done with."""
        self.patches += patches
        if self.patches >= _PATCHES:
            trim()
            self.patches = 0
