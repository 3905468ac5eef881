"""Faults: whatever breaks, every image is accounted for, and a second run does the rest, once."""

import io
import multiprocessing
import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
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
from hvae_codec.codec.batch import (
    Job,
    Local,
    OnRay,
    Row,
    Target,
    ToCoded,
    ToImages,
    Totals,
    local,
    plan,
    run,
)  # fmt: skip
from hvae_codec.codec.batch.reading import read_ahead
from hvae_codec.codec.batch.run import Report
from hvae_codec.codec.batch.sources import Item
from hvae_codec.codec.batch.storage import Full
from hvae_codec.codec.errors import ImageError, ModelError
from hvae_codec.codec.options import EncodeOptions

from .conftest import drawn, read_tar, rows_of, samples_of, write_tar

pytestmark = pytest.mark.usefixtures("shipped")

IMAGES = int(os.environ.get("HVAE_CODEC_FAULTS_IMAGES", "300"))
"""Drawn for a run with faults. Most runs keep images as they are: what counts is who loses them."""


KEPT_ROW = Row("kept_original", width=3, height=2)


def quiet(images: int, failed: int, size: int) -> None:
    pass


def done(job: Job, workers: int = 1, report: Report = quiet) -> Totals:
    return run(job, plan(job).tasks, Local(workers), report)


def test_a_folder_becomes_shards_and_comes_back(photos: Path, tmp_path: Path) -> None:
    coded = Job((str(photos),), Target(str(tmp_path / "coded")), ToCoded(), shard_size=8)
    totals = done(coded, workers=2)
    stats = totals.stats
    assert (stats.count, stats.successes, stats.failed_to_transcode) == (13, 12, 1)
    assert stats.status_dict["not an image in a format that Pillow knows"] == 1
    names = [*read_tar(tmp_path / "coded/00000.tar"), *read_tar(tmp_path / "coded/00001.tar")]
    assert len(names) == 12
    assert {"000.hvae", "sub/011.hvae"} <= set(names)
    target = Target(str(tmp_path / "back"), "files")
    back = done(Job((str(tmp_path / "coded"),), target, ToImages()))
    assert back.stats.successes == 12
    assert len(list((tmp_path / "back").rglob("*.png"))) == 12
    assert (tmp_path / "back/00000/000.png").is_file()


def test_a_second_run_does_what_is_new(photos: Path, tmp_path: Path) -> None:
    target = Target(str(tmp_path / "out"))
    job = Job((str(photos),), target, ToImages(), shard_size=8)
    assert done(job).stats.count == 13
    assert not plan(job).tasks
    (photos / "001a.png").write_bytes(drawn(99))
    left = plan(job)
    assert (len(left.tasks), left.done) == (1, 13)
    assert done(job).stats.count == 1
    assert Counter(row["key"] for row in rows_of(tmp_path / "out")).most_common(1)[0][1] == 1
    extended = Job((str(photos / "sub"),), target, ToImages(), shard_size=8, mode="extend")
    assert [task.number for task in plan(extended).tasks] == [3]
    again = Job((str(photos),), target, ToImages(), mode="overwrite")
    assert [len(plan(again).tasks), len(rows_of(tmp_path / "out"))] == [1, 14]
    assert done(again).stats.count == len(rows_of(tmp_path / "out")) == 14


def test_shards_that_were_lost_are_done_again_under_their_numbers(
    photos: Path, tmp_path: Path
) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), shard_size=5)
    done(job)
    (tmp_path / "out/00001_stats.json").unlink()  # as if its run had been killed
    assert [task.number for task in plan(job).tasks] == [1]
    assert done(job).stats.count == 5
    keys = [row["key"] for row in rows_of(tmp_path / "out")]
    assert (len(keys), len(set(keys))) == (13, 13)


@pytest.mark.parametrize("mode", ["incremental", "overwrite", "extend"])
@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
def test_what_others_put_under_the_number_of_a_shard_stays(
    photos: Path, tmp_path: Path, kind: str, mode: str
) -> None:
    out = tmp_path / "out"
    (out / "00000").mkdir(parents=True)
    foreign = [out / "00000/mine.txt", out / "00002.tar", out / "00003.parquet"]
    for path in foreign:
        path.write_bytes(b"mine")
    job = Job((str(photos),), Target(str(out), kind), ToImages(), shard_size=5, mode=mode)
    assert done(job).stats.count == 13
    assert [path.read_bytes() for path in foreign] == [b"mine"] * 3
    assert [*(out / "00000").iterdir()] == [foreign[0]]
    numbers = [path.name[:5] for path in sorted(out.glob("*_stats.json"))]
    assert numbers == (
        ["00004", "00005", "00006"] if mode == "extend" else ["00001", "00004", "00005"]
    )


def test_a_tar_is_read_no_more_once_all_of_it_is_done(tmp_path: Path) -> None:
    members = {
        f"{k}.{s}": drawn(k) if s == "png" else b"text" for k in range(4) for s in ("png", "txt")
    }
    write_tar(tmp_path / "in.tar", members)
    job = Job((str(tmp_path / "in.tar"),), Target(str(tmp_path / "out")), ToImages())
    assert done(job).stats.count == 4
    assert read_tar(tmp_path / "out/00000.tar") == members
    assert not plan(job).tasks


def test_a_cut_shard_is_accounted_for_and_done_once_it_is_whole(tmp_path: Path) -> None:
    path, out = tmp_path / "in.tar", tmp_path / "out"
    write_tar(path, {f"{k}.png": drawn(k) for k in range(5)})
    whole = path.read_bytes()
    path.write_bytes(whole[: 4 * len(whole) // 9])
    job = Job((str(path),), Target(str(out)), ToImages())
    totals = done(job)
    assert totals.stats.failed_to_read
    found = totals.stats.kept_original
    path.write_bytes(whole)
    assert done(job).stats.kept_original == 5 - found
    assert sorted(samples_of(out)) == sorted(drawn(k) for k in range(5))


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


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_tar_without_images_is_done_once(tmp_path: Path, place: str) -> None:
    names = [f"{letter}.tar" for letter in "abc"]
    empty = names[("first", "middle", "last").index(place)]
    for name in names:
        write_tar(tmp_path / name, {} if name == empty else {f"{name}.png": drawn(1)})
    sources = tuple(str(tmp_path / name) for name in names)
    job = Job(sources, Target(str(tmp_path / "out")), ToImages())
    assert done(job).stats.count == 2
    assert not plan(job).tasks


def test_a_shard_in_the_target_is_no_source(tmp_path: Path) -> None:
    """It would be deleted, or be replaced by its own output, which has its name."""
    write_tar(tmp_path / "00000.tar", {"a.png": drawn(1)})
    before = (tmp_path / "00000.tar").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for source in ("00000.tar", "*.tar"):
        for target in (".", "link"):
            job = Job((f"{tmp_path}/{source}",), Target(f"{tmp_path}/{target}"), ToImages())
            with pytest.raises(OSError, match="lies in the target"):
                plan(replace(job, mode="overwrite"))
    assert (tmp_path / "00000.tar").read_bytes() == before


def test_what_lies_in_the_target_is_not_done_again(photos: Path) -> None:
    job = Job((str(photos),), Target(f"{photos}/out"), ToImages())
    assert done(job).stats.count == 13
    assert not plan(job).tasks


def test_other_processes_of_the_caller_live_on(tmp_path: Path) -> None:
    other = multiprocessing.get_context("spawn").Process(target=signal.pause)
    other.start()
    results = processes.results(len, ["a", "b", "c"], 1, len, ahead=2)
    assert next(results) == 1
    results.close()
    assert other.is_alive()
    other.kill()
    other.join()


def test_a_target_that_is_a_file_or_a_source_is_refused_before_the_work(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="is no folder"):
        plan(Job((str(photos),), Target(str(tmp_path / "file")), ToImages()))
    for source, target in ((photos, f"{photos}/"), (photos / "000.png", photos)):
        with pytest.raises(OSError, match="lies in the target"):
            plan(Job((str(source),), Target(str(target)), ToImages(), mode="overwrite"))
    assert len([*photos.rglob("*.png")]) == 12
    with pytest.raises(OSError):
        plan(Job((str(photos),), Target("nonsense://bucket/x"), ToImages()))


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
def test_a_name_that_is_no_text_is_done_once(tmp_path: Path, kind: Any) -> None:  # noqa: ANN401
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        Path(os.fsdecode(bytes(folder) + b"/a\xff.png")).write_bytes(drawn(1))
    except OSError:
        pytest.skip("the file system takes text alone")
    write_tar(folder / "more.tar", {"b\udcff.png": drawn(2)})
    job = Job((str(folder),), Target(str(tmp_path / "out"), kind), ToImages())
    assert done(job).stats.kept_original == 2
    assert sorted(row["key"] for row in rows_of(tmp_path / "out")) == ["a_", "b_"]
    assert not done(job).stats.count


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


def test_overwriting_deletes_nothing_before_it_can_work(photos: Path, tmp_path: Path) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), mode="overwrite")
    done(job)
    count = len(rows_of(tmp_path / "out"))
    unable = replace(job, how=ToImages(suffix="none"))
    with pytest.raises(ImageError):
        run(unable, plan(unable).tasks, Local(1), lambda *_: None)
    refused = replace(job, how=ToImages())
    with pytest.raises(OSError, match="Ray cannot be reached"):
        engine = OnRay(address="127.0.0.1:9")
        run(refused, plan(refused).tasks, engine, lambda *_: None)
    assert len(rows_of(tmp_path / "out")) == count


def test_a_tar_that_grew_is_looked_at_again(tmp_path: Path) -> None:
    members = {"0.png": drawn(0)}
    write_tar(tmp_path / "in.tar", members)
    job = Job((str(tmp_path / "in.tar"),), Target(str(tmp_path / "out")), ToImages())
    assert done(job).stats.count == 1
    write_tar(tmp_path / "in.tar", members | {f"{k}.png": drawn(k) for k in range(1, 40)})
    assert done(job).stats.count == 39
    assert not plan(job).tasks


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
    totals = run(job, plan(job).tasks, Local(1), lambda *_: None)
    assert len(totals.failures) == 1
    assert len(asked) < 2 * 13


def test_where_no_process_starts_no_image_is_to_blame(photos: Path, tmp_path: Path) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages())
    with pytest.raises(ModelError, match="processes that are started end at once"):
        run(job, plan(job).tasks, Local(1, partial(os._exit, 1)), lambda *_: None)
    assert len(plan(job).tasks) == 1


def test_what_is_larger_than_a_process_may_hold_is_not_read(tmp_path: Path) -> None:
    def read() -> bytes:
        raise AssertionError

    item = Item("a", "png", "a.png", 50_000_000_000, read)
    ((_, _, row),) = read_ahead(ToImages(), [(None, item)])
    assert isinstance(row, Row) and "more than a process may hold" in (row.error or "")
