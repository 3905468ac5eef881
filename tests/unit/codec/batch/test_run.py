"""Runs: what is done, what another run does, and whose files stay as they are."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hvae_codec.codec.batch import Job, Local, OnRay, Target, ToCoded, ToImages, plan, run, storage
from hvae_codec.codec.errors import ImageError

from .conftest import done, drawn, quiet, read_tar, rows_of, samples_of, write_tar

pytestmark = pytest.mark.usefixtures("shipped")


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


def test_a_second_run_into_the_same_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = Job((str(photos),), Target(str(out)), ToImages(), shard_size=8, mode="overwrite")
    done(job)
    tasks, before = plan(job).tasks, sorted(out.iterdir())
    with storage.locked(str(out)), pytest.raises(OSError, match="another run writes there"):
        run(job, tasks, Local(1), quiet)
    assert sorted(out.iterdir()) == before
    assert run(job, tasks, Local(1), quiet).stats.count == 13
    assert not (out / ".lock").exists()


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


def test_overwriting_deletes_nothing_before_it_can_work(photos: Path, tmp_path: Path) -> None:
    job = Job((str(photos),), Target(str(tmp_path / "out")), ToImages(), mode="overwrite")
    done(job)
    count = len(rows_of(tmp_path / "out"))
    unable = replace(job, how=ToImages(suffix="none"))
    with pytest.raises(ImageError):
        run(unable, plan(unable).tasks, Local(1), quiet)
    refused = replace(job, how=ToImages())
    with pytest.raises(OSError, match="Ray cannot be reached"):
        engine = OnRay(address="127.0.0.1:9")
        run(refused, plan(refused).tasks, engine, quiet)
    assert len(rows_of(tmp_path / "out")) == count


def test_a_tar_that_grew_is_looked_at_again(tmp_path: Path) -> None:
    members = {"0.png": drawn(0)}
    write_tar(tmp_path / "in.tar", members)
    job = Job((str(tmp_path / "in.tar"),), Target(str(tmp_path / "out")), ToImages())
    assert done(job).stats.count == 1
    write_tar(tmp_path / "in.tar", members | {f"{k}.png": drawn(k) for k in range(1, 40)})
    assert done(job).stats.count == 39
    assert not plan(job).tasks
