"""Where images come from: folders and globs, tar shards, Parquet files.

All that is given becomes parts, and each of them a shard: so many images of folders, one tar, or
some row groups of a Parquet file. Parts travel between machines; items do not.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Protocol

from ..errors import DataError
from ..images import is_image_name, is_raw_name
from . import storage


@dataclass(frozen=True)
class Item:
    """An image that is to be read.

    Attributes:
        key: names its sample, as webdataset has it: with folders, without suffix.
        suffix: what follows the key and a dot.
        source: tells it from all others, in this run and in those before.
        size: bytes of its file, for the progress.
        read: reads the file; raises whatever keeps it from that.
        beside: the other members of its sample, by suffix.
        ends_sample: whether the sample has no further image.
    """

    key: str
    suffix: str
    source: str
    size: int
    read: Callable[[], bytes]
    beside: Mapping[str, bytes] = field(default_factory=dict)
    ends_sample: bool = True

    @property
    def held_bytes(self) -> int:
        """What waits in memory with it: the image, and what is beside it."""
        return self.size + sum(map(len, self.beside.values()))


class Part(Protocol):
    """What becomes one shard.

    Attributes:
        name: tells it from all others, where all of it is in one place; None of images.
        size: in bytes.
    """

    @property
    def name(self) -> str | None:
        """See above."""
        ...

    @property
    def size(self) -> int:
        """See above."""
        ...

    def items(self, most_bytes: float = math.inf) -> Iterator[Item]:
        """Yield the images. What cannot be read of the part is an item that cannot be read.

        A file of more than `most_bytes` may be one of those: it is too large to be held.
        """
        ...


class Container(Part, Protocol):
    """A part whose images are in one file, and known when it is read."""

    def without(self, done: frozenset[str]) -> Container:
        """Return what is left beside the sources that are done."""
        ...


@dataclass(frozen=True)
class ImageFile:
    """An image in a folder: its key, its URL, its bytes."""

    key: str
    url: str
    size: int


@dataclass(frozen=True)
class ImagesPart:
    """Some images of folders."""

    files: tuple[ImageFile, ...]
    name: str | None = None

    @property
    def size(self) -> int:
        """See `Part`."""
        return sum(file.size for file in self.files)

    def items(self, most_bytes: float = math.inf) -> Iterator[Item]:
        """See `Part`."""
        for file in self.files:
            read = partial(storage.read, file.url)
            yield Item(file.key, _suffix(file.url), file.url, file.size, read)


def printable(source: str) -> str:
    """Return a source as rows hold it: what of a name is no UTF-8 stands as an escape."""
    return source.encode("utf-8", "backslashreplace").decode()


def held(data: bytes) -> Callable[[], bytes]:
    """Return what stands for reading an image that was read with its part."""
    return lambda: data


def failing(message: str) -> Callable[[], bytes]:
    """Return what stands for reading an image that cannot be read."""

    def read() -> bytes:
        raise OSError(message)

    return read


def parts_of(
    sources: Sequence[str], shard_size: int, image_column: str | None, target: str | None = None
) -> tuple[list[ImageFile], list[Container]]:
    """Find what there is, but for what lies in the target.

    Args:
        sources: paths or URLs of folders and files, with `*`, `?`, `[...]` and `{00..99}`.
        shard_size: images that a part of a Parquet file has at most, but for one of its row groups.
        image_column: of Parquet files; None for the one whose name tells.
        target: URL of the folder that shards go to, which may lie in a source.

    Returns:
        The image files, and the parts of all else.

    Raises:
        OSError: one of them is not there, has no images, cannot be listed, or lies in the target.
        DataError: a Parquet file has no images, or braces do not match.
    """
    from .parquet import parquet_parts
    from .tar import TarPart

    images: list[ImageFile] = []
    others: list[Container] = []
    for url, key, size in _listed(sources, target):
        suffix = os.path.splitext(url)[1].lower()
        if suffix == ".tar":
            others.append(TarPart(url, size))
        elif suffix == ".parquet":
            others += parquet_parts(url, size, shard_size, image_column)
        else:
            images.append(ImageFile(key, url, size))
    return _with_free_keys(images), others


def cut(images: Sequence[ImageFile], shard_size: int) -> Iterator[ImagesPart]:
    """Yield images by shards."""
    for begin in range(0, len(images), shard_size):
        yield ImagesPart(tuple(images[begin : begin + shard_size]))


def is_source(path: str) -> bool:
    """Tell by its name whether a file in a folder holds an image or many."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in (".hvae", ".tar", ".parquet") or is_image_name(path) or is_raw_name(path)


def _listed(sources: Iterable[str], target: str | None) -> Iterator[tuple[str, str, int]]:
    """Yield URL, key and bytes of all files, each once, in order."""
    seen: set[str] = set()
    for given in sources:
        # a name may look like a pattern
        is_name = "{" not in given or storage.kind_of(*storage.place_of(given)) is not None
        for source in [given] if is_name else _expanded(given):
            for url, key, size in _files_of(source, target):
                if url not in seen:
                    seen.add(url)
                    yield url, key, size


def _expanded(pattern: str) -> Iterator[str]:
    """Yield what braces stand for.

    Raises:
        DataError: they do not match.
    """
    import braceexpand

    try:
        # on Windows a backslash parts folders, and elsewhere it makes a brace a part of a name
        yield from braceexpand.braceexpand(pattern, escape=os.sep == "/")
    except ValueError as error:
        raise DataError(f"{pattern} is not there, and its braces do not match") from error


def _files_of(source: str, target: str | None) -> Iterator[tuple[str, str, int]]:
    from .parquet import holds_images

    filesystem, path = storage.place_of(source)
    kind = storage.kind_of(filesystem, path)
    if kind is None and any(sign in path for sign in "*?["):
        listed = dict(storage.retrying(lambda: filesystem.glob(path, detail=True)))
        for name in [name for name, about in listed.items() if about["type"] == "directory"]:
            listed |= storage.retrying(lambda name=name: filesystem.find(name, detail=True))
        root = path[: min(path.index(sign) for sign in "*?[" if sign in path)].rpartition("/")[0]
    elif kind == "directory":
        storage.check_readable(source)
        listed = dict(storage.retrying(lambda: filesystem.find(path, detail=True)))
        root = path.rstrip("/")
    else:
        listed = {path: storage.retrying(lambda: filesystem.info(path))}
        root = path.rpartition("/")[0]
    found = {
        name: about["size"] or 0
        for name, about in listed.items()
        if (path == name or (is_source(name) and not _is_hidden(_below(root, name))))
        and (about["type"] == "file" or (about.get("islink") and not filesystem.isdir(name)))
    }
    if not found:
        raise FileNotFoundError(None, "no images, tar shards or Parquet files there", source)
    if target is not None and (ours := storage.below(filesystem, root, target)) is not None:
        # what an earlier run wrote is no source of the next
        found = {name: size for name, size in found.items() if not name.startswith(ours)}
        if not found:
            raise OSError(None, "lies in the target; name another folder to write to", source)
    names = sorted(found)
    for name in names:
        url = str(filesystem.unstrip_protocol(name))
        may_be_rows = name.endswith(".parquet") and _is_of_a_shard(name[:-8], names, listed)
        if may_be_rows and not holds_images(url):
            continue
        yield url, os.path.splitext(_below(root, name))[0], found[name]


def _is_of_a_shard(stem: str, names: Sequence[str], all_names: Collection[str]) -> bool:
    """Tell whether a Parquet file may hold the rows of a tar or a folder beside it.

    Args:
        stem: of the file's name.
        names: of the sources, in order.
        all_names: of all files there.
    """
    if f"{stem}.tar" in all_names:
        return True
    at = bisect_left(names, f"{stem}/")
    has_folder = at < len(names) and names[at].startswith(f"{stem}/")
    return has_folder and f"{stem}_stats.json" in all_names


def _below(root: str, name: str) -> str:
    return name[len(root) :].lstrip("/")


def _is_hidden(below: str) -> bool:
    """Tell whether a file, or a folder that it lies in, is hidden: such files are not whole."""
    return any(part.startswith(".") for part in below.split("/"))


def _with_free_keys(images: list[ImageFile]) -> list[ImageFile]:
    """Give files that differ in their suffix or folder alone keys of their own.

    All that share a key get another one, so that none depends on which came first.
    """
    counts = Counter(image.key for image in images)
    images = [
        image if counts[image.key] == 1 else replace(image, key=f"{image.key}_{_suffix(image.url)}")
        for image in images
    ]
    counts = Counter(image.key for image in images)
    return [
        image
        if counts[image.key] == 1
        else replace(image, key=f"{image.key}_{sha256(os.fsencode(image.url)).hexdigest()[:8]}")
        for image in images
    ]


def _suffix(url: str) -> str:
    return os.path.splitext(url)[1].removeprefix(".").lower()
