"""Files in and out, whole or not at all; '-' stands for stdin and stdout."""

import errno
import io
import os
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from ..codec.files import part_beside
from .console import STDIO, named

CODED_SUFFIXES = {".hvae", ".bin"}

_EXISTS = "exists already; --overwrite replaces it"


def check_source(source: str) -> None:
    """Refuse, before the work begins, an input that is not there.

    Raises:
        OSError: it is not; the error names it.
    """
    if source == STDIO:
        _open(sys.stdin, "stdin")
    elif os.path.isdir(source) and os.access(source, os.R_OK | os.X_OK):
        raise IsADirectoryError(None, "is a folder; -r takes the files in it", source)
    elif not os.access(source, os.R_OK):
        os.stat(source)  # is it there?
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source)


def check_target(target: str, replaces: bool) -> None:
    """Refuse, before the work begins, an output that cannot be.

    Raises:
        OSError: it cannot; the error names it.
        click.ClickException: it is stdout, and a terminal.
    """
    if target == STDIO:
        _open(sys.stdout, "stdout")
    number = descriptor(target)
    if number is not None:
        if os.isatty(number):
            raise click.ClickException("refusing to write binary data to a terminal")
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        os.stat(target)  # a name that is too long, or lies in a closed folder, is refused here
    path = Path(target)
    if os.path.isdir(path):
        raise IsADirectoryError(None, "is a folder", target)
    if not os.path.isdir(path.absolute().parent):
        raise FileNotFoundError(None, "its folder does not exist", target)
    if os.path.islink(os.path.realpath(target)):  # what a real path still links to is itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), target)
    if not _is_stream(path) and not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(errno.EACCES, "its folder cannot be written to", target)
    # a device is written to, not replaced
    if not replaces and os.path.isfile(path):
        raise FileExistsError(None, _EXISTS, target)


def prepare(target: Path) -> None:
    """Make the folders above an output, and refuse it before hours of work if it cannot be written.

    Raises:
        OSError: it cannot; the error names it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    check_target(str(target), replaces=True)
    with _naming(str(target)):
        tempfile.TemporaryFile(dir=target.absolute().parent).close()


def refuse_to_replace(target: Path, sources: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs.

    Raises:
        click.UsageError: it is.
    """
    if identity(target) in map(identity, sources):
        name = named(target)
        raise click.UsageError(f"{name} is an input and would be an output too")


def descriptor(path: str | Path) -> int | None:
    """Return the number of the open stream that a name stands for: '-', /dev/stdout, /dev/fd/3.

    Opening such a name anew would empty a file that the shell opened to append to it.
    """
    if path == STDIO:
        return 1
    own = {"/dev/fd", "/proc/self/fd", os.path.realpath("/proc/self/fd")}
    place = os.path.abspath(path)
    for _ in range(40):  # links at most, as Linux has it
        folder, name = os.path.split(place)
        if name.isdigit() and (folder in own or os.path.realpath(folder) in own):
            return int(name)
        if not os.path.islink(place):
            return None
        place = os.path.normpath(os.path.join(folder, os.readlink(place)))
    return None


def tree(folder: str, is_wanted: Callable[[str], bool], without: Path | None) -> Iterator[str]:
    """Yield the files below a folder, in order; hidden ones and those of one folder excepted.

    A folder that cannot be read is yielded as well: `check_source` refuses it. Pipes are
    passed over.
    """
    left_out = identity(without) if without else None
    closed: list[str] = []
    for place, folders, names in os.walk(folder, onerror=lambda e: closed.append(e.filename)):
        yield from closed
        closed.clear()
        kept = (name for name in sorted(folders) if not name.startswith("."))
        folders[:] = [name for name in kept if identity(os.path.join(place, name)) != left_out]
        for name in sorted(names):
            path = os.path.join(place, name)
            if not name.startswith(".") and is_wanted(name) and not _is_stream(Path(path)):
                yield path
    yield from closed


def identity(path: str | Path) -> object:
    """Tell whether two names are one file, by number where it has one (links, upper case)."""
    with suppress(OSError):
        status = os.stat(path)
        if status.st_ino:  # some drives of Windows give 0 to all
            return status.st_dev, status.st_ino
    place = os.path.realpath(path)
    if sys.platform in ("win32", "darwin"):  # whose disks know no case, as a rule
        return unicodedata.normalize("NFC", place).casefold()
    return place


def is_coded(path: str) -> bool:
    """Tell by its name whether a file is one of ours, or stdout."""
    return descriptor(path) is not None or Path(path).suffix.lower() in CODED_SUFFIXES


def read_bytes(path: str) -> bytes:
    """Read a file, or stdin, whole."""
    if path == STDIO:
        return _open(sys.stdin, "stdin").buffer.read()
    number = descriptor(path)
    with io.FileIO(path if number is None else os.dup(number)) as file:
        return file.readall()


def seekable(path: str) -> str | bytes:
    """Return the path of a file, of which a decoder reads what it needs, or all that a pipe has."""
    is_file = path != STDIO and descriptor(path) is None and not _is_stream(Path(path))
    return path if is_file else read_bytes(path)


def size_of(source: str | bytes) -> int:
    """Return the bytes of what `seekable` gave."""
    return len(source) if isinstance(source, bytes) else os.path.getsize(source)


def write_bytes(path: str, data: bytes, replaces: bool = True, like: str | None = None) -> None:
    """Write a file, or stdout, whole; see `writing`."""
    with writing(path, replaces, like) as stream:
        stream.write(data)


@contextmanager
def writing(path: str, replaces: bool = True, like: str | None = None) -> Iterator[BinaryIO]:
    """Open what takes the place of a file once it is whole: a reader sees the old or the new.

    Args:
        path: of the file; '-' is stdout.
        replaces: a file of that name, even one that comes while this one is written.
        like: a file whose time it gets, and of whose permissions it gets no more.

    Raises:
        OSError: it cannot be written; the old file is then as it was.
    """
    final = Path(os.path.realpath(path))  # a link stays a link
    number = descriptor(path)
    with _naming("stdout" if path == STDIO else path):
        if path == STDIO:
            stdout = _open(sys.stdout, "stdout").buffer
            yield stdout
            stdout.flush()
        elif number is not None:
            with os.fdopen(os.dup(number), "wb") as stream:
                yield stream
        elif _is_stream(final):
            with final.open("wb") as stream:  # a device or a pipe must not be replaced by a file
                yield stream
        else:
            yield from _writing_beside(final, replaces, like)


def _writing_beside(final: Path, replaces: bool, like: str | None) -> Iterator[BinaryIO]:
    with part_beside(final) as part:
        with io.FileIO(part, "x") as file:
            _limit_mode(part, like)
            stream = _Buffered(file)
            yield stream
            stream.flush()
            os.fsync(file.fileno())  # some file systems find out only now that the disk is full
        if final.exists():
            _set_mode(part, os.stat(final).st_mode)
        _limit_mode(part, like)
        if like is not None:
            status = os.stat(like)
            os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        _settle(part, final, replaces)


def _settle(part: Path, final: Path, replaces: bool) -> None:
    """Give a whole file its name."""
    if not replaces:
        try:
            # what fails where the name is taken: on Windows renaming does, elsewhere it replaces
            (os.rename if sys.platform == "win32" else os.link)(part, final)
            return
        except OSError as error:  # it is, or the file system knows no links
            if final.exists():
                raise FileExistsError(errno.EEXIST, _EXISTS) from error
    os.replace(part, final)


def _limit_mode(path: Path, like: str | None) -> None:
    if like is not None:
        _set_mode(path, os.stat(path).st_mode & os.stat(like).st_mode)


def _set_mode(path: Path, mode: int) -> None:
    """Set permissions, unless a file has them: drives that know but one kind refuse to be asked."""
    if stat.S_IMODE(mode) != stat.S_IMODE(os.stat(path).st_mode):
        os.chmod(path, stat.S_IMODE(mode))


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
    # not by methods of Path, which raise where a file cannot be looked at
    return os.path.exists(path) and not os.path.isfile(path)
