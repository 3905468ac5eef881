"""The samples of a shard as members of a tar, as files, or as rows of Parquet."""

from __future__ import annotations

import io
import re
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from hashlib import sha256
from itertools import count
from typing import Any, Protocol

from . import storage
from .row import Row, arrow_schema
from .sources import Item, printable
from .target import Target

Outcome = tuple[Item, bytes | None, str | None, Row]
"""An image, its output, the output's suffix (None for the input's), and its row."""

_KEY_BYTES, _SUFFIX_BYTES = 180, 50  # of a part of a key, and of what follows it in a name
_NOT_IN_WINDOWS = re.compile(r'[<>:"|?*\x01-\x1f]|[. ]+$')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)
_ROWS_AT_ONCE = 100
_BYTES_AT_ONCE = 1 << 25


class Shard(Protocol):
    """A shard that is being written."""

    def add(self, sample: Sequence[Outcome]) -> None:
        """Write a sample: the images that share a key, and what was beside them."""
        ...


@contextmanager
def opened_shard(target: Target, name: str) -> Iterator[Shard]:
    """Open a shard; its files are there, whole, once it is left.

    Raises:
        OSError: one of them cannot be written.
        Full: there is no room for it.
    """
    with ExitStack() as stack:
        rows_url = target.file(f"{name}.parquet")
        if target.kind == "webdataset":
            rows = stack.enter_context(_rows(rows_url))  # there once the tar is
            stream = stack.enter_context(storage.spooled(target.file(f"{name}.tar")))
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="w|"))
            yield _TarShard(archive, rows)
        elif target.kind == "files":
            yield _FilesShard(target.file(name), stack.enter_context(_rows(rows_url)))
        else:
            yield _ParquetShard(stack.enter_context(_rows(rows_url, with_images=True)))


class _Keys:
    """Keys that no other sample of the shard has, also where a disk does not tell A from a.

    Args:
        named: makes a part of a key one of a name.
    """

    def __init__(self, named: Callable[[str], str]):
        self.named = named
        self.taken: set[str] = set()
        self.numbers: Counter[str] = Counter()

    def free(self, wished: str) -> str:
        parts = [part for part in wished.split("/") if part not in ("", ".", "..")]
        parts = [_short(self.named(part)) for part in parts]
        first = key = "/".join(parts) or "sample"
        while _folded(key) in self.taken:
            self.numbers[_folded(first)] += 1
            key = f"{first}_{self.numbers[_folded(first)] + 1}"
        self.taken.add(_folded(key))
        return key


def _folded(key: str) -> str:
    return unicodedata.normalize("NFC", key).casefold()


def _short(part: str) -> str:
    """Cut what leaves no room for a suffix in a name of a file; a hash tells it from others."""
    data = part.encode()
    if len(data) <= _KEY_BYTES:
        return part
    return data[:_KEY_BYTES].decode("utf-8", "ignore") + f"_{sha256(data).hexdigest()[:8]}"


class _Rows:
    """The Parquet file of a shard, some rows at a time."""

    def __init__(self, writer: Any):  # noqa: ANN401
        self.writer = writer
        self.waiting: list[dict[str, Any]] = []
        self.held_bytes = 0

    def add(
        self,
        key: str,
        item: Item,
        row: Row,
        image: Mapping[str, Any] | None = None,
        beside: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Add a row; image and what is beside it count where the file has columns for them."""
        told = {"key": key, "source": item.source, **asdict(row)}
        told = {k: printable(v) if isinstance(v, str) else v for k, v in told.items()}
        self.waiting.append({**told, "image": image, "beside": beside})
        self.held_bytes += len(image["bytes"]) if image else 0
        self.held_bytes += sum(len(data) for _, data in beside)
        if len(self.waiting) >= _ROWS_AT_ONCE or self.held_bytes > _BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self.waiting:
            self.writer.write_table(pa.Table.from_pylist(self.waiting, self.writer.schema))
        self.waiting, self.held_bytes = [], 0


@contextmanager
def _rows(url: str, with_images: bool = False) -> Iterator[_Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema()
    if with_images:  # as Hugging Face's datasets have them
        image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        schema = schema.append(pa.field("image", image))
        schema = schema.append(pa.field("beside", pa.map_(pa.string(), pa.binary())))
    with storage.spooled(url) as stream, pq.ParquetWriter(stream, schema) as writer:
        rows = _Rows(writer)
        yield rows
        rows.flush()


class _TarShard:
    def __init__(self, archive: tarfile.TarFile, rows: _Rows):
        self.archive, self.rows, self.keys = archive, rows, _Keys(_plain)

    def add(self, sample: Sequence[Outcome]) -> None:
        folder, slash, base = sample[0][0].key.rpartition("/")
        key = self.keys.free(folder + slash + base.replace(".", "_"))  # a suffix begins at a dot
        for suffix, data in _members(sample):
            member = tarfile.TarInfo(f"{key}.{suffix}")
            member.size, member.mode = len(data), 0o644
            self.archive.addfile(member, io.BytesIO(data))
        for item, _, _, row in sample:
            self.rows.add(key, item, row)


class _FilesShard:
    def __init__(self, folder: str, rows: _Rows):
        self.folder, self.rows, self.keys = folder, rows, _Keys(_portable)

    def add(self, sample: Sequence[Outcome]) -> None:
        key = self.keys.free(sample[0][0].key)
        folder, slash, base = f"{self.folder}/{key}".rpartition("/")
        for suffix, data in _members(sample):
            storage.write(folder + slash + _portable(f"{base}.{suffix}"), data)
        for item, _, _, row in sample:
            self.rows.add(key, item, row)


class _ParquetShard:
    def __init__(self, rows: _Rows):
        self.rows, self.keys = rows, _Keys(_plain)

    def add(self, sample: Sequence[Outcome]) -> None:
        key, beside = self.keys.free(sample[0][0].key), _beside(sample)
        for suffix, (item, data, _, row) in zip(_suffixes(sample), sample, strict=True):
            path = f"{key}.{suffix}"
            image = None if data is None else {"bytes": data, "path": path}
            self.rows.add(key, item, row, image=image, beside=[*beside.items()])


def _members(sample: Sequence[Outcome]) -> Iterator[tuple[str, bytes]]:
    """Yield suffix and content of what is written of a sample: nothing if no image is there."""
    outputs = zip(_suffixes(sample), sample, strict=True)
    images = [(suffix, data) for suffix, (_, data, _, _) in outputs if data is not None]
    if images:
        yield from images
        yield from _beside(sample, [suffix for suffix, _ in images]).items()


def _beside(sample: Sequence[Outcome], taken: Collection[str] = ()) -> dict[str, bytes]:
    """Return what is beside the images of a sample, by suffixes that nothing else has."""
    found: dict[str, bytes] = {}
    for item, _, _, _ in sample:
        for suffix, data in item.beside.items():
            found[_free(_ending(suffix), {*taken, *found})] = data
    return found


def _free(wished: str, taken: Collection[str]) -> str:
    """Return a suffix; one that is taken, as an archive may hold a name twice, gets a number."""
    names = (f"{number}.{wished}" if number > 1 else wished for number in count(1))
    folded = {_folded(_portable(name)) for name in taken}
    return next(name for name in names if _folded(_portable(name)) not in folded)


def _plain(part: str) -> str:
    """Make what a source calls something a part of a file's name: text that leads to no folder."""
    return re.sub(r"[/\\\0\ud800-\udfff]", "_", part)


def _ending(suffix: str) -> str:
    """Make a suffix a part of a name that leaves room for the key; its end tells the kind."""
    return _plain(suffix).encode()[-_SUFFIX_BYTES:].decode("utf-8", "ignore")


def _portable(part: str) -> str:
    """Make it a name in every system: without an error, Windows writes CON or x:y elsewhere."""
    part = _NOT_IN_WINDOWS.sub("_", _plain(part))
    return f"_{part}" if _DEVICE.match(part) else part


def _suffixes(sample: Sequence[Outcome]) -> list[str]:
    """Return a suffix for each output of a sample, no two alike.

    Where two outputs would both be `hvae`, each gets the suffix of its input as well: `jpg.hvae`
    and `png.hvae`.
    """
    wished = Counter(_suffix(item, suffix) for item, _, suffix, _ in sample)
    found: list[str] = []
    for item, _, suffix, _ in sample:
        name = _suffix(item, suffix)
        if wished[name] > 1 and suffix:
            name = f"{_ending(item.suffix)}.{suffix}"
        found.append(_free(name, found))
    return found


def _suffix(item: Item, suffix: str | None) -> str:
    """Return the suffix of an output: of `left.jpg`, `left.hvae`."""
    before, dot, last = item.suffix.rpartition(".")
    return _ending(before + dot + (suffix or last))
