"""Files that are there whole or not at all, their hash, and the images of a folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

IMAGE_SUFFIXES = {
    ".avif", ".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
"""Of the images that training and the benchmark look for: those that Pillow alone reads."""

_parts: set[Path] = set()
"""Temporary files that exist now."""


@contextmanager
def part_beside(path: Path) -> Iterator[Path]:
    """Give the name of a new hidden file beside `path`; it is deleted, unless it was renamed.

    Raises:
        OSError: what the system said of the hidden file, but by the name of `path`.
    """
    part = path.with_name(f".{os.urandom(8).hex()}.part")
    _parts.add(part)
    try:
        yield part
    except OSError as error:
        if error.filename is None or os.fspath(error.filename) != os.fspath(part):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        _delete(part)
        _parts.discard(part)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new file beside `path`, which takes its place once it is written.

    Folders above it are made.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with part_beside(path) as part:
        yield part
        os.replace(part, path)


def discard_parts() -> None:
    """Delete the temporary files, for a process that ends without unwinding."""
    for part in tuple(_parts):  # another thread may add to them
        with suppress(OSError):
            _delete(part)


def _delete(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except PermissionError:  # Windows deletes no file that is read-only, as what it replaces may be
        part.chmod(stat.S_IWRITE)
        part.unlink()


def digest_of(path: Path) -> bytes:
    """Return the sha256 of a file; computed once, unless the file changes.

    Raises:
        OSError: it cannot be read.
    """
    about = path.stat()
    return _digest(path, about.st_mtime_ns, about.st_size)


@cache
def _digest(path: Path, changed: int, size: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def find_images(folder: Path, *, deep: bool = False) -> list[Path]:
    """List the images of a folder by name, and with `deep` those in folders below it.

    Raises:
        OSError: the folder cannot be read, or there is none in it.
    """
    found = folder.rglob("*") if deep and folder.is_dir() else folder.iterdir()
    paths = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise FileNotFoundError(None, "no images in this folder", str(folder))
    return paths


def evenly_chosen(paths: Sequence[Path], count: int) -> Sequence[Path]:
    """Return `count` of some paths, at even distances from the first on; all if there are fewer."""
    count = min(count, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]
