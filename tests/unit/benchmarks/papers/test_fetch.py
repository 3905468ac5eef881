import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hvae_codec.benchmarks.papers import data, fetch
from hvae_codec.cli import main
from tests.web_server import served

pytest.importorskip("pooch")
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 28, 28), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 3, 32, 32), np.uint8)


def idx(images: np.ndarray) -> bytes:
    header = np.array([2051, len(images), 28, 28], ">u4").tobytes()
    return gzip.compress(header + images.tobytes())


def amat(images: np.ndarray) -> bytes:
    rows = (images > 127).astype(int).reshape(len(images), -1)
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()


def characters(drawers: list[int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for drawer in drawers:
            picture = io.BytesIO()
            paper = np.full((105, 105), 255, np.uint8)
            paper[: 4 * drawer] = 0
            Image.fromarray(paper).convert("1").save(picture, "PNG")
            archive.writestr(f"images/Greek/character01/0001_{drawer:02}.png", picture.getvalue())
    return out.getvalue()


def batches() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            content = pickle.dumps({b"data": COLOUR[number].reshape(1, -1)}, protocol=2)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


FILES: dict[str, dict[str, bytes]] = {
    "mnist": {
        "train-images-idx3-ubyte.gz": idx(GREY[:3]),
        "t10k-images-idx3-ubyte.gz": idx(GREY[3:]),
    },
    "mnist-static": {
        f"binarized_mnist_{part}.amat": amat(GREY[i : i + 2])
        for i, part in enumerate(("train", "valid", "test"))
    },
    "omniglot": {
        "images_background.zip": characters([1, 15, 16]),
        "images_evaluation.zip": characters([2, 20]),
    },
    "cifar10": {"cifar-10-python.tar.gz": batches()},
}
Hvae = Callable[..., Result]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve small files of each set's own format; yields what is asked for."""
    home = tmp_path / "home"
    home.mkdir()
    for files in FILES.values():
        for name, content in files.items():
            (home / name).write_bytes(content)
    with served(home) as (address, requests):
        for name, files in FILES.items():
            sums = {f: "md5:" + hashlib.md5(c).hexdigest() for f, c in files.items()}
            monkeypatch.setitem(
                fetch.HOMES, name, replace(fetch.HOMES[name], base=address, files=sums)
            )
        yield requests


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mnist", "3 train, 2 test"),
        ("mnist-static", "2 train, 2 valid, 2 test"),
        ("omniglot", "3 train, 2 test"),
        ("cifar10", "5 train, 1 test"),
    ],
)
def test_each_set_arrives_whole(asked: list[str], tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "to"
    result = run("dataset", name, "--to", folder)
    assert result.exit_code == 0, result.output
    assert f"{name}, images: {said}; {len(FILES[name])} files fetched now" in result.stderr
    again = run("dataset", name, "--to", folder)
    assert "0 files fetched now" in again.stderr
    assert len(asked) == len(FILES[name])
    images = data.load(name, folder)
    assert images.test.shape[1:] == data.SHAPES[name]


def test_pixels_are_those_of_the_files(asked: list[str], tmp_path: Path) -> None:
    for name in FILES:
        fetch.fetch(name, tmp_path)
    with np.load(tmp_path / "mnist.npz") as found:
        assert np.array_equal(found["train"][:, 0], GREY[:3])
        assert np.array_equal(found["test"][:, 0], GREY[3:])
    with np.load(tmp_path / "mnist-static.npz") as found:
        assert np.array_equal(found["valid"][:, 0], np.where(GREY[1:3] > 127, 255, 0))
    with np.load(tmp_path / "cifar10.npz") as found:
        assert np.array_equal(found["train"], COLOUR[:5])
        assert np.array_equal(found["test"][0], COLOUR[5])
    with np.load(tmp_path / "omniglot.npz") as found:
        ink = found["train"].mean((1, 2, 3)) / 255 * 105  # rows of ink
        # of drawers 1, 15 and 2; a box of 3.75 pixels counts whole ones
        assert ink == pytest.approx([4, 60, 8], abs=0.5)


def test_a_damaged_set_is_made_anew_from_its_archives(asked: list[str], tmp_path: Path) -> None:
    run("dataset", "mnist", "--to", tmp_path / "to")
    (tmp_path / "to" / "mnist.npz").write_bytes(b"something else")
    result = run("dataset", "mnist", "--to", tmp_path / "to")
    assert result.exit_code == 0 and "3 train, 2 test; 0 files fetched now" in result.stderr
    data.load("mnist", tmp_path / "to")


def test_a_packed_set_beside_the_archives_is_not_the_set_that_dataset_writes(
    asked: list[str], tmp_path: Path
) -> None:
    run("dataset", "mnist-static", "--to", tmp_path / "to")
    (tmp_path / "to" / "mnist-static.npz").unlink()
    rows = np.zeros((24, 98), np.uint8)
    np.savez(tmp_path / "to" / "mnist_static.npz", train=rows, valid=rows, test=rows)
    result = run("dataset", "mnist-static", "--to", tmp_path / "to")
    assert result.exit_code == 0 and "; 0 files fetched now" in result.stderr
    assert (tmp_path / "to" / "mnist-static.npz").is_file()


def test_a_wrong_checksum_leaves_no_file(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "home" / "t10k-images-idx3-ubyte.gz").write_bytes(b"another file")
    result = run("dataset", "mnist", "--to", tmp_path / "to")
    assert result.exit_code == 1
    assert "t10k-images-idx3-ubyte.gz: what was fetched has another checksum" in result.stderr
    assert not (tmp_path / "to" / "mnist.npz").exists()
    assert [p.name for p in (tmp_path / "to" / "mnist-archives").iterdir()] == [
        "train-images-idx3-ubyte.gz"
    ]


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = replace(fetch.HOMES["cifar10"], base="http://127.0.0.1:9/")  # nobody listens there
    monkeypatch.setitem(fetch.HOMES, "cifar10", home)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(OSError, match="cannot be reached; no network"):
        fetch.fetch("cifar10", tmp_path)


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        content = pickle.dumps(print)
        info = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    with pytest.raises(pickle.UnpicklingError, match="does not belong into CIFAR-10"):
        fetch.read_cifar([path])


def test_sums_are_pinned_for_every_file() -> None:
    for home in fetch.HOMES.values():
        assert all(s.partition(":")[0] in ("md5", "sha1") for s in home.files.values())
