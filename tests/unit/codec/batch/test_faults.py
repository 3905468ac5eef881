"""Faults: whatever breaks, every image is accounted for, and a second run does the rest, once."""

import io
import multiprocessing
import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from hvae_codec.codec import processes
from hvae_codec.codec.batch import Job, Local, Row, Target, ToCoded, ToImages, local, plan, run
from hvae_codec.codec.batch.reading import AHEAD_BYTES, read_ahead
from hvae_codec.codec.batch.sources import Item
from hvae_codec.codec.batch.storage import Full
from hvae_codec.codec.errors import ModelError
from hvae_codec.codec.options import EncodeOptions

from .conftest import done, drawn, quiet, rows_of, write_tar

pytestmark = pytest.mark.usefixtures("shipped")

IMAGES = int(os.environ.get("HVAE_CODEC_FAULTS_IMAGES", "300"))
"""Drawn for a run with faults. Most runs keep images as they are: what counts is who loses them."""

KEPT_ROW = Row("kept_original", width=3, height=2)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """fsspec's file system in memory, of which every 50th call fails."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    calls = count(1)

    def failing(name: str) -> None:
        call = getattr(MemoryFileSystem, name)

        def counted(*args: object, **more: object) -> object:
            if next(calls) % 50 == 0:
                raise OSError("503 Slow Down")
            return call(*args, **more)

        monkeypatch.setattr(MemoryFileSystem, name, counted)

    for name in ("cat_file", "_open", "put_file", "info", "ls", "exists"):
        failing(name)
    yield memory
    memory.store.clear()


def put(memory: MemoryFileSystem, path: str, data: bytes) -> None:
    memory.store[path] = MemoryFile(memory, path, data)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hvae_codec.codec.batch.storage._PAUSES_S", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(ToImages(), id="kept"),
        pytest.param(ToCoded(EncodeOptions(20)), id="coded", marks=pytest.mark.slow),
    ],
)
def test_no_image_is_lost_or_done_twice_whatever_fails(
    bucket: MemoryFileSystem, how: ToCoded | ToImages
) -> None:
    """Calls fail, a process is killed in the midst, and the run is broken off and begun again."""
    expected = [drawn(k) for k in range(IMAGES)]
    for k, data in enumerate(expected):
        put(bucket, f"/in/{k // 100}/{k:05d}.png", data)
    seen = 0

    def faults(images: int, failed: int, size: int) -> None:
        nonlocal seen
        seen += images
        if seen == IMAGES // 5:
            child = multiprocessing.active_children()[0]
            assert child.pid
            os.kill(child.pid, signal.SIGKILL)
        if seen == IMAGES // 2:
            raise KeyboardInterrupt

    job = Job(("memory://in",), Target("memory://out"), how, shard_size=IMAGES // 7)
    with pytest.raises(KeyboardInterrupt):
        done(job, 2, report=faults)
    before = plan(job).done
    assert IMAGES // 2 - 1 <= before < IMAGES
    totals = done(job, 2)
    assert (totals.stats.count, totals.stats.failed) == (IMAGES - before, 0)
    assert not totals.failures
    assert not plan(job).tasks
    rows, contents = [], []
    for path in sorted(bucket.store):
        if path.endswith(".parquet"):
            rows += pq.read_table(io.BytesIO(bucket.store[path].getvalue())).to_pylist()
        elif path.endswith(".tar"):
            contents += _members(bucket.store[path].getvalue())
    assert sorted(row["key"] for row in rows) == sorted(
        f"{k // 100}/{k:05d}" for k in range(IMAGES)
    )
    assert [row["sha256"] for row in rows] == [sha256(data).hexdigest() for data in contents]
    if isinstance(how, ToImages):
        assert Counter(contents) == Counter(expected)


def _members(data: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        streams = [archive.extractfile(member) for member in archive]
        return [stream.read() for stream in streams if stream]


@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_read_is_a_row_and_tried_again(
    bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(4):
        put(bucket, f"/in/{k}.png", drawn(k))
    job = Job(("memory://in",), Target("memory://out"), ToImages())
    tasks = plan(job).tasks
    gone = bucket.store.pop("/in/2.png")
    totals = run(job, tasks, Local(1), quiet)
    assert (totals.stats.kept_original, totals.stats.failed_to_read) == (3, 1)
    bucket.store["/in/2.png"] = gone
    assert done(job).stats.kept_original == 1
    assert not plan(job).tasks


@pytest.mark.usefixtures("impatient")
def test_a_shard_that_cannot_be_written_is_tried_again_and_then_told(
    photos: Path, bucket: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 1

    write = MemoryFileSystem.put_file

    def put_file(self: MemoryFileSystem, source: str, path: str, **more: Any) -> None:  # noqa: ANN401
        nonlocal refused
        if path.endswith("00001.tar") and refused:
            refused -= 1
            raise PermissionError(13, "Permission denied")
        write(self, source, path, **more)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    job = Job((str(photos),), Target("memory://out"), ToImages(), shard_size=5)
    totals = done(job)
    assert (totals.stats.count, totals.failures) == (13, ())
    refused = 2
    job = Job((str(photos),), Target("memory://other"), ToImages(), shard_size=5)
    totals = done(job)
    assert totals.stats.count == 8
    assert [failure.task.number for failure in totals.failures] == [1]
    assert done(job).stats.count == 5


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, flush = 0, os.fsync

    def fsync(number: int) -> None:
        nonlocal flushed
        flushed += 1
        if flushed == 5:  # a shard has three files
            raise OSError(28, "No space left on device")
        flush(number)

    monkeypatch.setattr("hvae_codec.codec.batch.storage.os.fsync", fsync)
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), shard_size=5)
    with pytest.raises(Full, match="No space left on device"):
        done(job)
    assert len(rows_of(tmp_path / "out")) == 5
    assert not multiprocessing.active_children()
    assert done(job).stats.count == 8
    assert len({row["source"] for row in rows_of(tmp_path / "out")}) == 13


def test_an_image_that_kills_its_process_is_told_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here whoever holds a large image is killed, as a system does that runs out of memory."""
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(6):
        (folder / f"{k}.png").write_bytes(drawn(k, (64, 64)))
    (folder / "3.png").write_bytes(drawn(3, (2000, 1500)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    job = Job((str(folder),), Target(str(tmp_path / "out")), ToCoded(EncodeOptions(20)))
    totals = done(job, 2)
    assert (totals.stats.successes, totals.stats.failed_to_transcode) == (5, 1)
    (row,) = [row for row in rows_of(tmp_path / "out") if row["status"] != "success"]
    assert row["key"] == "3"
    assert row["error"].startswith("its process was killed")


KILLER = """
import os, signal, sys
if "--multiprocessing-fork" in sys.argv:
    from PIL import Image
    opened = Image.open
    def kill(source, *more):
        image = opened(source, *more)
        if image.width == 2000:
            os.kill(os.getpid(), signal.SIGKILL)
        return image
    Image.open = kill
"""


def test_other_processes_of_the_caller_live_on(tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(target=signal.pause)
    other.start()
    results = processes.results(len, ["a", "b", "c"], 1, len, ahead=2)
    assert next(results) == 1
    results.close()
    assert other.is_alive()
    other.kill()
    other.join()


def test_a_machine_that_refuses_processes_ends_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that come later are not there: they are not empty."""

    def refused(work: object, jobs: Iterator[Any], *more: object, **options: object) -> Any:  # noqa: ANN401
        next(jobs)
        yield (None, None, KEPT_ROW)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(processes, "results", refused)
    write_tar(photos / "later.tar", {"x.png": drawn(99)})
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), shard_size=5)
    with pytest.raises(ModelError, match="Resource temporarily unavailable"):
        done(job)
    assert not list((tmp_path / "out").glob("*_stats.json"))


def test_of_a_shard_that_cannot_be_written_no_more_is_coded(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = read_ahead

    def reading(how: object, items: Iterable[tuple[object, object]]) -> Iterator[Any]:
        for each in items:
            asked.append(each)
            yield from real(how, [each])  # type: ignore[arg-type]

    def write_shard(target: Target, number: int, outcomes: Iterator[object], *_: object) -> None:
        next(outcomes)
        raise OSError("no room")

    monkeypatch.setattr(local, "read_ahead", reading)
    monkeypatch.setattr(local, "write_shard", write_shard)
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), shard_size=100)
    totals = run(job, plan(job).tasks, Local(1), quiet)
    assert len(totals.failures) == 1
    assert len(asked) < 2 * 13


def test_where_no_process_starts_no_image_is_to_blame(photos: Path, tmp_path: Path) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages())
    with pytest.raises(ModelError, match="processes that are started end at once"):
        run(job, plan(job).tasks, Local(1, partial(os._exit, 1)), quiet)
    assert len(plan(job).tasks) == 1


def test_what_is_beside_an_image_counts_in_what_waits() -> None:
    asked, video = 0, bytes(AHEAD_BYTES // 2)

    def items() -> Iterator[tuple[None, Item]]:
        nonlocal asked
        for number in range(20):
            asked += 1
            yield None, Item(str(number), "png", str(number), 9, bytes, {"mp4": video})

    samples = read_ahead(ToImages(), items())
    next(samples)
    assert asked == 2
    assert len([*samples]) == 19


def test_what_is_larger_than_a_process_may_hold_is_not_read(tmp_path: Path) -> None:
    def read() -> bytes:
        raise AssertionError

    item = Item("a", "png", "a.png", 50_000_000_000, read)
    ((_, _, row),) = read_ahead(ToImages(), [(None, item)])
    assert isinstance(row, Row) and "more than a process may hold" in (row.error or "")
