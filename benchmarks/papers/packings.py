"""Smaller packings of the papers' sets, which `papers --data` reads as well.

MNIST and OMNIGLOT in their own order, not divided; static MNIST as bits; a part of CIFAR-10 as
differences, which compress better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]
Parts = dict[str, Array]
"""Images (N, C, H, W) of `train` and `test`, and of `valid` where the set has it."""

TRAIN_DRAWERS = 15
"""Twenty people drew each of OMNIGLOT's 1,623 characters. The drawings of the first 15 people are
for training: 24,345 images, as many as in the file that the papers used."""


def _mnist(file: Mapping[str, Array]) -> Parts:
    images = file["images"][:, None]
    return {"train": images[:60_000], "test": images[60_000:]}


def _static_mnist(file: Mapping[str, Array]) -> Parts:
    def unpacked(rows: Array) -> Array:
        return np.uint8(255) * np.unpackbits(rows, axis=1).reshape(-1, 1, 28, 28)

    return {part: unpacked(file[part]) for part in ("train", "valid", "test")}


def _omniglot(file: Mapping[str, Array]) -> Parts:
    images, drawer = file["images"][:, None], file["character_drawer"][:, 1]
    is_train = drawer - drawer.min() < TRAIN_DRAWERS
    return {"train": images[is_train], "test": images[~is_train]}


def _cifar10(file: Mapping[str, Array]) -> Parts:
    def unpacked(planes: Array) -> Array:
        """Undo planes (3, N, H, W) of R - G, G, B - G, less their neighbours above and left."""
        sums = planes.cumsum(-1, dtype=np.uint8).cumsum(-2, dtype=np.uint8)
        return np.stack([sums[0] + sums[1], sums[1], sums[2] + sums[1]], axis=1)

    return {part: unpacked(file[part]) for part in ("train", "test")}


FILES = {
    "mnist": "mnist.npz",
    "mnist-static": "mnist_static.npz",
    "omniglot": "omniglot28.npz",
    "cifar10": "cifar10_part.npz",
}
"""Their names, by set."""

_UNPACK: dict[str, Callable[[Mapping[str, Array]], Parts]] = {
    "mnist": _mnist,
    "mnist-static": _static_mnist,
    "omniglot": _omniglot,
    "cifar10": _cifar10,
}


def parts_of(name: str, file: Mapping[str, Array]) -> Parts:
    """Return the parts of a set's file, packed or as `hvae-codec dataset` writes it.

    Args:
        name: of the set.
        file: its members, in memory: an open `.npz` would unpack a member at each access.

    Raises:
        KeyError, ValueError, TypeError: it is neither.
    """
    if "train" in file and file["train"].shape[1:2] in ((1,), (3,)):
        return {part: file[part] for part in ("train", "valid", "test") if part in file}
    return _UNPACK[name](file)
