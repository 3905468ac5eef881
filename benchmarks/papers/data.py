"""The papers' images, from files on disk, and how a model gets them.

A set is an `.npz` of uint8 `train` and `test`, (N, C, H, W), as `hvae-codec dataset` writes it.
Files that hold MNIST in its own order, packed bits, all drawers of OMNIGLOT, or CIFAR-10 as
differences are read as well.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...codec.errors import one_line
from ...models.vae.training import seed_of
from .strokes import draw_strokes

Array = NDArray[np.uint8]
Parts = tuple[Array, Array, Array]
"""Images for learning, for choosing and for measuring."""

Reader = Callable[[Path], Parts]
UNREADABLE = (
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises of a file that is damaged or holds something else."""

NAMES = ("mnist", "mnist-static", "omniglot", "cifar10")
TRAIN_DRAWERS = 15
"""Of the 20 drawers of each character; 24,345 = 1,623 x 15 images as in the papers' own file."""

TEST_SEED = 12345
"""Of the binarisation of the test images: the same for every model, so that models are paired."""


class DataMissing(OSError):
    """A set of images is not there."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one set, uint8 (N, C, H, W).

    Args:
        name: of the set.
        train: for learning.
        valid: for choosing.
        test: for measuring.
        binary: pixels are one bit each, drawn anew in every step where they are grey on disk.
    """

    name: str
    train: Array
    valid: Array
    test: Array
    binary: bool

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, c, h, w = self.train.shape
        return c, h, w

    def fingerprint(self) -> str:
        """Name the contents: 12 digits of a hash over all images."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:12]

    def batch(self, step: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return x and the grey images of a training step; see `models.vae.training.Source`."""
        generator = torch.Generator().manual_seed(seed_of(seed, step))
        chosen = torch.randint(len(self.train), (count,), generator=generator)
        return self._pair(self.train[chosen.numpy()], generator)

    def batches(self, part: str, limit: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of a part: x, and the grey images that x was binarised from.

        The same `size` gives the same binary images in every call.
        """
        images: Array = getattr(self, part)[:limit]
        for start in range(0, len(images), size):
            generator = torch.Generator().manual_seed(TEST_SEED + start)
            yield self._pair(images[start : start + size], generator)

    def contexts(self, grey: bool = False) -> Iterator[Tensor]:
        """Yield the training images in batches for `Hvae.fit_context`: (B, C, H, W) in [0, 1].

        Binary sets are binarised, unless `grey` asks for the images that they are drawn from.
        """
        for x, picture in self.batches("train", len(self.train), 5000):
            yield picture if grey else x

    def _pair(self, images: Array, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        grey = torch.from_numpy(images).float() / 255
        if not self.binary:
            return grey, grey
        return (torch.rand(grey.shape, generator=generator) < grey).float(), grey


def load(name: str, folder: Path) -> ImageSet:
    """Read a set of images from a folder.

    Raises:
        DataMissing: it is not there.
        OSError: a file does not hold it.
        ValueError: no set has this name.
    """
    readers: dict[str, tuple[Reader, tuple[str, ...]]] = {
        "mnist": (_read_mnist, ("mnist.npz",)),
        "mnist-static": (_read_static, ("mnist-static.npz", "mnist_static.npz")),
        "omniglot": (_read_omniglot, ("omniglot.npz", "omniglot28.npz")),
        "cifar10": (_read_cifar, ("cifar10.npz", "cifar10_part.npz")),
    }
    if name not in readers:
        raise ValueError(f"no set of images is called {name}: {', '.join(NAMES)}")
    read, files = readers[name]
    for file in files:
        if (folder / file).is_file():
            return ImageSet(name, *_checked(read, folder / file, name), binary=name != "cifar10")
    reason = f"{name} is not here; fetch it: hvae-codec dataset {name} --to {folder}"
    raise DataMissing(None, reason, str(folder / files[0]))


def _checked(read: Reader, path: Path, name: str) -> Parts:
    """Read a file whose parts must be images of a set."""
    shape = (3, 32, 32) if name == "cifar10" else (1, 28, 28)
    try:
        parts = read(path)
        if any(part.dtype != np.uint8 or part.shape[1:] != shape for part in parts):
            raise ValueError(f"images are not uint8 of {shape}")
    except UNREADABLE as error:
        raise OSError(None, f"this is not the set {name} ({one_line(error)})", str(path)) from error
    return parts


def drawn(name: str, train: int = 96, test: int = 48) -> ImageSet:
    """Draw strokes in the place of a set: of its size and colour, static where it is."""
    channels, side = (3, 32) if name == "cifar10" else (1, 28)
    seed = NAMES.index(name)
    images = draw_strokes(train + 2 * test, side, channels, seed)
    if name == "mnist-static":
        images = np.where(images > 127, 255, 0).astype(np.uint8)
    parts = images[:train], images[train : train + test], images[train + test :]
    return ImageSet(name, *parts, binary=channels == 1)


def _split(train: Array, test: Array) -> Parts:
    """Keep the last twelfth of the training images for choosing."""
    cut = len(train) - len(train) // 12
    return train[:cut], train[cut:], test


def _read_mnist(path: Path) -> Parts:
    with np.load(path) as file:
        if "images" in file:
            images = file["images"][:, None]
            return _split(images[:60_000], images[60_000:])
        return _split(file["train"], file["test"])


def _read_static(path: Path) -> Parts:
    def unpacked(rows: Array) -> Array:
        if rows.ndim == 4:
            return rows
        return np.uint8(255) * np.unpackbits(rows, axis=1).reshape(-1, 1, 28, 28)

    with np.load(path) as file:
        return unpacked(file["train"]), unpacked(file["valid"]), _mixed(unpacked(file["test"]))


def _read_omniglot(path: Path) -> Parts:
    with np.load(path) as file:
        if "character_drawer" not in file:
            return _shuffled(file["train"], file["test"])
        images, drawer = file["images"][:, None], file["character_drawer"][:, 1]
        first = drawer <= TRAIN_DRAWERS if drawer.min() == 1 else drawer < TRAIN_DRAWERS
        return _shuffled(images[first], images[~first])


def _mixed(images: Array) -> Array:
    """Shuffle images. Those of static MNIST's test part are sorted by digit in its file."""
    return images[np.random.default_rng(0).permutation(len(images))]


def _shuffled(train: Array, test: Array) -> Parts:
    """Mix the characters: the first images of a part shall not be of one alphabet."""
    rng = np.random.default_rng(0)
    return _split(train[rng.permutation(len(train))], test[rng.permutation(len(test))])


def _read_cifar(path: Path) -> Parts:
    with np.load(path) as file:
        train, test = file["train"], file["test"]
    if train.shape[0] == 3 and train.shape[1] != 3:
        train, test = _from_differences(train), _from_differences(test)
    return _split(train, test)


def _from_differences(planes: Array) -> Array:
    """Undo differences: planes R - G, G, B - G, each less its neighbours above and left."""
    sums = planes.cumsum(-1, dtype=np.uint8).cumsum(-2, dtype=np.uint8)
    return np.stack([sums[0] + sums[1], sums[1], sums[2] + sums[1]], axis=1)
