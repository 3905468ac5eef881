from pathlib import Path

import numpy as np
import pytest
import torch

from hvae_codec.benchmarks.papers import data
from hvae_codec.benchmarks.papers.strokes import draw_strokes


def test_strokes_are_seeded_and_differ() -> None:
    images = draw_strokes(4, 28, 1, seed=3)
    assert np.array_equal(images, draw_strokes(4, 28, 1, seed=3))
    assert len({image.tobytes() for image in images}) == 4
    assert 0.02 < (images > 127).mean() < 0.5
    assert draw_strokes(2, 32, 3, seed=0).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", data.SHAPES)
def test_drawn_sets_stand_for_real_ones(name: str) -> None:
    images = data.drawn(name)
    x = images.batch(0, 8, seed=1)
    assert x.shape == (8, *data.SHAPES[name]) and x.dtype == torch.float32
    assert images.binary == (set(x.unique().tolist()) == {0.0, 1.0})
    grey = np.isin(images.train, (0, 255)).mean() < 1
    assert grey == (name in ("mnist", "omniglot", "cifar10"))


def test_a_batch_is_a_function_of_step_and_seed() -> None:
    images = data.drawn("mnist")
    assert torch.equal(images.batch(3, 4, 0), images.batch(3, 4, 0))
    assert not torch.equal(images.batch(3, 4, 0), images.batch(4, 4, 0))
    assert not torch.equal(images.batch(3, 4, 0), images.batch(3, 4, 1))


def test_test_images_are_binarised_alike_every_time() -> None:
    images = data.drawn("mnist")
    first = list(images.batches("test", 20, 8))
    assert [len(x) for x in first] == [8, 8, 4]
    for a, b in zip(first, images.batches("test", 20, 8), strict=True):
        assert torch.equal(a, b)


def test_grey_pixels_are_lit_as_often_as_they_are_bright() -> None:
    images = data.drawn("mnist")
    grey = images.train[:1] / 255
    lit = np.mean([images._seen(images.train[:1], torch.Generator().manual_seed(i)).numpy()
                   for i in range(400)], axis=0)  # fmt: skip
    assert np.abs(lit - grey).max() < 5 * 0.5 / 400**0.5  # five standard errors


def numbered(count: int, channels: int = 1, side: int = 28) -> np.ndarray:
    """Images whose pixels are all the image's number."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, channels, side, side), np.uint8
    )


def numbers(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_the_last_twelfth_is_for_choosing(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", train=numbered(24, 3, 32), test=numbered(3, 3, 32))
    cifar = data.load("cifar10", tmp_path)
    assert numbers(cifar.train) == [*range(22)] and numbers(cifar.valid) == [22, 23]
    assert numbers(cifar.test) == [0, 1, 2]


def test_parts_that_a_file_sorts_are_mixed(tmp_path: Path) -> None:
    """OMNIGLOT's by alphabet, and the test images of static MNIST by digit."""
    for name in ("omniglot", "mnist-static"):
        valid = {"valid": numbered(24)} if name == "mnist-static" else {}
        np.savez(tmp_path / f"{name}.npz", train=numbered(24), test=numbered(40), **valid)
        found = data.load(name, tmp_path)
        assert max(numbers(found.test)[:10]) >= 30 and min(numbers(found.test)[:10]) < 10
        assert sorted(numbers(found.test)) == [*range(40)]
        assert (numbers(found.valid) == [*range(24)]) == (name == "mnist-static")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DataMissing, match="hvae-codec dataset omniglot --to") as caught:
        data.load("omniglot", tmp_path)
    assert caught.value.filename.endswith("omniglot.npz")


def test_a_set_is_loaded_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", train=numbered(24), test=numbered(3))
    sets = data.Sets(tmp_path, train_images=5)
    assert numbers(sets.get("mnist").train) == [*range(5)]
    (tmp_path / "mnist.npz").unlink()
    assert sets.get("mnist").fingerprint == sets.get("mnist").fingerprint
