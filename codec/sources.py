"""Coded files as callers have them: bytes, a path, or an open file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..bitstream import ArgumentError, Source

CodedSource = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]
"""A file: its bytes, its path, or itself, open for reading and seekable."""


@contextmanager
def opened(source: CodedSource) -> Iterator[Source]:
    """Open a path; bytes and open files are used as they are.

    Raises:
        OSError: the file cannot be read.
        ArgumentError: it is none of these.
    """
    if isinstance(source, str | os.PathLike):
        with _open(source) as file:
            yield file
    elif isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source)  # a cursor would copy anything else for each tile
    elif not hasattr(source, "read"):
        kind = type(source).__name__
        raise ArgumentError(f"{kind} is not a coded file: its bytes, its path, or itself open")
    else:
        _check_readable(source)
        if not hasattr(source, "seek") or not getattr(source, "seekable", lambda: True)():
            raise ArgumentError("the file cannot be sought in: read it, and give its bytes")
        _bytes(source.read(0))  # or refuse
        yield source


def read_all(file: IO[bytes]) -> bytes:
    """Read an open file from where it stands to its end.

    Raises:
        OSError: it cannot be read.
        ArgumentError: it is closed, or open as text.
    """
    _check_readable(file)
    return _bytes(file.read())


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except ValueError as error:  # NUL, or half of a character
        raise ArgumentError(f"{path!r} is no path: {error}") from error


def _bytes(read: object) -> bytes:
    """Return what was read.

    Raises:
        ArgumentError: it is text, or still to be awaited.
    """
    if not isinstance(read, bytes | bytearray | memoryview):
        raise ArgumentError(f"the file reads {type(read).__name__}, not bytes")
    return bytes(read)


def _check_readable(file: object) -> None:
    if isinstance(file, io.TextIOBase):
        raise ArgumentError("the file is open as text, not as bytes: open it with mode 'rb'")
    if getattr(file, "closed", False):
        raise ArgumentError("the file is closed")
