import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hvae_codec.codec.files import find_images
from hvae_codec.models.training.config import BatchSizes
from hvae_codec.models.training.data import (
    CropDataset,
    ImageCache,
    batches,
    validation_images,
)

SIZES = BatchSizes(crops=3, crop_px=64, wide_crops=2, wide_px=128)


@pytest.fixture
def cache(folder: Path, tmp_path: Path) -> ImageCache:
    return ImageCache(folder, tmp_path / "cache")


def test_the_cache_holds_the_pixels(cache: ImageCache, folder: Path) -> None:
    assert len(cache) == 4
    for number, path in enumerate(find_images(folder, deep=True)):
        with Image.open(path) as image:
            assert np.array_equal(cache.image(number), np.asarray(image.convert("RGB")))


def test_the_cache_is_built_once(cache: ImageCache, folder: Path, tmp_path: Path) -> None:
    (pixels,) = (tmp_path / "cache").glob("*/pixels.u8")
    before = pixels.stat().st_mtime_ns
    ImageCache(folder, tmp_path / "cache")
    assert pixels.stat().st_mtime_ns == before


def test_a_worker_that_is_not_forked_maps_the_cache_itself(cache: ImageCache) -> None:
    sent = pickle.dumps(cache)
    assert len(sent) < 1000 < cache.pixels.nbytes
    there = pickle.loads(sent)
    assert isinstance(there.pixels, np.memmap)
    assert np.array_equal(there.image(3), cache.image(3))


def test_the_cache_follows_new_and_lost_images(
    cache: ImageCache, folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 50), (1, 2, 3)).save(folder / "aa.png")
    (folder / "d.png").unlink()
    again = ImageCache(folder, tmp_path / "cache")
    assert len(again) == 4
    assert (again.image(1) == (1, 2, 3)).all()


def test_the_cache_follows_changed_images(cache: ImageCache, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 50), (1, 2, 3)).save(folder / "b.png")
    os.utime(folder / "b.png", (2**31, 2**31))
    again = ImageCache(folder, tmp_path / "cache")
    assert again.image(1).shape == (50, 40, 3)


def test_two_folders_with_the_same_names_are_two_caches(
    cache: ImageCache, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "below").mkdir(parents=True)
    for path in find_images(folder, deep=True):
        Image.new("RGB", (40, 50), (1, 2, 3)).save(other / path.relative_to(folder))
    again = ImageCache(other, tmp_path / "cache")
    assert again.image(0).shape == (50, 40, 3)
    assert cache.image(0).shape != (50, 40, 3)  # which a run may be reading


def test_a_cache_that_was_cut_short_is_built_anew(
    cache: ImageCache, folder: Path, tmp_path: Path
) -> None:
    (index,) = (tmp_path / "cache").glob("*/index.json")
    index.unlink()
    index.with_name("pixels.u8").write_bytes(b"cut")
    again = ImageCache(folder, tmp_path / "cache")
    with Image.open(find_images(folder, deep=True)[3]) as image:
        assert np.array_equal(again.image(3), np.asarray(image.convert("RGB")))


def test_a_batch_depends_on_seed_and_step_alone(cache: ImageCache) -> None:
    dataset = CropDataset(cache, SIZES, steps=10, seed=5)
    crops, wide = dataset[3]
    assert crops.shape == (3, 3, 64, 64)
    assert wide.shape == (2, 3, 128, 128)
    assert crops.dtype == wide.dtype == torch.uint8
    dataset[7]
    for a, b in zip((crops, wide), CropDataset(cache, SIZES, steps=99, seed=5)[3], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(crops, dataset[4][0])
    assert not torch.equal(crops, CropDataset(cache, SIZES, steps=10, seed=6)[3][0])


def test_training_resumes_with_the_data_it_would_have_had(cache: ImageCache) -> None:
    whole = list(batches(cache, SIZES, 0, 5, seed=1, workers=0))
    rest = list(batches(cache, SIZES, 2, 5, seed=1, workers=0))
    assert len(whole) == 5
    for one, other in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_no_wide_crops_make_an_empty_batch(cache: ImageCache) -> None:
    _, wide = CropDataset(cache, BatchSizes(1, 64, 0), steps=1)[0]
    assert len(wide) == 0


def test_validation_images_are_whole_patches(folder: Path) -> None:
    images = validation_images(folder, 2)
    assert [tuple(image.shape) for image in images] == [(1, 3, 256, 256), (1, 3, 256, 160)]
    assert images[0].dtype == torch.uint8


def test_workers_go_on_when_the_whole_group_is_told_to_stop(cache: ImageCache) -> None:
    loading = iter(batches(cache, SIZES, 0, 12, seed=1, workers=1))
    next(loading)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    assert len(list(loading)) == 11


def test_a_photograph_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    cut = folder / "below" / "c.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(OSError, match="cannot be read as an image") as caught:
        ImageCache(folder, tmp_path / "cache")
    assert caught.value.filename == str(cut)
    with pytest.raises(OSError, match="cannot be read as an image") as caught:
        validation_images(folder, 4)
    assert caught.value.filename == str(cut)


def test_grey_of_sixteen_bits_is_not_white(folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    Image.fromarray(np.full((64, 64), 32896, np.uint16)).save(deep / "a.png")
    assert (ImageCache(deep, tmp_path / "cache").image(0) == 128).all()
    assert (validation_images(deep, 1)[0] == 128).all()
