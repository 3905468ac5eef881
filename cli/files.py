"""Files in and out, whole or not at all; '-' stands for stdin and stdout."""

import errno
import io
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from .console import STDIO

CODED_SUFFIXES = {".hvae", ".bin"}

_EXISTS = "exists already; --overwrite replaces it"

_parts: set[Path] = set()
"""Temporary files that exist now."""


def check(source: str, target: str, replaces: bool) -> None:
    """Refuse, before the work begins, an input that is not there or an output that cannot be.

    Raises:
        OSError: one of them; the error names it.
        click.ClickException: the output is stdout, and a terminal.
    """
    if source == STDIO:
        _open(sys.stdin, "stdin")
    elif Path(source).is_dir():
        raise IsADirectoryError(None, "is a folder", source)
    else:
        os.stat(source)
    if target == STDIO:
        if _open(sys.stdout, "stdout").isatty():
            raise click.ClickException("refusing to write binary data to a terminal")
        return
    path = Path(target)
    if path.is_dir():
        raise IsADirectoryError(None, "is a folder", target)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(None, "its folder does not exist", target)
    if os.path.islink(os.path.realpath(target)):  # what a real path still links to is itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), target)
    # a device is written to, not replaced
    if not replaces and path.is_file():
        raise FileExistsError(None, _EXISTS, target)


def identity(path: str | Path) -> object:
    """Tell whether two names are one file, by number where it exists (links, upper case)."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def is_coded(path: str) -> bool:
    """Tell by its name whether a file is one of ours, or stdout."""
    return path == STDIO or Path(path).suffix.lower() in CODED_SUFFIXES


def read_bytes(path: str) -> bytes:
    """Read a file, or stdin, whole."""
    return _open(sys.stdin, "stdin").buffer.read() if path == STDIO else Path(path).read_bytes()


def seekable(path: str) -> str | bytes:
    """Return the path of a file, of which a decoder reads what it needs, or all that a pipe has."""
    return path if path != STDIO and not _is_stream(Path(path)) else read_bytes(path)


def write_bytes(path: str, data: bytes, replaces: bool = True) -> None:
    """Write a file, or stdout, whole; see `writing`."""
    with writing(path, replaces) as stream:
        stream.write(data)


@contextmanager
def writing(path: str, replaces: bool = True) -> Iterator[BinaryIO]:
    """Open what takes the place of a file once it is whole: a reader sees the old or the new.

    Args:
        path: of the file; '-' is stdout.
        replaces: a file of that name, even one that comes while this one is written.

    Raises:
        OSError: it cannot be written; the old file is then as it was.
    """
    final = Path(os.path.realpath(path))  # a link stays a link
    with _naming("stdout" if path == STDIO else path):
        if path == STDIO:
            stdout = _open(sys.stdout, "stdout").buffer
            yield stdout
            stdout.flush()
        elif _is_stream(final):
            with final.open("wb") as stream:  # a device or a pipe must not be replaced by a file
                yield stream
        else:
            yield from _writing_beside(final, replaces)


def _writing_beside(final: Path, replaces: bool) -> Iterator[BinaryIO]:
    part = final.with_name(f".{secrets.token_hex(8)}.part")
    _parts.add(part)
    try:
        with io.FileIO(part, "x") as file:
            stream = _Buffered(file)
            yield stream
            stream.flush()
            os.fsync(file.fileno())  # some file systems find out only now that the disk is full
        _settle(part, final, replaces)
    finally:
        part.unlink(missing_ok=True)
        _parts.discard(part)


def _settle(part: Path, final: Path, replaces: bool) -> None:
    """Give a whole file its name."""
    if not replaces:
        try:
            os.link(part, final)  # unlike renaming, this fails where the name is taken
            return
        except OSError as error:  # it is, or the file system knows no links
            if final.exists():
                raise FileExistsError(errno.EEXIST, _EXISTS) from error
    if final.exists():
        shutil.copymode(final, part)
    os.replace(part, final)


def discard_parts() -> None:
    """Delete the temporary files, for a process that ends without unwinding."""
    for part in _parts:
        part.unlink(missing_ok=True)


class _Buffered(io.BufferedWriter):
    """A file without a number: to a number, Pillow's C code writes, and never asks how much went.

    So a disk that is full within the last buffer would leave a cut file and no error.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


def _open(stream: TextIO | None, name: str) -> TextIO:
    """Return stdin or stdout, which Python does not have where the shell closed it (`<&-`).

    Raises:
        OSError: it is closed.
    """
    if stream is None:
        raise OSError(errno.EBADF, "is closed", name)
    return stream


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let errors of the system name the file that the user knows, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, path) from error


def _is_stream(path: Path) -> bool:
    return path.exists() and not path.is_file()
