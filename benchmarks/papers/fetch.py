"""Fetches the papers' images from their public homes, checked by the sums that loaders pin.

Every set becomes one `.npz` of uint8 `train` and `test` (and `valid` where the set has one),
(N, C, H, W). The archives are kept beside it, so that a second call fetches nothing.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...codec.files import replacing
from ..datasets import fetch_file
from .data import load
from .packings import TRAIN_DRAWERS, parts_of

Parts = dict[str, NDArray[np.uint8]]
SIDE = 28


@dataclass(frozen=True)
class Home:
    """Where a set lies.

    Args:
        base: address of the folder.
        files: names and sums, `md5:...` or `sha1:...`.
        read: makes the parts of the set of the files, in their order.
    """

    base: str
    files: dict[str, str]
    read: Callable[[list[Path]], Parts]


def read_idx(paths: list[Path]) -> Parts:
    """Read the images of MNIST: 16 bytes of header, then rows of bytes."""
    found = []
    for path in paths:
        data = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
        magic, count, rows, columns = np.frombuffer(data[:16].tobytes(), ">u4").tolist()
        if magic != 2051:
            raise OSError(None, f"holds no images (its first number is {magic})", str(path))
        found.append(data[16:].reshape(count, 1, rows, columns))
    return {"train": found[0], "test": found[1]}


def read_amat(paths: list[Path]) -> Parts:
    """Read static MNIST: one image a line, 784 digits 0 or 1 with spaces between."""
    parts = {}
    for name, path in zip(("train", "valid", "test"), paths, strict=True):
        text = np.frombuffer(path.read_bytes(), np.uint8)
        bits = text[(text == ord("0")) | (text == ord("1"))] - ord("0")
        parts[name] = 255 * bits.reshape(-1, 1, SIDE, SIDE)
    return parts


def read_omniglot(paths: list[Path]) -> Parts:
    """Read OMNIGLOT: white on black, reduced by a box filter, parted by its drawers."""
    images: dict[bool, list[NDArray[np.uint8]]] = {True: [], False: []}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
                drawer = int(name.rsplit("_", 1)[1].removesuffix(".png"))
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
                images[drawer <= TRAIN_DRAWERS].append(~np.asarray(small, np.uint8))
    return {
        name: np.stack(images[first])[:, None] for name, first in (("train", True), ("test", False))
    }


def read_cifar(paths: list[Path]) -> Parts:
    """Read CIFAR-10: five batches to learn from and one to test with, pickled by Python 2."""
    with tarfile.open(paths[0]) as archive:
        names = [f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)]
        train = [_batch(archive, name) for name in names]
        test = _batch(archive, "cifar-10-batches-py/test_batch")
    return {"train": np.concatenate(train), "test": test}


class _PlainUnpickler(pickle.Unpickler):
    """Loads arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as pickle has it
        if (module.split(".")[0], name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy", "_reconstruct"),
            ("_codecs", "encode"),
        }:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into CIFAR-10")


def _batch(archive: tarfile.TarFile, name: str) -> NDArray[np.uint8]:
    file = archive.extractfile(name)
    assert file is not None
    content = _PlainUnpickler(file, encoding="bytes").load()
    return content[b"data"].reshape(-1, 3, 32, 32)


_STATIC = "binarized_mnist_"
HOMES = {
    "mnist": Home(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        },
        read_idx,
    ),
    "mnist-static": Home(
        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
        {
            f"{_STATIC}train.amat": "sha1:cf70514ec5f481e54ad3eb0e6c03c83326ff96f8",
            f"{_STATIC}valid.amat": "sha1:13418487742e6ea6d48db7b5187353a20b1b1f8c",
            f"{_STATIC}test.amat": "sha1:ca70bd7775e182596dec148d4dc1bc6bd6c4c5f4",
        },
        read_amat,
    ),
    "omniglot": Home(
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",
        {
            "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
            "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
        },
        read_omniglot,
    ),
    "cifar10": Home(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
        read_cifar,
    ),
}


def _is_whole(name: str, folder: Path) -> bool:
    """Tell whether the set lies in a folder as `papers` reads it."""
    try:
        load(name, folder)
    except OSError:
        return False
    return True


def fetch(name: str, folder: Path, *, progress: bool = False) -> tuple[dict[str, int], int]:
    """Fetch a set of images into a folder; what lies there complete is kept.

    Args:
        name: one of `HOMES`.
        folder: made where it does not exist; gets NAME.npz and a folder of archives.
        progress: show a bar on stderr.

    Returns:
        How many images each part has, and how many files were fetched now.

    Raises:
        OSError: no network, no such file at the source, a checksum that does not match, or a
            folder that cannot be written.
    """
    home = HOMES[name]
    archives = folder / f"{name}-archives"
    fetched = sum(
        fetch_file(home.base + file, checksum, archives, progress=progress)
        for file, checksum in home.files.items()
    )
    target = folder / f"{name}.npz"
    if fetched or not (target.is_file() and _is_whole(name, folder)):
        parts = home.read([archives / file for file in home.files])
        with replacing(target) as part, part.open("wb") as out:
            np.savez_compressed(out, **parts)  # type: ignore[arg-type]
    with np.load(target) as found:
        return {part: len(images) for part, images in parts_of(name, dict(found)).items()}, fetched
