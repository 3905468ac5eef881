"""Shards as img2dataset writes them, and what they tell of an earlier run.

00012.tar           the samples (or files in 00012/, or the column `image` of 00012.parquet)
00012.parquet       a row for every image, also for those that failed
00012_stats.json    written last: a shard is done when it is there
.00012.begun        there while it is written: what lies under this number is ours, and who writes
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import DataError
from ..processes import undisturbed
from . import storage
from .row import FAILED, SUCCESS, UNREADABLE, Row, arrow_schema, schema_of
from .samples import Outcome, opened_shard
from .target import Target

_OF_A_SHARD = re.compile(r"([0-9]{5,})(\.tar|\.parquet|_stats\.json|)")
_OF_AN_OPEN_SHARD = re.compile(r"\.([0-9]{5,})\.(?:(begun)|.*\.(part))")
_ORDER = ("_stats.json", ".tar", "", "part", ".parquet", "begun")
"""In which the files of a shard are deleted: what says that it is done first, whose it is last."""


@dataclass
class Stats:
    """What is told of a shard, and of all of them together.

    Attributes:
        count: images, which are the sum of the next four.
        status_dict: how often each status, or reason of a failure, was met.
        examples: of each reason of a failure, the source of the first image that has it.
        left_out: how many outputs lack what their inputs held, by its name.
        parts: names of the parts of which all is in this shard or in others.
        description: of what was done with each image; see `transcode.How`.
    """

    count: int = 0
    successes: int = 0
    kept_original: int = 0
    failed_to_read: int = 0
    failed_to_transcode: int = 0
    original_bytes: int = 0
    bytes: int = 0
    pixels: int = 0
    start_time: float = 0.0
    end_time: float = 0.0
    status_dict: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    description: str = ""

    @property
    def failed(self) -> int:
        """Images without an output."""
        return self.failed_to_read + self.failed_to_transcode

    def add(self, source: str, row: Row) -> None:
        """Count an image, which came from a source."""
        name = {SUCCESS: "successes"}.get(row.status, row.status)
        setattr(self, name, getattr(self, name) + 1)
        self.count += 1
        if row.is_good:
            self.original_bytes += row.original_bytes or 0
            self.bytes += row.bytes or 0
            self.pixels += (row.width or 0) * (row.height or 0)
        said = row.error or row.status
        self.status_dict[said] = self.status_dict.get(said, 0) + 1
        if row.error:
            self.examples.setdefault(row.error, source)
        for name in row.left_out.split(", ") if row.left_out else ():
            self.left_out[name] = self.left_out.get(name, 0) + 1

    def merge(self, other: Stats) -> None:
        """Count what another shard has."""
        for name, value in asdict(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        self.status_dict = dict(Counter(self.status_dict) + Counter(other.status_dict))
        self.left_out = dict(Counter(self.left_out) + Counter(other.left_out))
        self.examples = other.examples | self.examples


@dataclass(frozen=True)
class Done:
    """What earlier runs did.

    Attributes:
        numbers: of the shards that are done.
        foreign: numbers under which something lies that no run of ours has written.
        sources: of the images that need no second try.
        parts: names of parts of which nothing is left.
        failed: images that were read, and failed.
        descriptions: of what was done with images.
    """

    numbers: frozenset[int] = frozenset()
    foreign: frozenset[int] = frozenset()
    sources: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    failed: int = 0
    descriptions: frozenset[str] = frozenset()


def read_done(target: Target) -> Done:
    """Read what the shards of a folder tell.

    Raises:
        OSError: they cannot be read.
        DataError: one of them is damaged.
    """
    numbers, foreign, sources, parts, failed = set(), set(), set(), set(), 0
    descriptions: set[str] = set()
    for number, files in _shards_in(target).items():
        told = _our_counts(target, files)
        if told is None:
            if not _is_begun(target, files):
                foreign.add(number)
            elif "_stats.json" in files:
                raise _damaged(target.file(f"{number:05d}_stats.json"))
            continue
        numbers.add(number)
        parts.update(told.get("parts", ()))
        descriptions.add(told.get("description", ""))
        with _damage_named(target.file(f"{number:05d}.parquet")):
            rows = _rows_of(target.file(f"{number:05d}.parquet"))
        sources.update(source for source, status in rows if status != UNREADABLE)
        failed += sum(status == FAILED for _, status in rows)
    return Done(
        frozenset(numbers),
        frozenset(foreign),
        frozenset(sources),
        frozenset(parts),
        failed,
        frozenset(descriptions - {""}),
    )


@contextmanager
def _damage_named(url: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, AttributeError, FileNotFoundError) as error:
        raise _damaged(url) from error


def _damaged(url: str) -> DataError:
    return DataError(f"{url} is damaged or missing: delete what belongs to this shard")


def _rows_of(url: str) -> list[tuple[str, str]]:
    """Return source and status of each image of a shard."""
    import pyarrow.parquet as pq

    with storage.open_read(url) as stream:
        table = pq.read_table(stream, columns=["source", "status"])
    return [*zip(table["source"].to_pylist(), table["status"].to_pylist(), strict=True)]


def delete_shards(target: Target) -> None:
    """Delete the shards of a folder."""
    for files in _shards_in(target).values():
        if _our_counts(target, files) is not None or _is_begun(target, files):
            for kind in _ORDER:  # after a fault in the midst the rest is still known for ours
                for name in files.get(kind, ()):
                    storage.delete(target.file(name))


def _shards_in(target: Target) -> dict[int, dict[str, list[str]]]:
    """Return what lies in a folder under the numbers of shards, ours or not, by kinds of files."""
    found: dict[int, dict[str, list[str]]] = {}
    filesystem, path = storage.place_of(target.url)
    if storage.kind_of(filesystem, path):
        filesystem.invalidate_cache(path)
        for entry in storage.retrying(lambda: filesystem.ls(path, detail=False)):
            name = str(entry).rstrip("/").rpartition("/")[2]
            match = _OF_A_SHARD.fullmatch(name) or _OF_AN_OPEN_SHARD.fullmatch(name)
            if match and match[1] == f"{int(match[1]):05d}":
                kind = next(group for group in match.groups()[1:] if group is not None)
                found.setdefault(int(match[1]), {}).setdefault(kind, []).append(name)
    return found


def _our_counts(target: Target, files: dict[str, list[str]]) -> dict[str, Any] | None:
    """Return the statistics of a shard, if they are ours: img2dataset's have the same name."""
    for name in files.get("_stats.json", ()):
        with suppress(ValueError):
            told = json.loads(storage.read(target.file(name)))
            if isinstance(told, dict) and told.keys() >= {"kept_original", "failed_to_transcode"}:
                return told
    return None


def _is_begun(target: Target, files: dict[str, list[str]]) -> bool:
    """Tell whether a run of ours began what lies under a number, or wrote its rows."""
    if "begun" in files:
        return True
    schemas = (schema_of(target.file(name)) for name in files.get(".parquet", ()))
    ours = set(arrow_schema().names)
    return any(schema is not None and set(schema.names) >= ours for schema in schemas)


def write_shard(
    target: Target,
    number: int,
    outcomes: Iterable[Outcome],
    part: str | None,
    description: str = "",
) -> Stats:
    """Write a shard; where the outcomes are broken off, with those that came.

    Args:
        target: the folder.
        number: of the shard.
        outcomes: of its images, in order.
        part: name of the part that it is all of.
        description: of what is done with each image.

    Raises:
        OSError: it cannot be written. Without its stats file it counts as not there.
        Full: there is no room for it.
    """
    name = f"{number:05d}"
    begun, done = target.file(f".{name}.begun"), target.file(f"{name}_stats.json")
    if storage.kind_of(*storage.place_of(done)):
        raise FileExistsError(None, "was written by another run meanwhile", done)
    writer = os.urandom(8).hex().encode()
    storage.write(begun, writer)
    files = [target.file(name + end) for end in (".tar", "", ".parquet")]
    for file in files:  # of a run that was killed, maybe of another kind
        storage.delete(file)
    storage.delete_parts(target.file(name))
    stats = Stats(start_time=time.time(), description=description)
    try:
        ended = _write_samples(target, number, outcomes, stats, part, writer)
    except BaseException:
        with suppress(Exception), undisturbed():
            _check_writer(begun, writer)
            for file in (*files, begun):
                storage.delete(file)
        raise
    if ended:
        raise KeyboardInterrupt
    return stats


def _check_writer(begun: str, writer: bytes) -> None:
    """Refuse to touch what another run writes under the same number; not all places have locks.

    Raises:
        FileExistsError: it does.
    """
    with suppress(FileNotFoundError):
        if storage.read(begun) == writer:
            return
    raise FileExistsError(None, "another run writes this shard", begun)


def _write_samples(
    target: Target,
    number: int,
    outcomes: Iterable[Outcome],
    stats: Stats,
    part: str | None,
    writer: bytes,
) -> bool:
    """Write the files of a shard and count what is in them; tell whether it was interrupted.

    Raises:
        KeyboardInterrupt: before the first sample.
        FileExistsError: another run began it anew meanwhile.
    """
    ended, begun = False, target.file(f".{number:05d}.begun")
    with ExitStack() as stack:
        shard = stack.enter_context(opened_shard(target, f"{number:05d}"))
        sample: list[Outcome] = []  # a sample is written whole or not at all
        try:
            for outcome in outcomes:
                sample.append(outcome)
                if outcome[0].ends_sample:
                    written, sample = sample, []
                    with undisturbed():
                        shard.add(written)
                        for item, _, _, row in written:
                            stats.add(item.source, row)
        except KeyboardInterrupt:
            if not stats.count:
                raise
            ended = True
        with undisturbed():  # or a second request would cost the whole shard
            _check_writer(begun, writer)
            stack.close()
            if part and not ended and not stats.failed_to_read:
                stats.parts.append(part)
            stats.end_time = time.time()
            described = json.dumps(asdict(stats), indent=4)
            storage.write(target.file(f"{number:05d}_stats.json"), described.encode())
            storage.delete(begun)
    return ended
