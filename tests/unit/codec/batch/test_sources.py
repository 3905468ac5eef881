"""What is found in folders, tars and Parquet files, and what becomes of what cannot be read."""

import datetime
import io
import json
import os
import struct
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hvae_codec.codec.batch import Row, Target
from hvae_codec.codec.batch.shards import write_shard
from hvae_codec.codec.batch.sources import Item, cut, held, parts_of
from hvae_codec.codec.batch.tar import TarPart
from hvae_codec.codec.errors import DataError

from .conftest import drawn, write_tar


def keys_of(*sources: str | Path) -> list[str]:
    images, _ = parts_of([str(source) for source in sources], 100, None)
    return [image.key for image in images]


def items_of(*sources: str | Path, shard_size: int = 100, column: str | None = None) -> list[Item]:
    _, parts = parts_of([str(source) for source in sources], shard_size, column)
    return [item for part in parts for item in part.items()]


def test_images_of_a_folder_are_found_in_order_and_nothing_else(photos: Path) -> None:
    (photos / ".hidden").mkdir()
    (photos / ".hidden/x.png").write_bytes(b"")
    keys = keys_of(photos)
    assert len(keys) == 13
    assert keys[:3] == ["000", "003", "006"]
    assert keys[-1] == "sub/011"
    assert keys_of(photos / "*.png") == keys[:4]
    assert keys_of(photos / "00[0-3].png") == ["000", "003"]
    assert keys_of(photos / "{000..006..3}.png") == ["000", "003", "006"]
    assert keys_of(photos / "000.png", photos / "broken.jpg", photos / "000.png") == [
        "000",
        "broken",
    ]
    assert keys_of(f"file://{photos}/sub/001.png") == ["001"]


def test_a_hidden_file_counts_where_it_is_named(photos: Path) -> None:
    (photos / "000.png").rename(photos / ".000.png")
    assert keys_of(photos / ".000.png") == [".000"]
    with pytest.raises(FileNotFoundError, match="no images"):
        keys_of(photos / ".*.png")


def test_links_to_images_are_images(photos: Path) -> None:
    (photos / "link.png").symlink_to("000.png")
    (photos / "nowhere.png").symlink_to("no-such.png")
    assert "link" in keys_of(photos)
    assert "nowhere" in keys_of(photos)  # it cannot be read, which a row says
    assert keys_of(photos / "link.png") == ["link"]


def test_a_folder_that_cannot_be_listed_is_named(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:  # noqa: ANN401
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(PermissionError, match="sub"):
        keys_of(photos)


def test_links_of_a_tar_stand_for_what_came_before(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name, kind, target in [
            ("a/1.png", tarfile.REGTYPE, ""),
            ("a/2.png", tarfile.LNKTYPE, "a/1.png"),
            ("b/3.png", tarfile.SYMTYPE, "../a/1.png"),
            ("b/4.png", tarfile.SYMTYPE, "5.png"),
            ("b/5.png", tarfile.REGTYPE, ""),
            ("./c/6.png", tarfile.SYMTYPE, "../a/1.png"),
            ("./c/7.png", tarfile.LNKTYPE, "./a/1.png"),
            ("d/8.left.png", tarfile.SYMTYPE, "nowhere.png"),
            ("zz.dat", tarfile.SYMTYPE, "nowhere"),
            ("d/8.right.png", tarfile.REGTYPE, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 3 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"png"))
    found = items_of(tmp_path / "0.tar")
    *_, left, right = found
    assert (left.key, left.ends_sample) == ("d/8", False)
    assert (right.key, right.ends_sample) == ("d/8", True)
    items = {item.key: item for item in found}
    assert list(items) == ["a/1", "a/2", "b/3", "b/4", "b/5", "./c/6", "./c/7", "d/8"]
    with pytest.raises(OSError, match=r"a link to 5\.png, which is not before it"):
        items.pop("b/4").read()
    assert {item.read() for item in items.values()} == {b"png"}


def test_images_that_share_a_name_get_keys_that_none_else_has(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/x.jpg", "b/x.png", "a/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert keys_of(tmp_path / "a") == ["x_jpg", "x_png", "y"]
    both = keys_of(tmp_path / "a", tmp_path / "b")
    assert len(set(both)) == 4
    assert both[0] == "x_jpg"
    # which came first does not matter: a later run finds the same names
    assert sorted(keys_of(tmp_path / "b", tmp_path / "a")) == sorted(both)


def test_what_is_not_there_is_named(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keys_of(photos / "no-such.png")
    for nothing in (tmp_path / "*.jp2", photos / "sub" / "*.gif"):
        with pytest.raises(FileNotFoundError, match="no images, tar shards or Parquet"):
            keys_of(nothing)


@pytest.mark.parametrize("name", ["a [1]", "b{c,d}", "e*"])
def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "x.png").write_bytes(drawn(1))
    assert keys_of(tmp_path / name) == ["x"]


def test_shards_have_so_many_images(photos: Path) -> None:
    images, _ = parts_of([str(photos)], 5, None)
    assert [len(part.files) for part in cut(images, 5)] == [5, 5, 3]


def test_members_of_a_sample_stay_together(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "0.tar",
        {
            "a/1.jpg": b"1", "a/1.txt": b"one", "a/1.json": b"{}",
            "2.left.png": b"l", "2.right.png": b"r", "2.cls": b"7",
            "3.txt": b"no image", "__meta__/x.jpg": b"", "README": b"",
        },
    )  # fmt: skip
    first, left, right = items_of(tmp_path)
    assert (first.key, first.suffix, first.read()) == ("a/1", "jpg", b"1")
    assert first.beside == {"txt": b"one", "json": b"{}"}
    assert (left.key, left.suffix, left.beside, left.ends_sample) == (
        "2", "left.png", {"cls": b"7"}, False,
    )  # fmt: skip
    assert (right.key, right.suffix, right.beside, right.ends_sample) == (
        "2", "right.png", {}, True,
    )  # fmt: skip
    assert first.source == f"file://{tmp_path}/0.tar#a/1.jpg"
    part = TarPart(f"file://{tmp_path}/0.tar", 0).without(frozenset([first.source]))
    assert [item.key for item in part.items()] == ["2", "2"]


def test_the_rows_beside_a_folder_of_files_are_no_source(tmp_path: Path) -> None:
    image = Item("1", "png", "1.png", 3, held(b"png"))
    target = Target(str(tmp_path), "files")
    write_shard(target, 0, [(image, b"hvae", "hvae", Row("success"))], None)
    assert keys_of(tmp_path) == ["00000/1"]
    assert not items_of(tmp_path / "00000.parquet")


def test_the_rows_beside_a_tar_are_no_source(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar", {"1.png": b"1"})
    (tmp_path / "00000.parquet").write_bytes(b"rows")
    (tmp_path / "00000_stats.json").write_bytes(b"{}")
    assert [item.key for item in items_of(tmp_path)] == ["1"]


@pytest.mark.parametrize("cut_at", ["content", "header", "end", "start"])
def test_what_a_cut_tar_has_is_read_and_the_rest_is_accounted_for(
    tmp_path: Path, cut_at: str
) -> None:
    path = tmp_path / "0.tar"
    write_tar(path, {f"{k}.png": bytes(700) for k in range(3)})  # each takes 512 + 1024 bytes
    ends = {"content": 3 * 1536 - 600, "header": 2 * 1536 + 100, "end": 3 * 1536, "start": 100}
    path.write_bytes(path.read_bytes()[: ends[cut_at]])
    items = items_of(path)
    whole = {"content": 2, "header": 2, "end": 3, "start": 0}[cut_at]
    assert [item.read() for item in items[:whole]] == [bytes(700)] * whole
    lost = items[whole:]
    assert lost
    for item in lost:
        with pytest.raises(OSError, match=r"cut|damaged"):
            item.read()
    if cut_at == "content":
        assert lost[0].source.endswith("0.tar#2.png")


def parquet(path: Path, columns: dict[str, list], row_group_size: int | None = None) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def test_images_of_parquet_are_bytes_or_structs(tmp_path: Path) -> None:
    images = [drawn(k) for k in range(5)]
    plain = parquet(tmp_path / "a.parquet", {"jpg": images, "caption": [*"vwxyz"]})
    items = items_of(plain)
    assert [item.read() for item in items] == images
    assert [item.suffix for item in items] == ["jpg"] * 5
    assert items[2].key == "a-00000002"
    assert json.loads(items[2].beside["json"]) == {"caption": "x"}
    structs = [{"bytes": data, "path": f"{k}.webp"} for k, data in enumerate(images)]
    hugging = parquet(tmp_path / "b.parquet", {"image": structs, "key": [f"k{n}" for n in "12345"]})
    items = items_of(hugging)
    assert [(item.key, item.suffix) for item in items[:2]] == [("k1", "webp"), ("k2", "webp")]
    assert not items[0].beside
    named = parquet(tmp_path / "c.parquet", {"photo": images})
    assert items_of(named, column="photo")[0].suffix == "png"
    with pytest.raises(DataError, match=r"no column of images, only photo"):
        items_of(named)
    with pytest.raises(DataError, match=r"no column x, only photo"):
        items_of(named, column="x")


def test_other_columns_become_valid_json(tmp_path: Path) -> None:
    nan, day = float("nan"), datetime.date(2026, 1, 2)
    columns = {
        "image": [drawn(0)],
        "score": [nan],
        "bounds": [[1.5, float("inf")]],
        "thumbnail": [b"\xff\0"],
        "about": [{"raw": b"ab", "score": -float("inf"), "name": "x"}],
        "day": [day],
    }
    (item,) = items_of(parquet(tmp_path / "a.parquet", columns))

    def refuse(name: str) -> None:
        raise ValueError(name)

    assert json.loads(item.beside["json"], parse_constant=refuse) == {
        "score": None,
        "bounds": [1.5, None],
        "thumbnail": "/wA=",
        "about": {"raw": "YWI=", "score": None, "name": "x"},
        "day": "2026-01-02",
    }


def test_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    images = [drawn(k) for k in range(10)]
    path = parquet(tmp_path / "a.parquet", {"image": images}, row_group_size=3)
    _, parts = parts_of([str(path)], 7, None)
    shards = [[item.read() for item in part.items()] for part in parts]
    assert shards == [images[:6], images[6:]]
    assert [part.name for part in parts] == [f"file://{path}#0-1", f"file://{path}#2-3"]
    left = parts[1].without(frozenset([f"file://{path}#7"]))
    assert [item.key for item in left.items()] == ["a-00000006", "a-00000008", "a-00000009"]


def test_an_empty_row_and_a_file_that_is_none_are_told(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0), None]})
    with pytest.raises(OSError, match="the row has no image"):
        items_of(path)[1].read()
    (tmp_path / "b.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match=r"b\.parquet is no Parquet file"):
        items_of(tmp_path / "b.parquet")
    data = io.BytesIO(path.read_bytes()).getvalue()
    (tmp_path / "c.parquet").write_bytes(data[:-10])
    with pytest.raises(DataError, match=r"c\.parquet is no Parquet file"):
        items_of(tmp_path / "c.parquet")


def test_braces_that_do_not_match_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its braces do not match"):
        parts_of([str(tmp_path / "a{b")], 100, None)


def test_a_column_named_beside_is_one_of_the_others(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0)], "beside": ["mine"]})
    (item,) = items_of(path)
    assert item.read() == drawn(0)
    assert json.loads(item.beside["json"]) == {"beside": "mine"}


def test_a_column_that_holds_no_bytes_is_told_of(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0)], "url": ["https://example.com"]})
    with pytest.raises(DataError, match=r"a\.parquet: the column url is string, not bytes"):
        parts_of([str(path)], 100, "url")


def test_a_sparse_member_of_a_tar_is_not_read(tmp_path: Path) -> None:
    """It announces any size in a few bytes."""
    member = tarfile.TarInfo("a.png")
    member.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.png",
        "GNU.sparse.realsize": str(1 << 50),
    }  # fmt: skip
    content = b"0\n".ljust(512, b"\0")
    member.size = len(content)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(content))
        whole = tarfile.TarInfo("b.png")
        whole.size = len(drawn(0))
        archive.addfile(whole, io.BytesIO(drawn(0)))
    first, second = items_of(tmp_path / "a.tar")
    with pytest.raises(OSError, match="a sparse file in a tar"):
        first.read()
    assert second.read() == drawn(0)


def test_images_of_parquet_beside_a_tar_are_no_rows(tmp_path: Path) -> None:
    write_tar(tmp_path / "train.tar", {"0.png": drawn(0)})
    parquet(tmp_path / "train.parquet", {"image": [drawn(1)]})
    _, parts = parts_of([str(tmp_path)], 100, None)
    assert [item.read() for part in parts for item in part.items()] == [drawn(1), drawn(0)]


def test_a_pattern_finds_what_lies_in_the_folders_that_it_names(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(drawn(0))
    images, _ = parts_of([str(tmp_path / "*")], 100, None)
    assert [image.key for image in images] == ["a", "sub/b"]


def test_a_hostile_row_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads opens no image."""
    bomb = drawn(1)[:16] + struct.pack(">II", 40_000, 40_000) + drawn(1)[24:]
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0), bomb, drawn(2)]})
    assert [(i.suffix, i.read()) for i in items_of(path)] == [
        ("png", drawn(0)), ("png", bomb), ("png", drawn(2)),
    ]  # fmt: skip
