"""Packed sets hold the images that `hvae-codec dataset` would write."""

from pathlib import Path

import numpy as np
import pytest

from hvae_codec.benchmarks.papers import data, packings


def numbers(images: np.ndarray) -> list[int]:
    return sorted(images[:, 0, 0, 0].tolist())


def test_mnist_in_its_own_order(tmp_path: Path) -> None:
    images = np.zeros((60_006, 28, 28), np.uint8)
    images[60_000:] = np.arange(1, 7)[:, None, None]
    np.savez(tmp_path / "mnist.npz", images=images)
    found = data.load("mnist", tmp_path)
    assert (len(found.train), len(found.valid)) == (55_000, 5_000)
    assert not found.train.any() and numbers(found.test) == [1, 2, 3, 4, 5, 6]


def test_bits_of_static_mnist(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (30, 784), np.uint8)
    rows = np.packbits(bits, axis=1)
    np.savez(tmp_path / "mnist_static.npz", train=rows[:20], valid=rows[20:24], test=rows[24:])
    found = data.load("mnist-static", tmp_path)
    assert np.array_equal(found.train, bits[:20].reshape(-1, 1, 28, 28) * 255)
    assert np.array_equal(found.valid, bits[20:24].reshape(-1, 1, 28, 28) * 255)
    assert (found.test / 255).sum() == bits[24:].sum()


@pytest.mark.parametrize("first", [0, 1])
def test_omniglot_is_divided_by_its_drawers(tmp_path: Path, first: int) -> None:
    drawer = np.tile(np.arange(20), 3)
    images = np.broadcast_to(drawer[:, None, None], (60, 28, 28)).astype(np.uint8)
    pairs = np.stack([np.repeat(np.arange(3), 20), drawer + first], axis=1)
    np.savez(tmp_path / "omniglot28.npz", images=images, character_drawer=pairs)
    found = data.load("omniglot", tmp_path)
    assert numbers(np.concatenate([found.train, found.valid])) == sorted([*range(15)] * 3)
    assert numbers(found.test) == sorted([*range(15, 20)] * 3)


def differences(images: np.ndarray) -> np.ndarray:
    """Images (N, 3, H, W) as planes R - G, G, B - G, each less its neighbours, modulo 256."""
    r, g, b = images.transpose(1, 0, 2, 3)
    planes = np.stack([r - g, g, b - g])
    down = np.diff(planes, axis=-2, prepend=np.uint8(0))
    return np.diff(down, axis=-1, prepend=np.uint8(0))


def test_differences_of_cifar10(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 32, 32), np.uint8)
    parts = {"train": differences(images[:24]), "test": differences(images[24:])}
    np.savez(tmp_path / "cifar10_part.npz", **parts)
    found = data.load("cifar10", tmp_path)
    assert np.array_equal(np.concatenate([found.train, found.valid]), images[:24])
    assert np.array_equal(found.test, images[24:])


@pytest.mark.parametrize("name", packings.FILES)
def test_a_file_of_something_else_is_no_set(name: str, tmp_path: Path) -> None:
    for members in ({"images": np.zeros(3)}, {"train": np.zeros((2, 5), np.uint8)}, {}):
        np.savez(tmp_path / packings.FILES[name], **members)
        with pytest.raises(OSError, match=f"not the set {name}"):
            data.load(name, tmp_path)
