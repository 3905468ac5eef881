"""Drawn images, in folders and tar shards, and runs over them."""

import io
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.codec.batch import Job, Local, Totals, plan, run
from hvae_codec.codec.batch.run import Report
from hvae_codec.codec.batch.sources import Item, parts_of

try:
    import fsspec  # noqa: F401
    import pyarrow.parquet as pq
except ModuleNotFoundError:  # the extra `batch` is not installed
    collect_ignore_glob = ["test_*.py"]

Draw = Callable[..., bytes]


def drawn(seed: int, size: tuple[int, int] = (24, 16), format: str = "PNG") -> bytes:
    """An image file, another one for every seed."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([7 * rows + seed, 5 * columns + seed // 256, rows + columns], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def draw() -> Draw:
    return drawn


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 12 images and one that is none."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for k in range(12):
        (folder / ("sub" if k % 3 else ".") / f"{k:03d}.png").write_bytes(drawn(k))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no image either")
    return folder


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def read_tar(path: Path) -> dict[str, bytes]:
    """Name and content of each member; a name that is there twice is a failure."""
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert not [name for name, times in Counter(names).items() if times > 1]
        members = {name: archive.extractfile(name) for name in names}
        return {name: stream.read() if stream else b"" for name, stream in members.items()}


def rows_of(folder: Path) -> list[dict]:
    """The rows of all shards that are done."""
    done = sorted(folder.glob("*_stats.json"))
    names = [path.name.replace("_stats.json", ".parquet") for path in done]
    return [row for name in names for row in pq.read_table(folder / name).to_pylist()]


def samples_of(folder: Path) -> list[bytes]:
    """The contents of all tar shards that are done."""
    done = sorted(folder.glob("*_stats.json"))
    tars = [folder / path.name.replace("_stats.json", ".tar") for path in done]
    return [data for path in tars for data in read_tar(path).values()]


def items_of(*sources: str | Path, shard_size: int = 100, column: str | None = None) -> list[Item]:
    """The items of all tars and Parquet files."""
    _, parts = parts_of([str(source) for source in sources], shard_size, column)
    return [item for part in parts for item in part.items()]


def quiet(images: int, failed: int, size: int) -> None:
    pass


def done(job: Job, workers: int = 1, report: Report = quiet) -> Totals:
    """Do what is left of a job."""
    return run(job, plan(job).tasks, Local(workers), report)
