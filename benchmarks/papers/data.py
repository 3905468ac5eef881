"""The papers' images, from files on disk, and how a model gets them.

A set is an `.npz` of uint8 `train` and `test`, and `valid` where it has one, (N, C, H, W), as
`hvae-codec dataset` writes it. Smaller packings are read as well (`packings`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...codec.errors import one_line
from ...models.vae.training import seed_of
from . import packings
from .strokes import draw_strokes

Array = NDArray[np.uint8]

UNREADABLE = (
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises of a file that is damaged or holds something else."""

SHAPES = {
    "mnist": (1, 28, 28),
    "mnist-static": (1, 28, 28),
    "omniglot": (1, 28, 28),
    "cifar10": (3, 32, 32),
}
"""Shape (C, H, W) of the images of each set. Grey images are binarised before a model sees them:
each pixel is drawn from a Bernoulli distribution, whose mean is the pixel's brightness."""

TEST_SEED = 12345
"""Of the binarisation of the test images: the same for every model, so that models are paired."""


class DataMissing(OSError):
    """A set of images is not there."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one set, uint8 (N, C, H, W).

    Args:
        train: for learning.
        valid: for choosing.
        test: for measuring.
        binary: pixels are one bit each, drawn anew in every step where they are grey on disk.
    """

    train: Array
    valid: Array
    test: Array
    binary: bool

    @cached_property
    def fingerprint(self) -> str:
        """Name the contents: 12 digits of a hash over all images."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:12]

    def batch(self, step: int, count: int, seed: int) -> Tensor:
        """Return x of a training step; see `models.vae.training.Source`."""
        generator = torch.Generator().manual_seed(seed_of(seed, step))
        chosen = torch.randint(len(self.train), (count,), generator=generator)
        return self._seen(self.train[chosen.numpy()], generator)

    def batches(self, part: str, limit: int, size: int) -> Iterator[Tensor]:
        """Yield batches x of a part.

        The same `size` gives the same binary images in every call.
        """
        images: Array = getattr(self, part)[:limit]
        for start in range(0, len(images), size):
            generator = torch.Generator().manual_seed(TEST_SEED + start)
            yield self._seen(images[start : start + size], generator)

    def train_batches(self) -> Iterator[Tensor]:
        """Yield all training images once, in batches (B, C, H, W) in [0, 1].

        `Hvae.fit` takes them.
        """
        return self.batches("train", len(self.train), 5000)

    def _seen(self, images: Array, generator: torch.Generator) -> Tensor:
        """Return images as float32 in [0, 1], binarised where the set is binary."""
        grey = torch.from_numpy(images).float() / 255
        return (torch.rand(grey.shape, generator=generator) < grey).float() if self.binary else grey


@dataclass(frozen=True)
class Sets:
    """Sets of images, each loaded once.

    Args:
        folder: where they lie; None draws strokes in their place.
        train_images: images to learn from at most; 0 is all.
    """

    folder: Path | None
    train_images: int = 0
    _loaded: dict[str, ImageSet] = field(default_factory=dict, init=False)

    def get(self, name: str) -> ImageSet:
        """Return a set.

        Raises:
            DataMissing: it is not in the folder.
            OSError: its file does not hold it.
        """
        if name not in self._loaded:
            images = drawn(name) if self.folder is None else load(name, self.folder)
            if self.train_images:
                images = dataclasses.replace(images, train=images.train[: self.train_images])
            self._loaded[name] = images
        return self._loaded[name]


def load(name: str, folder: Path) -> ImageSet:
    """Read a set of images from a folder.

    The last twelfth of the training images is for choosing where the set has no part of its own.
    Parts whose file sorts them, by alphabet or digit, are mixed: some of them shall stand for all.

    Raises:
        DataMissing: it is not there.
        OSError: the file does not hold it.
        KeyError: no set has this name.
    """
    shape, paths = SHAPES[name], [folder / f"{name}.npz", folder / packings.FILES[name]]
    path = next(filter(Path.is_file, paths), None)
    if path is None:
        reason = f"{name} is not here; fetch it: hvae-codec dataset {name} --to {folder}"
        raise DataMissing(None, reason, str(paths[0]))
    try:
        with np.load(path) as file:
            parts = packings.parts_of(name, dict(file))
            train, test, valid = parts["train"], parts["test"], parts.get("valid")
    except UNREADABLE as error:
        raise OSError(None, f"this is not the set {name} ({one_line(error)})", str(path)) from error
    for part in (train, test, train if valid is None else valid):
        if part.dtype != np.uint8 or part.shape[1:] != shape:
            reason = f"this is not the set {name} (its images are not uint8 of {shape})"
            raise OSError(None, reason, str(path))
    if name == "omniglot":
        rng = np.random.default_rng(0)
        train, test = (part[rng.permutation(len(part))] for part in (train, test))
    if name == "mnist-static":
        test = test[np.random.default_rng(0).permutation(len(test))]
    if valid is None:
        cut = len(train) - max(1, len(train) // 12)
        train, valid = train[:cut], train[cut:]
    if not (len(train) and len(valid) and len(test)):
        raise OSError(None, f"this is not the set {name} (it has too few images)", str(path))
    return ImageSet(train, valid, test, binary=shape[0] == 1)


def drawn(name: str, train: int = 96, test: int = 48) -> ImageSet:
    """Draw strokes in the place of a set: of its size and colour, static where it is."""
    channels, side, _ = SHAPES[name]
    images = draw_strokes(train + 2 * test, side, channels, seed=[*SHAPES].index(name))
    if name == "mnist-static":
        images = np.where(images > 127, 255, 0).astype(np.uint8)
    parts = images[:train], images[train : train + test], images[train + test :]
    return ImageSet(*parts, binary=channels == 1)
