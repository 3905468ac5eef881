"""Shards: whole or not there, whatever breaks them off, and read again."""

import errno
import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hvae_codec.codec.batch import Row, Target, storage
from hvae_codec.codec.batch.row import FAILED
from hvae_codec.codec.batch.samples import Outcome
from hvae_codec.codec.batch.shards import Done, delete_shards, read_done, write_shard
from hvae_codec.codec.batch.sources import Item, held, parts_of
from hvae_codec.codec.batch.storage import Full
from hvae_codec.codec.errors import DataError

from .conftest import read_tar

GOOD = Row("success", width=3, height=2, original_bytes=9, bytes=4, quality=60)


def outcome(key: str, data: bytes | None = b"data", **more: object) -> Outcome:
    fields: dict = {"key": key, "suffix": "png", "source": f"s/{key}", "size": 9, **more}
    row = GOOD if data else Row("failed_to_transcode", error="broken")
    return Item(read=held(b""), **fields), data, "hvae" if data else None, row


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


OUTCOMES = [
    outcome("a/1.x", beside={"txt": b"one"}),
    outcome("2", None),
    outcome("a/1_x"),
    outcome("../3", suffix="left.png", ends_sample=False, beside={"cls": b"7"}),
    outcome("../3", suffix="right.png"),
]


def test_a_tar_has_the_samples_and_its_twin_a_row_for_every_image(tmp_path: Path) -> None:
    stats = write_shard(Target(str(tmp_path)), 12, OUTCOMES, "part")
    assert names_in(tmp_path) == ["00012.parquet", "00012.tar", "00012_stats.json"]
    assert read_tar(tmp_path / "00012.tar") == {
        "a/1_x.hvae": b"data", "a/1_x.txt": b"one", "a/1_x_2.hvae": b"data",
        "3.left.hvae": b"data", "3.right.hvae": b"data", "3.cls": b"7",
    }  # fmt: skip
    rows = pq.read_table(tmp_path / "00012.parquet").to_pylist()
    assert [row["key"] for row in rows] == ["a/1_x", "2", "a/1_x_2", "3", "3"]
    assert rows[1]["error"] == "broken"
    told = json.loads((tmp_path / "00012_stats.json").read_text())
    assert (told["count"], told["successes"], told["failed_to_transcode"]) == (5, 4, 1)
    assert (stats.bytes, stats.original_bytes, stats.pixels) == (16, 36, 24)
    sources = frozenset(item.source for item, *_ in OUTCOMES)
    assert read_done(Target(str(tmp_path))) == Done(
        frozenset([12]), frozenset(), sources, frozenset(["part"]), 1
    )


def test_files_lie_in_a_folder_of_the_shard(tmp_path: Path) -> None:
    target = Target(str(tmp_path), "files")
    (tmp_path / "00003").mkdir()
    (tmp_path / "00003/left-by-a-run-that-was-killed.hvae").write_bytes(b"")
    write_shard(target, 3, OUTCOMES, None)
    assert names_in(tmp_path / "00003") == [
        "3.cls", "3.left.hvae", "3.right.hvae", "a/1.x.hvae", "a/1.x.txt", "a/1_x.hvae",
    ]  # fmt: skip
    (tmp_path / "mine.txt").write_text("mine")
    delete_shards(target)
    assert names_in(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize("kind", ["files", "webdataset"])
def test_images_of_one_sample_have_names_of_their_own(tmp_path: Path, kind: str) -> None:
    sample = [
        outcome("1", b"photograph", suffix="jpg", ends_sample=False),
        outcome("1", b"mask", ends_sample=False),
        outcome("1", b"mask again"),
    ]
    write_shard(Target(str(tmp_path), kind), 0, sample, None)
    if kind == "files":
        written = {path.name: path.read_bytes() for path in (tmp_path / "00000").iterdir()}
    else:
        written = read_tar(tmp_path / "00000.tar")
    assert written == {
        "1.jpg.hvae": b"photograph", "1.png.hvae": b"mask", "1.2.png.hvae": b"mask again",
    }  # fmt: skip


def test_parquet_holds_the_samples_and_is_a_source(tmp_path: Path) -> None:
    write_shard(Target(str(tmp_path), "parquet"), 0, OUTCOMES, None)
    _, parts = parts_of([str(tmp_path)], 100, None)
    items = [item for part in parts for item in part.items()]
    assert [(item.key, item.suffix) for item in items] == [
        ("a/1.x", "hvae"), ("a/1_x", "hvae"), ("3", "hvae"), ("3", "hvae"),
    ]  # fmt: skip
    assert items[0].beside == {"txt": b"one"}
    assert {item.read() for item in items} == {b"data"}


@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
def test_no_name_leads_out_of_the_target(tmp_path: Path, kind: str) -> None:
    """A Parquet file calls what is beside its images as it likes."""
    target = tmp_path / "a/b/out"
    beside = {"x/../../../../evil.txt": b"evil", "..\\evil": b"evil", "n\0": b"evil"}
    item = Item("../../k", "../../jpg", "s/k", 4, held(b"data"), beside)
    row = Row("success", bytes=4)
    write_shard(Target(str(target), kind), 0, [(item, b"data", "hvae", row)], None)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {
        path for path in target.rglob("*") if path.is_file()
    }
    names = names_in(target / "00000") if kind == "files" else []
    if kind == "webdataset":
        names = [*read_tar(target / "00000.tar")]
    assert len(names) == (0 if kind == "parquet" else 4)
    assert not any("/" in name or "\\" in name or "\0" in name for name in names)


def test_what_could_not_be_read_is_not_done(tmp_path: Path) -> None:
    item, *_ = outcome("x")
    unread: Outcome = (item, None, None, Row("failed_to_read", error="timed out"))
    stats = write_shard(Target(str(tmp_path)), 0, [outcome("y"), unread], "part")
    assert stats.failed_to_read == 1
    done = read_done(Target(str(tmp_path)))
    assert (done.sources, done.parts) == (frozenset(["s/y"]), frozenset())


def test_what_is_broken_off_leaves_what_is_done(tmp_path: Path) -> None:
    def broken_off() -> Iterator[Outcome]:
        yield from OUTCOMES[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(Target(str(tmp_path)), 0, broken_off(), "part")
    assert len(read_tar(tmp_path / "00000.tar")) == 3  # half a sample is none
    done = read_done(Target(str(tmp_path)))
    assert done.sources == {"s/a/1.x", "s/2", "s/a/1_x"}
    assert not done.parts


@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
def test_a_fault_leaves_nothing_that_counts(tmp_path: Path, kind: str) -> None:
    def broken() -> Iterator[Outcome]:
        yield OUTCOMES[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(Target(str(tmp_path), kind), 0, broken(), "part")
    assert names_in(tmp_path) == []
    assert read_done(Target(str(tmp_path), kind)) == Done()


@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_is_told_and_leaves_no_half_of_a_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, at: int
) -> None:
    """The disk is full when a file is to be flushed; the old shard stays as it is."""
    left = at

    def fsync(number: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hvae_codec.codec.batch.storage.os.fsync", fsync)
    with pytest.raises(Full, match="No space left on device"):
        write_shard(Target(str(tmp_path / "new"), kind), 0, OUTCOMES, None)
    assert names_in(tmp_path) == []


def test_a_shard_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    (tmp_path / "00000.tar").write_bytes(b"of a run that was killed")
    (tmp_path / ".00000.begun").write_bytes(b"")
    (tmp_path / ".00000.parquet.part").write_bytes(b"half")
    assert read_done(target) == Done()
    write_shard(target, 0, OUTCOMES[:1], None)
    assert list(read_tar(tmp_path / "00000.tar")) == ["a/1_x.hvae", "a/1_x.txt"]
    assert names_in(tmp_path) == ["00000.parquet", "00000.tar", "00000_stats.json"]


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        write_shard(Target(str(tmp_path / "file")), 0, OUTCOMES, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("00000_stats.json", b"{"),
        ("00000_stats.json", b"[]"),
        ("00000.parquet", b"PAR1 cut"),
        ("00000.parquet", b""),
        ("00000.parquet", None),
    ],
)
def test_a_damaged_shard_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    target = Target(str(tmp_path))
    write_shard(target, 0, OUTCOMES, None)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is damaged"):
        read_done(target)


def test_a_shard_that_another_run_wrote_meanwhile_stays(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    write_shard(target, 0, OUTCOMES[:1], None)
    before = (tmp_path / "00000.tar").read_bytes()
    with pytest.raises(FileExistsError):
        write_shard(target, 0, OUTCOMES[1:], None)
    assert (tmp_path / "00000.tar").read_bytes() == before
    assert read_done(target).sources == {OUTCOMES[0][0].source}


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
@pytest.mark.parametrize("place", ["disk", "memory://two"])
def test_of_two_runs_under_one_number_one_writes_it(tmp_path: Path, kind: str, place: str) -> None:
    """The other one touches nothing of it, also where it ends in the midst."""
    target = Target(str(tmp_path) if place == "disk" else place, kind)

    def overtaken(*others: Outcome) -> Iterator[Outcome]:
        yield OUTCOMES[0]
        write_shard(target, 0, OUTCOMES[:2], None)
        yield from others
        if not others:
            raise RuntimeError

    for others, error in ((OUTCOMES[2:], FileExistsError), ((), RuntimeError)):
        with pytest.raises(error):
            write_shard(target, 0, overtaken(*others), None)
        assert read_done(target).sources == {item.source for item, *_ in OUTCOMES[:2]}
        filesystem, path = storage.place_of(target.file(""))
        left = [name.rpartition("/")[2] for name in filesystem.find(path)]
        tar = ["00000.tar"] if kind == "webdataset" else []
        assert sorted(left) == ["00000.parquet", *tar, "00000_stats.json"]
        delete_shards(target)


def test_shards_of_img2dataset_and_other_numbers_are_not_ours(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    (tmp_path / "00001_stats.json").write_text('{"count": 1, "successes": 1, "status_dict": {}}')
    (tmp_path / "00001.tar").write_bytes(b"theirs")
    pq.write_table(pa.table({"url": ["x"], "key": ["0"]}), tmp_path / "00001.parquet")
    for name in ("000000/a.jpg", "20240101/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "20240101_stats.json").write_text("[]")
    write_shard(target, 0, OUTCOMES[:1], None)
    before = names_in(tmp_path)
    done = read_done(target)
    assert (done.numbers, done.foreign) == ({0}, {1, 20240101})
    delete_shards(target)
    assert names_in(tmp_path) == [
        name for name in before if not name.startswith("00000.") and name != "00000_stats.json"
    ]


def deleting_once() -> Callable[[str], None]:
    steps, delete = iter([False, True]), storage.delete

    def deleting(url: str) -> None:
        if next(steps):
            raise KeyboardInterrupt
        delete(url)

    return deleting


def test_deleting_that_was_broken_off_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(str(tmp_path))
    write_shard(target, 0, OUTCOMES, None)
    files = len(names_in(tmp_path))
    for left in range(files - 1, 0, -1):  # killed after each of its steps
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(storage, "delete", deleting_once())
            delete_shards(target)
        assert len(names_in(tmp_path)) == left
    delete_shards(target)
    assert names_in(tmp_path) == []


def test_names_that_look_like_patterns_are_names() -> None:
    """fsspec's own way to delete a folder takes its name for a pattern."""
    filesystem = fsspec.filesystem("memory")
    for name in ("run1", "run[1]"):
        write_shard(Target(f"memory://{name}", "files"), 0, OUTCOMES[:1], None)
    delete_shards(Target("memory://run[1]"))
    assert not filesystem.find("/run[1]")
    assert filesystem.find("/run1")


@pytest.mark.parametrize("kind", ["webdataset", "files", "parquet"])
def test_odd_names_cost_nobody_a_shard(tmp_path: Path, kind: str) -> None:
    keys = ["n" * 249, "A", "a", "\u00e9", "e\u0301", *["same"] * 3, "caf\udce9"]
    outcomes = [outcome(key, source=f"s{number}") for number, key in enumerate(keys)]
    failed = Row(FAILED, error="a link to caf\udce9.png")
    outcomes.append((outcome("link")[0], None, None, failed))
    assert write_shard(Target(str(tmp_path), kind), 0, outcomes, None).count == 10
    rows = pq.read_table(tmp_path / "00000.parquet", columns=["key", "error"]).to_pylist()
    folded = {unicodedata.normalize("NFC", row["key"]).casefold() for row in rows}
    assert len(folded) == 10
    assert rows[-1]["error"] == "a link to caf\\udce9.png"


def test_folders_have_names_that_windows_knows(tmp_path: Path) -> None:
    """It would write x:y and CON elsewhere, and strip dots, without an error."""
    outcomes = [
        outcome("12:30/CON", beside={"aux": b"1", "a:b": b"2", "a_b": b"3", "A_b": b"4"}),
        outcome("12_30/_con"),
        outcome("end. /what?", beside={"x" * 300 + ".txt": b"5"}),
        outcome("com1.x"),
        outcome("console"),
    ]
    write_shard(Target(str(tmp_path), "files"), 0, outcomes, None)
    assert names_in(tmp_path / "00000") == sorted([
        "12_30/_CON.hvae", "12_30/_CON.aux", "12_30/_CON.a_b", "12_30/_CON.2.a_b",
        "12_30/_CON.3.A_b", "12_30/_con_2.hvae", "end_/what_.hvae",
        f"end_/what_.{'x' * 46}.txt", "_com1.x.hvae", "console.hvae",
    ])  # fmt: skip
    rows = pq.read_table(tmp_path / "00000.parquet").to_pylist()
    assert rows[0]["key"] == "12_30/_CON"
    write_shard(Target(str(tmp_path)), 1, outcomes, None)
    assert "12:30/CON.hvae" in read_tar(tmp_path / "00001.tar")


def test_an_interrupt_before_the_first_image_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Outcome]:
        raise KeyboardInterrupt
        yield OUTCOMES[0]

    with pytest.raises(KeyboardInterrupt):
        write_shard(Target(str(tmp_path)), 0, interrupted(), None)
    assert names_in(tmp_path) == []
