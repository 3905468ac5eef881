"""Training straight from coded files, in a loader's workers."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import hvae_codec
from hvae_codec.bitstream import BitstreamError
from hvae_codec.codec.errors import DataError
from hvae_codec.codec.info import FileInfo
from hvae_codec.codec.options import DecodeOptions
from hvae_codec.torch import CodedDataset
from hvae_codec.webdataset import CodedDecoder, CodedFiles
from tests.conftest import ROOT

from .conftest import drawn, write_tar

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """Two files, two shards of two and one more, and what they decode to."""
    folder = tmp_path_factory.mktemp("coded")
    data = [hvae_codec.encode(Image.open(io.BytesIO(drawn(k, (48, 40)))), 50) for k in range(5)]
    (folder / "sub").mkdir()
    (folder / "0.hvae").write_bytes(data[0])
    (folder / "sub/1.hvae").write_bytes(data[1])
    (folder / "notes.txt").write_text("none")
    write_tar(folder / "00000.tar", {"2.hvae": data[2], "2.txt": b"two", "a/3.hvae": data[3]})
    write_tar(folder / "00001.tar", {"4.txt": b"four", "4.hvae": data[4], "5.jpg": b"other"})
    return folder, [np.asarray(hvae_codec.decode(one)) for one in data]


Coded = tuple[Path, list[np.ndarray]]


def test_files_and_members_are_found_by_number(coded: Coded) -> None:
    folder, expected = coded
    files = CodedFiles(folder)
    assert files.keys == ["0", "sub/1", "2", "a/3", "4"]
    assert len(files) == 5
    for number, pixels in enumerate(expected):
        assert np.array_equal(np.asarray(files[number]), pixels)
    assert np.array_equal(np.asarray(files[-1]), expected[4])
    with pytest.raises(IndexError):
        files[5]
    assert CodedFiles(folder / "00001.tar").keys == ["4"]
    with pytest.raises(DataError, match="no coded files in"):
        CodedFiles(folder / "notes.txt")
    with pytest.raises(FileNotFoundError):
        CodedDataset(folder / "none")
    single = CodedDataset(folder / "0.hvae", transform=np.asarray)
    assert single.keys == ["0"]
    assert np.array_equal(single[0], expected[0])


def test_a_part_is_decoded_and_its_place_may_depend_on_the_size(coded: Coded) -> None:
    folder, expected = coded
    files = CodedFiles(folder, CodedDecoder(DecodeOptions(region=(8, 4, 16, 12))))
    assert np.array_equal(np.asarray(files[2]), expected[2][4:16, 8:24])

    def corner(info: FileInfo) -> DecodeOptions:
        return DecodeOptions(region=(info.width - 5, info.height - 7, 5, 7))

    files = CodedFiles(folder, CodedDecoder(corner, np.asarray))
    assert np.array_equal(files[4], expected[4][-7:, -5:])
    assert CodedFiles(folder, CodedDecoder(DecodeOptions(scale=8)))[0].size == (6, 5)


LOADER = """
import sys
import numpy as np
import hvae_codec
from torch.utils.data import DataLoader
from hvae_codec.torch import CodedDataset

if __name__ == "__main__":
    dataset = CodedDataset(sys.argv[1])
    first = dataset[0]  # the weights are loaded before the fork
    loader = DataLoader(dataset, 5, num_workers=2, multiprocessing_context=sys.argv[2])
    (batch,) = loader
    assert (batch[0] == first).all()
    np.save(sys.argv[3], batch.numpy())
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_a_loader_decode(coded: Coded, tmp_path: Path, method: str) -> None:
    folder, expected = coded
    script, out = tmp_path / "load.py", tmp_path / "batch.npy"
    script.write_text(LOADER)
    subprocess.run([sys.executable, script, folder, method, out], check=True, timeout=300)
    batch = np.load(out)
    assert batch.dtype == np.uint8
    assert np.array_equal(batch, np.stack(expected).transpose(0, 3, 1, 2))


FORKED = """
import os, sys
os.environ["HVAE_CODEC_THREADS"] = "2"
import hvae_codec

before = hvae_codec.decode(sys.argv[1])
if os.fork() == 0:
    print(hvae_codec.decode(sys.argv[1]) == before, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_a_process_with_many_threads_decodes(coded: Coded) -> None:
    """It must not wait for threads that it does not have."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, coded[0] / "0.hvae"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout == "True\n"


def test_one_process_decodes_as_well(coded: Coded) -> None:
    folder, _ = coded
    dataset = CodedDataset(
        folder, DecodeOptions(scale=8), transform=partial(np.asarray, dtype=float)
    )
    (batch,) = DataLoader(dataset, batch_size=5)
    assert batch.shape == (5, 5, 6, 3)
    assert batch.dtype == torch.float64


def test_a_damaged_file_is_named(coded: Coded, tmp_path: Path) -> None:
    data = bytearray((coded[0] / "0.hvae").read_bytes())
    data[-3] ^= 1
    (tmp_path / "x.hvae").write_bytes(data)
    with pytest.raises(BitstreamError):
        CodedDataset(tmp_path)[0]


def test_webdataset_decodes_members(coded: Coded) -> None:
    wds: Any = pytest.importorskip("webdataset")
    folder, expected = coded
    dataset = wds.WebDataset(f"{folder}/{{00000..00001}}.tar", shardshuffle=False)
    samples = list(dataset.decode(CodedDecoder(transform=np.asarray)))
    assert [sample["__key__"] for sample in samples] == ["2", "a/3", "4", "5"]
    assert samples[0]["txt"] == "two"
    for sample, pixels in zip(samples[:3], expected[2:], strict=True):
        assert np.array_equal(sample["hvae"], pixels)
    assert "jpg" in samples[3]


def test_nodes_of_torchdata_map_files(coded: Coded) -> None:
    nodes: Any = pytest.importorskip("torchdata.nodes")
    folder, expected = coded
    files: Callable = CodedFiles(folder, CodedDecoder(transform=np.asarray)).__getitem__
    node = nodes.ParallelMapper(nodes.IterableWrapper(range(5)), files, num_workers=2)
    for pixels, wanted in zip(nodes.Loader(node), expected, strict=True):
        assert np.array_equal(pixels, wanted)


def test_the_manuals_example_takes_pictures_of_all_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coded").mkdir()
    for mode, size in (("L", (32, 40)), ("RGBA", (240, 100)), ("RGB", (230, 260))):
        data = hvae_codec.encode(Image.new(mode, size), 30)
        (tmp_path / "coded" / f"{mode}.hvae").write_bytes(data)
    text = (ROOT / "docs" / "batch.md").read_text("utf-8")
    (example,) = (b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "def crop" in b)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(example.replace("num_workers=8", "num_workers=0"), found)
    assert found["images"].shape == (3, 3, 224, 224)
