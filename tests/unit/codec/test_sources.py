"""What is encoded and decoded: paths, bytes, open files of many kinds, and what is none of them."""

import io
import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import ArgumentError

pytestmark = pytest.mark.usefixtures("tiny_in_use")


class Slow(io.BytesIO):
    """A file that gives three bytes at a time, as one without a buffer may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(3, size) if size is not None and size > 0 else size)


def test_an_image_file_is_read_from_where_it_stands(photograph: np.ndarray) -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    Image.fromarray(photograph[:40, :64]).save(file, "PNG")
    file.seek(6)
    whole = hvae_codec.encode(photograph[:40, :64], 30)
    assert hvae_codec.encode(file, 30) == whole
    file.seek(6)
    flat = Image.new("L", (64, 40), 128)
    grey = io.BytesIO()
    flat.save(grey, "PNG")
    with_map = hvae_codec.encode(Slow(file.read()), 30, map=io.BytesIO(grey.getvalue()))
    assert with_map == hvae_codec.encode(photograph[:40, :64], 30, map=flat)


def test_files_of_any_kind_are_read_or_refused(photograph: np.ndarray) -> None:
    data = hvae_codec.encode(photograph[:64, :64], 20)
    whole = np.asarray(hvae_codec.decode(data))
    assert np.array_equal(np.asarray(hvae_codec.decode(Slow(data))), whole)
    closed = io.BytesIO(data)
    closed.close()
    with pytest.raises(ArgumentError, match="closed"):
        hvae_codec.decode(closed)
    with pytest.raises(ArgumentError, match="closed"):
        hvae_codec.encode(closed)
    with pytest.raises(ArgumentError, match="open as text"):
        hvae_codec.encode(io.StringIO("text"))  # type: ignore[arg-type]
    pipe = io.BytesIO(data)
    pipe.seekable = lambda: False  # type: ignore[method-assign]
    with pytest.raises(ArgumentError, match="cannot be sought"):
        hvae_codec.decode(pipe)


def test_a_mapped_file_is_a_file(tmp_path: Path, photograph: np.ndarray) -> None:
    path = tmp_path / "x.hvae"
    path.write_bytes(hvae_codec.encode(photograph, lossless=True))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        source: Any = mapped
        assert hvae_codec.decode(source) == hvae_codec.decode(path)


@pytest.mark.parametrize("read", ["text", None, 5])
def test_a_file_that_reads_no_bytes_is_refused(read: object) -> None:
    """One that is open as text, one without data yet; one of asyncio would give a coroutine."""
    file: Any = SimpleNamespace(read=lambda size=-1: read, seek=lambda *to: 0, tell=lambda: 9)
    for function in (hvae_codec.decode, hvae_codec.encode):
        with pytest.raises(ArgumentError, match=f"reads {type(read).__name__}, not bytes"):
            function(file)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ArgumentError, match="is no path"):
        hvae_codec.decode(path)
    with pytest.raises(OSError):
        hvae_codec.encode(path)


@pytest.mark.parametrize("source", [None, 5, Image.new("L", (1, 1))])
def test_what_is_no_coded_file_is_refused(source: Any) -> None:  # noqa: ANN401
    with pytest.raises(ArgumentError, match="is not a coded file"):
        hvae_codec.decode(source)
