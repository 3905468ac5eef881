"""Images in columns of Parquet files, and what stands beside them."""

import datetime
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hvae_codec.codec.batch import storage
from hvae_codec.codec.batch.sources import parts_of
from hvae_codec.codec.errors import DataError

from .conftest import drawn, items_of, write_tar


def parquet(path: Path, columns: Mapping[str, Any], **more: Any) -> Path:  # noqa: ANN401
    pq.write_table(pa.table(columns), path, **more)
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
    (tmp_path / "c.parquet").write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"c\.parquet is no Parquet file"):
        items_of(tmp_path / "c.parquet")


def test_a_column_named_beside_is_one_of_the_others(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0)], "beside": ["mine"]})
    (item,) = items_of(path)
    assert item.read() == drawn(0)
    assert json.loads(item.beside["json"]) == {"beside": "mine"}


def test_a_column_that_holds_no_bytes_is_told_of(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0)], "url": ["https://example.com"]})
    with pytest.raises(DataError, match=r"a\.parquet: the column url is string, not bytes"):
        parts_of([str(path)], 100, "url")


def test_images_of_parquet_beside_a_tar_are_no_rows(tmp_path: Path) -> None:
    write_tar(tmp_path / "train.tar", {"0.png": drawn(0)})
    parquet(tmp_path / "train.parquet", {"image": [drawn(1)]})
    _, parts = parts_of([str(tmp_path)], 100, None)
    assert [item.read() for part in parts for item in part.items()] == [drawn(1), drawn(0)]


def test_a_hostile_row_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads opens no image."""
    bomb = drawn(1)[:16] + struct.pack(">II", 40_000, 40_000) + drawn(1)[24:]
    path = parquet(tmp_path / "a.parquet", {"image": [drawn(0), bomb, drawn(2)]})
    assert [(i.suffix, i.read()) for i in items_of(path)] == [
        ("png", drawn(0)), ("png", bomb), ("png", drawn(2)),
    ]  # fmt: skip


def test_odd_values_cost_no_row(tmp_path: Path) -> None:
    """Python has no type for nanoseconds, and pandas, which has, need not be installed."""
    offsets = struct.pack("<3i", 0, 1, 3)
    columns = {
        "image": [drawn(0), drawn(1)],
        "key": [0, 1],
        "text": pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(b"\xffok")]
        ),
        "when": pa.array([1, 2_000], pa.timestamp("ns")),
        "far": pa.array([2**62, 0], pa.timestamp("us")),
        "zoned": pa.array([2**62, 0], pa.timestamp("us", "Europe/Berlin")),
    }
    items = items_of(parquet(tmp_path / "a.parquet", columns))
    assert [(item.key, item.read()) for item in items] == [("0", drawn(0)), ("1", drawn(1))]
    odd, plain = (json.loads(item.beside["json"]) for item in items)
    assert (odd["text"], plain["text"]) == ("\\xff", "ok")
    assert odd["when"] == "1970-01-01 00:00:00.000000001"
    assert odd["zoned"] == f"{odd['far']}Z"  # which asks for no table of zones


def test_a_row_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    offsets = struct.pack("<3i", 0, 1, 6)
    paths = [None, pa.py_buffer(offsets), pa.py_buffer(b"\xff1.jpg")]
    structs = pa.StructArray.from_arrays(
        [pa.array([drawn(0), drawn(1)]), pa.Array.from_buffers(pa.string(), 2, paths)],
        ["bytes", "path"],
    )
    first, second = items_of(parquet(tmp_path / "a.parquet", {"image": structs}))
    with pytest.raises(OSError, match="the row cannot be read"):
        first.read()
    assert (first.source[-2:], second.suffix, second.read()) == ("#0", "jpg", drawn(1))


def test_of_a_row_group_no_more_is_read_than_its_turn_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [os.urandom(100_000) for _ in range(100)]
    path = tmp_path / "a.parquet"
    parquet(path, {"image": images}, write_batch_size=4, use_dictionary=False)
    asked, read = [], storage._Reopening._read

    def counted(file: Any, count: int) -> bytes:  # noqa: ANN401
        asked.append(count)
        return read(file, count)

    monkeypatch.setattr(storage._Reopening, "_read", counted)
    ((part,),) = parts_of([str(path)], 100, None)[1:]
    items = part.items()
    assert next(items).read() == images[0]
    assert sum(asked) < path.stat().st_size // 2
    assert [item.read() for item in items] == images[1:]
