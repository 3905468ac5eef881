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


@pytest.mark.parametrize("name", data.NAMES)
def test_drawn_sets_stand_for_real_ones(name: str) -> None:
    images = data.drawn(name)
    x, grey = images.batch(0, 8, seed=1)
    assert x.shape == (8, *images.image) and x.dtype == torch.float32
    assert images.binary == (set(x.unique().tolist()) == {0.0, 1.0})
    assert torch.equal(x, grey) == (name in ("mnist-static", "cifar10"))


def test_a_batch_is_a_function_of_step_and_seed() -> None:
    images = data.drawn("mnist")
    assert torch.equal(images.batch(3, 4, 0)[0], images.batch(3, 4, 0)[0])
    assert not torch.equal(images.batch(3, 4, 0)[0], images.batch(4, 4, 0)[0])
    assert not torch.equal(images.batch(3, 4, 0)[0], images.batch(3, 4, 1)[0])


def test_test_images_are_binarised_alike_every_time() -> None:
    images = data.drawn("mnist")
    first = list(images.batches("test", 20, 8))
    assert [len(x) for x, _ in first] == [8, 8, 4]
    for (a, _), (b, _) in zip(first, images.batches("test", 20, 8), strict=True):
        assert torch.equal(a, b)


def test_grey_pixels_are_lit_as_often_as_they_are_bright() -> None:
    images = data.drawn("mnist")
    grey = images.train[:1] / 255
    lit = np.mean([images._pair(images.train[:1], torch.Generator().manual_seed(i))[0].numpy()
                   for i in range(400)], axis=0)  # fmt: skip
    assert np.abs(lit - grey).max() < 5 * 0.5 / 400**0.5  # five standard errors


def test_packed_bits_and_differences_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (4, 784), np.uint8)
    packed = np.packbits(bits, axis=1)
    np.savez(tmp_path / "mnist_static.npz", train=packed, valid=packed, test=packed)
    static = data.load("mnist-static", tmp_path)
    assert np.array_equal(static.train.reshape(4, -1), 255 * bits)
    assert sorted(static.test.reshape(4, -1).tolist()) == sorted((255 * bits).tolist())
    in_order = np.arange(40).astype(np.uint8)[:, None, None, None] * np.ones((1, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist_static.npz", train=in_order, valid=in_order, test=in_order)
    first = data.load("mnist-static", tmp_path).test[:10, 0, 0, 0]
    assert first.max() >= 30 and first.min() < 10  # the file has them sorted by digit

    colour = rng.integers(0, 256, (24, 3, 32, 32), np.uint8)
    planes = np.stack([colour[:, 0] - colour[:, 1], colour[:, 1], colour[:, 2] - colour[:, 1]])
    planes[..., 1:] -= planes[..., :-1].copy()
    planes[..., 1:, :] -= planes[..., :-1, :].copy()
    np.savez(tmp_path / "cifar10_part.npz", train=planes, test=planes[:, :3])
    cifar = data.load("cifar10", tmp_path)
    assert np.array_equal(cifar.train, colour[:22]) and np.array_equal(cifar.valid, colour[22:])
    assert np.array_equal(cifar.test, colour[:3])


def test_omniglot_is_parted_by_its_drawers(tmp_path: Path) -> None:
    drawers = np.tile(np.arange(1, 21), 3)
    images = np.zeros((60, 28, 28), np.uint8) + drawers[:, None, None].astype(np.uint8)
    both = np.stack([np.repeat([1, 2, 3], 20), drawers], axis=1).astype(np.int16)
    np.savez(tmp_path / "omniglot28.npz", images=images, character_drawer=both)
    found = data.load("omniglot", tmp_path)
    assert found.train.max() <= 15 and found.valid.max() <= 15 and found.test.min() >= 16
    assert len(found.train) + len(found.valid) == 45 and len(found.test) == 15


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.DataMissing, match="hvae-codec dataset omniglot --to") as caught:
        data.load("omniglot", tmp_path)
    assert caught.value.filename.endswith("omniglot.npz")
    with pytest.raises(ValueError, match="no set of images is called svhn"):
        data.load("svhn", tmp_path)


SHARED = Path(__file__).parents[5] / "shared" / "data" / "papers"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the sets themselves")
def test_the_sets_at_hand() -> None:
    sizes = {name: data.load(name, SHARED) for name in data.NAMES}
    assert [len(s.test) for s in sizes.values()] == [10_000, 10_000, 8_115, 1_000]
    assert len(sizes["omniglot"].train) + len(sizes["omniglot"].valid) == 24_345
    mean = sizes["mnist"].train.mean() / 255
    assert mean == pytest.approx(0.1307, abs=2e-3)  # as published, over all 60,000
