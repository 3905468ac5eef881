"""The folder that shards are written to, and the kinds of shards."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("webdataset", "files", "parquet")


@dataclass(frozen=True)
class Target:
    """A folder of shards.

    Attributes:
        url: of the folder, on a disk or anywhere.
        kind: one of `KINDS`.
    """

    url: str
    kind: str = KINDS[0]

    def file(self, name: str) -> str:
        """Return the URL of a file in it."""
        return f"{self.url.rstrip('/')}/{name}"
