"""Tar shards as webdataset has them: members that share a key are one sample."""

from __future__ import annotations

import copy
import math
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import DataError
from . import storage
from .sources import Item, failing, held, is_source, printable

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")  # of webdataset's own use
_BLOCK = 512
_LINKS = tarfile.LNKTYPE, tarfile.SYMTYPE

Member = tuple[str, tarfile.TarInfo]
"""Of a sample: its suffix, and what the archive tells of it."""


def key_and_suffix(name: str) -> tuple[str, str] | None:
    """Split a member's name at the first dot behind its folders; None where there is none."""
    match = None if _META.match(name) else _NAME.fullmatch(name)
    return (match[1], match[2].lower()) if match else None


def is_image(suffix: str) -> bool:
    """Tell whether a member is an image: `jpg` is one, and so is `left.jpg`."""
    last = suffix.rpartition(".")[2]
    return last not in ("tar", "parquet") and is_source(f"x.{last}")


@dataclass(frozen=True)
class TarPart:
    """A tar shard; of a sample with an image, everything is kept."""

    name: str
    size: int
    done: frozenset[str] = frozenset()

    def without(self, done: frozenset[str]) -> TarPart:
        """See `sources.Container`."""
        prefix = printable(f"{self.name}#")
        return TarPart(self.name, self.size, frozenset(s for s in done if s.startswith(prefix)))

    def items(self, most_bytes: float = math.inf) -> Iterator[Item]:
        """See `sources.Container`."""
        try:
            with storage.open_read(self.name) as file:
                yield from self._items(file, most_bytes)
        except Exception as error:
            yield _unreadable(self.name, f"cannot be read: {error or type(error).__name__}")

    def _items(self, file: BinaryIO, most_bytes: float) -> Iterator[Item]:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for key, members in _samples(archive):
                    yield from self._sample(archive, key, members, most_bytes)
                file.seek(archive.offset)
                ended = file.read(_BLOCK) == bytes(_BLOCK)
        except tarfile.TarError as error:
            yield _unreadable(self.name, f"the archive is damaged or cut: {error}")
            return
        if not ended:
            yield _unreadable(self.name, "the archive is cut: it has no end")

    def _sample(
        self, archive: tarfile.TarFile, key: str, members: Iterable[Member], most_bytes: float
    ) -> Iterator[Item]:
        images, others = [], []
        for member in members:
            if is_image(member[0]):
                images.append(member)
            elif not member[1].issparse():
                others.append(member)
        left = [(s, m) for s, m in images if printable(f"{self.name}#{m.name}") not in self.done]
        if not left:
            return
        beside, problem = {}, None
        for suffix, member in others:
            try:
                beside[suffix] = _content(archive, member, most_bytes)
            except DataError as error:
                problem = error
        for suffix, member in left:
            source, is_last = f"{self.name}#{member.name}", member is left[-1][1]
            if member.type in _LINKS:
                message = f"a link to {member.linkname}, which is not before it in the archive"
                yield _unreadable(source, message, key, suffix, is_last)
                continue
            if member.issparse():  # a small archive may announce any size
                yield _unreadable(source, "a sparse file in a tar", key, suffix, is_last)
                continue
            if member.size > most_bytes:
                # `reading` refuses it by its size, as it does an image of a folder
                message = _too_large(member)
                yield Item(key, suffix, source, member.size, failing(message), beside, is_last)
                beside = {}
                continue
            try:
                data = _content(archive, member, most_bytes)
                if problem:  # nothing of a sample is left out
                    raise problem
            except DataError as error:
                yield _unreadable(source, str(error), key, suffix, is_last)
                continue
            yield Item(key, suffix, source, member.size, held(data), beside, is_last)
            beside = {}


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, list[Member]]]:
    """Yield key and members of each sample, also of the one before damage.

    Raises:
        TarError: the archive is damaged behind them.
    """
    key, members, damage = "", list[Member](), None
    known: dict[str, tarfile.TarInfo] = {}
    while True:
        try:
            member = archive.next()
        except tarfile.TarError as error:
            member, damage = None, error
        if member:
            member = known[posixpath.normpath(member.name)] = _followed(member, known)
        name = key_and_suffix(member.name) if member else None
        if name and member and not member.isreg():
            # a link that leads nowhere is told where it is one to an image
            name = name if member.type in _LINKS and is_image(name[1]) else None
        if members and (not member or (name and name[0] != key)):
            yield key, members
            members = []
        if not member:
            break
        if name:
            key = name[0]
            members.append((name[1], member))
    if damage:
        raise damage


def _followed(member: tarfile.TarInfo, known: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo:
    """Return what a link stands for, by the link's name; all else, and other links, as they are."""
    name = member.linkname
    if member.issym():
        name = posixpath.join(posixpath.dirname(member.name), name)
    target = known.get(posixpath.normpath(name)) if member.type in _LINKS else None
    if not target or not (target.isreg() or target.isdir()):
        return member
    found = copy.copy(target)  # a folder is passed over, as all folders are
    found.name = member.name
    return found


def _unreadable(
    source: str, message: str, key: str = "", suffix: str = "", ends_sample: bool = True
) -> Item:
    return Item(key, suffix, source, 0, failing(message), ends_sample=ends_sample)


def _too_large(member: tarfile.TarInfo) -> str:
    return f"{member.name} has {member.size} bytes, more than a process may hold"


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, most_bytes: float) -> bytes:
    """Read a member.

    Raises:
        DataError: it is too large to be held, or cut.
    """
    if member.size > most_bytes:
        raise DataError(_too_large(member))
    try:
        stream = archive.extractfile(member)
        data = stream.read() if stream else b""
    except tarfile.TarError as error:
        raise DataError(f"the archive is cut: {error}") from error
    if len(data) < member.size:
        found = f"{member.name} has {len(data)} of {member.size} bytes"
        raise DataError(f"the archive is cut: {found}")
    return data
