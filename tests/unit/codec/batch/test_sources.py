"""What is found in folders and tars, and what becomes of what cannot be read."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hvae_codec.codec.batch import Row, Target, sources
from hvae_codec.codec.batch.reading import read_ahead
from hvae_codec.codec.batch.row import FAILED
from hvae_codec.codec.batch.shards import write_shard
from hvae_codec.codec.batch.sources import Item, cut, held, parts_of
from hvae_codec.codec.batch.tar import TarPart
from hvae_codec.codec.batch.transcode import ToCoded
from hvae_codec.codec.errors import DataError

from .conftest import drawn, items_of, write_tar


def keys_of(*sources: str | Path) -> list[str]:
    images, _ = parts_of([str(source) for source in sources], 100, None)
    return [image.key for image in images]


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


def test_members_that_cannot_be_held_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = bytes(2000), b"png"
    write_tar(
        tmp_path / "0.tar",
        {"1.a.png": large, "1.b.png": small, "2.png": small, "2.npy": large},
    )
    read, extracted = tarfile.TarFile.extractfile, []

    def counted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> object:
        extracted.append(member.name)
        return read(archive, member)

    monkeypatch.setattr(tarfile.TarFile, "extractfile", counted)
    first, second, third = TarPart(f"file://{tmp_path}/0.tar", 0).items(1000)
    for item, named in ((first, "1.a.png"), (third, "2.npy")):
        with pytest.raises(OSError, match=f"{named} has 2000 bytes, more than a process may hold"):
            item.read()
    ((_, _, row),) = read_ahead(ToCoded(memory_bytes=1000), [(None, first)])
    assert isinstance(row, Row) and row.status == FAILED  # not tried again by the next run
    assert second.read() == small
    assert extracted == ["1.b.png", "2.png"]


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


def test_a_backslash_parts_folders_on_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = "tars\\{00..01}.tar"
    with pytest.raises(DataError):
        list(sources._expanded(pattern))
    monkeypatch.setattr(os, "sep", "\\")
    assert [*sources._expanded(pattern)] == ["tars\\00.tar", "tars\\01.tar"]


def test_braces_that_do_not_match_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its braces do not match"):
        parts_of([str(tmp_path / "a{b")], 100, None)


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


def test_a_pattern_finds_what_lies_in_the_folders_that_it_names(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(drawn(0))
    images, _ = parts_of([str(tmp_path / "*")], 100, None)
    assert [image.key for image in images] == ["a", "sub/b"]
