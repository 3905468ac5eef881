"""Files of any place that fsspec knows: read again after a fault, written whole or not at all."""

from __future__ import annotations

import errno
import glob
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ...bitstream import HvaeError
from ..errors import one_line

T = TypeVar("T")

_PAUSES_S = (0.2, 1.0, 4.0)
"""Between tries; services ask for it to grow."""

_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 23  # at a time: what a file system gives is copied, and read again after a fault
_PART_BYTES = 200  # of a name, which may be as long as names can be


class Full(HvaeError):
    """There is no room left; the message names the place. Nothing that follows would fit either."""


def place_of(url: str) -> tuple[Any, str]:
    """Return the file system of a URL or path, and the path in it.

    Raises:
        OSError: the package of its protocol is not installed, or there is no such protocol.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise OSError(None, one_line(error), url) from error
    return filesystem, str(path)


def absolute(url: str) -> str:
    """Return a URL or path that means the same in every folder of every process."""
    return url if "://" in url else os.path.abspath(url)


def local_path(url: str) -> Path | None:
    """Return the path of what lies on this machine's disks, None for all else."""
    from fsspec.implementations.local import LocalFileSystem

    filesystem, path = place_of(url)
    return Path(path) if isinstance(filesystem, LocalFileSystem) else None


def check_readable(url: str) -> None:
    """Refuse a folder below which one cannot be listed: fsspec's `find` leaves its files out.

    Raises:
        OSError: names it. Services are not asked: there a listing fails as a whole.
    """

    def refuse(error: OSError) -> None:
        raise error

    if (path := local_path(url)) is not None:
        for _, folders, _ in os.walk(path, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]  # passed over


def below(filesystem: Any, root: str, folder: str) -> str | None:  # noqa: ANN401
    """Return how paths below `root` begin that lie in a folder; None where none can.

    Args:
        filesystem: where `root` is.
        root: a path.
        folder: URL or path of the folder.
    """
    other, path = place_of(folder)
    if other != filesystem:
        return None
    here, there = root.rstrip("/"), path.rstrip("/")
    if local_path(folder) is not None:
        here, there = (os.path.realpath(each).replace(os.sep, "/") for each in (here, there))
    if f"{here}/".startswith(f"{there}/"):
        return root
    return root.rstrip("/") + there[len(here) :] + "/" if there.startswith(f"{here}/") else None


def retrying(call: Callable[[], T]) -> T:
    """Call again after a fault that may pass.

    Raises:
        Exception: it did not pass, or it is none that passes.
    """
    for pause in _PAUSES_S:
        try:
            return call()
        except _FINAL:
            raise
        except Exception as error:  # OSErrors, and what the libraries of services have
            if getattr(error, "errno", None) in _FULL:
                raise
            time.sleep(pause)
    return call()


def kind_of(filesystem: Any, path: str) -> str | None:  # noqa: ANN401
    """Return `file` or `directory`, or None where nothing is there.

    `isdir` and `exists` of fsspec take every fault for a no.
    """
    try:
        return str(retrying(lambda: filesystem.info(path))["type"])
    except FileNotFoundError:
        return None


def read(url: str) -> bytes:
    """Read a file whole.

    Raises:
        OSError: it cannot be read.
    """
    filesystem, path = place_of(url)
    return retrying(lambda: bytes(filesystem.cat_file(path)))


def write(url: str, data: bytes) -> None:
    """Write a file whole; folders above it are made.

    Raises:
        OSError: it cannot be written.
        Full: there is no room for it.
    """
    with spooled(url) as stream:
        stream.write(data)


def delete(url: str) -> None:
    """Delete a file, or a folder and what is in it, if it is there."""
    filesystem, path = place_of(url)
    kind = kind_of(filesystem, path)
    if kind == "directory" and (local := local_path(url)):
        shutil.rmtree(local)
    elif kind == "directory":  # fsspec's own way takes a path for a pattern
        for name in retrying(lambda: filesystem.find(path)):
            retrying(lambda name=name: filesystem.rm_file(name))
    elif kind:
        retrying(lambda: filesystem.rm_file(path))


def delete_parts(url: str) -> None:
    """Delete what was left of files on a disk whose names begin so: `00012` has `.00012.tar.…`."""
    if (final := local_path(url)) and final.parent.is_dir():
        for part in final.parent.glob(f".{glob.escape(final.name)}.*part"):
            part.unlink(missing_ok=True)


def part_name(name: str) -> str:
    """Return a hidden name for what grows to be a file: `.00012.tar.0123abcd.part`."""
    begin = os.fsencode(name)[:_PART_BYTES].decode("utf-8", "ignore")
    return f".{begin}.{os.urandom(4).hex()}.part"


@contextmanager
def spooled(url: str) -> Iterator[BinaryIO]:
    """Open what becomes a file once it is whole: whoever reads sees the old one or the new.

    On a disk it grows beside its place, under a hidden name that no other has; for other file
    systems it grows on a disk of this machine.

    Raises:
        OSError: it cannot be written.
        Full: there is no room for it.
    """
    final = local_path(url)
    if final is None:
        with _noticing_full(f"{tempfile.gettempdir()} (TMPDIR)"):
            number, name = tempfile.mkstemp(prefix="hvae-codec-")
        os.close(number)
        part = Path(name)
    else:
        with _noticing_full(url):
            final.parent.mkdir(parents=True, exist_ok=True)
        part = final.with_name(part_name(final.name))
    try:
        with _noticing_full(url if final else str(part)), part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with _noticing_full(url):
            if final:
                os.replace(part, final)
            else:
                filesystem, path = place_of(url)
                filesystem.makedirs(filesystem._parent(path), exist_ok=True)
                retrying(lambda: filesystem.put_file(str(part), path))
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep other processes out of a folder on a disk; in other places there are no locks.

    Raises:
        OSError: another process has it, or it cannot be written to.
    """
    if (folder := local_path(url)) is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as file:
        if _is_taken(file):
            raise OSError(None, "another run writes there; name another folder", url)
        try:
            yield
        finally:
            with suppress(OSError):  # Windows keeps files that are open
                (folder / ".lock").unlink()


def _is_taken(file: BinaryIO) -> bool:
    """Lock a file for as long as it is open; tell whether another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a file system without locks
        return False
    return not os.fstat(file.fileno()).st_nlink  # it was deleted by a run that just ended


@contextmanager
def _noticing_full(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Full(f"{where}: {error.strerror}") from error
        raise


def open_read(url: str) -> io.BufferedReader:
    """Open a file to read parts of it; each is read again after a fault.

    Raises:
        OSError: it cannot be opened.
    """
    return io.BufferedReader(_Reopening(url), _BUFFER_BYTES)


class _Reopening(io.RawIOBase):
    """A file that is opened anew, at the same position, where reading it fails."""

    def __init__(self, url: str):
        self.filesystem, self.path = place_of(url)
        self.position = 0
        self.size = int(retrying(lambda: self.filesystem.size(self.path)) or 0)
        self.file: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        data = retrying(lambda: self._read(min(len(buffer), _READ_BYTES)))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        try:
            if self.file is None:
                self.file = self.filesystem.open(self.path, "rb")
            self.file.seek(self.position)
            return bytes(self.file.read(count))
        except Exception:
            self._close()
            raise

    def _close(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            file.close()

    def close(self) -> None:
        self._close()
        super().close()
