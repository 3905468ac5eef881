"""Random crops of photographs, from a cache that is decoded once and mapped into memory.

Some may be drawn instead (`graphics`).

A batch is a pure function of (seed, step): training resumes at any step with the same data.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...codec.config import PATCH_PX
from ...codec.errors import DataError
from ...codec.files import evenly_chosen, find_images, replacing
from ...codec.images import read_rgb
from ...codec.networks.threads import processors
from . import graphics
from .config import BatchSizes

AT_ONCE = 2 * processors()
"""Images that are held in memory while a cache is built."""

MIN_SCALE = 0.5
"""Smallest random downscaling; half of the crops are not scaled at all."""


_VERSION = 2
"""Of what a cache holds: in the first, grey of 16 bits was white."""


def fingerprint(folder: Path) -> str:
    """Return a hash of the names and sizes of a folder's images, wherever it lies.

    Raises:
        OSError: it holds none.
    """
    paths = find_images(folder, deep=True)
    listing = [[path.relative_to(folder).as_posix(), path.stat().st_size] for path in paths]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


class ImageCache:
    """All images of a folder as uint8 RGB in one file, mapped into memory.

    Built on first use, in a folder of its own for these very files (names, sizes, times), so that
    runs on other images do not disturb it. `index.json` is written last: a cache that was cut short
    is built anew. Several processes may build the same one at once.

    Raises:
        OSError: the folder holds no images, one cannot be read, or the cache cannot be written.
    """

    def __init__(self, images: Path, caches: Path):
        paths = find_images(images, deep=True)
        names = [str(p.relative_to(images)) for p in paths]
        stamps = [[p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
        key = hashlib.sha256(json.dumps([_VERSION, names, stamps]).encode()).hexdigest()[:16]
        self.folder = caches / key
        if not (self.folder / "index.json").exists():
            self._build(paths, self.folder)
        self._map()

    def _map(self) -> None:
        shapes = json.loads((self.folder / "index.json").read_text())
        self.shapes: list[tuple[int, int]] = [(h, w) for h, w in shapes]
        areas = np.cumsum([h * w * 3 for h, w in self.shapes], dtype=np.int64)
        self.starts = np.concatenate([[0], areas])
        self.pixels = np.memmap(self.folder / "pixels.u8", mode="r", dtype=np.uint8)

    # a worker that is not forked maps the file itself: pickled, the pixels would go to each
    def __getstate__(self) -> Path:
        return self.folder

    def __setstate__(self, folder: Path) -> None:
        self.folder = folder
        self._map()

    @staticmethod
    def _build(paths: list[Path], folder: Path) -> None:
        shapes = []
        with replacing(folder / "pixels.u8") as part, part.open("wb") as out:
            for pixels in _decoded(paths):
                shapes.append(pixels.shape[:2])
                out.write(pixels.tobytes())
        with replacing(folder / "index.json") as part:
            part.write_text(json.dumps(shapes))

    def __len__(self) -> int:
        return len(self.shapes)

    def image(self, number: int) -> np.ndarray:
        """Return image `number` as a (H, W, 3) uint8 view."""
        h, w = self.shapes[number]
        return self.pixels[self.starts[number] : self.starts[number + 1]].reshape(h, w, 3)


def _decoded(paths: list[Path]) -> Iterator[np.ndarray]:
    """Decode images as (H, W, 3) uint8 in order, a few of them at a time."""
    with ThreadPoolExecutor() as pool:
        for first in range(0, len(paths), AT_ONCE):
            yield from pool.map(read_rgb, paths[first : first + AT_ONCE])


class CropDataset(Dataset[tuple[Tensor, Tensor]]):
    """Item `step` is the whole batch of that step: uint8 (B, 3, h, w) crops and wide crops."""

    def __init__(self, cache: ImageCache, sizes: BatchSizes, steps: int, seed: int = 0):
        self.cache, self.sizes, self.steps, self.seed = cache, sizes, steps, seed
        areas = np.array([h * w for h, w in cache.shapes], dtype=np.float64)
        # A photograph counts by the square root of its area: large ones hold more, but are few.
        self.weights = np.sqrt(areas) / np.sqrt(areas).sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        s = self.sizes
        crops = [self._crop(rng, s.crop_px) for _ in range(s.crops)]
        wide = [self._crop(rng, s.wide_px) for _ in range(s.wide_crops)]
        return _stack(crops), _stack(wide)

    def _crop(self, rng: np.random.Generator, side: int) -> np.ndarray:
        if self.sizes.graphics and rng.random() < self.sizes.graphics:
            return graphics.draw(rng, side)
        image = self.cache.image(int(rng.choice(len(self.cache), p=self.weights)))
        h, w = image.shape[:2]
        scale = 1.0 if rng.random() < 0.5 else rng.uniform(MIN_SCALE, 1.0)
        source = min(round(side / scale), h, w)
        top, left = rng.integers(h - source + 1), rng.integers(w - source + 1)
        crop = image[top : top + source, left : left + source]
        if source != side:
            resized = Image.fromarray(crop).resize((side, side), Image.Resampling.LANCZOS)
            crop = np.asarray(resized)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.2:
            crop = crop.transpose(1, 0, 2)
        return crop


def _stack(crops: list[np.ndarray]) -> Tensor:
    if not crops:
        return torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def batches(
    cache: ImageCache, sizes: BatchSizes, start: int, stop: int, seed: int, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of the batches start...stop-1, in order."""
    return DataLoader(
        CropDataset(cache, sizes, stop, seed),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        worker_init_fn=_ignore_signals,
    )


def _ignore_signals(worker: int) -> None:
    """Leave stopping to the run, which may be told in one go with its workers: it has to save."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def validation_images(folder: Path, limit: int) -> list[Tensor]:
    """Return `limit` images spread over `folder`, (1, 3, H, W) uint8, cut to whole patches.

    Raises:
        OSError: there is none, or one cannot be read.
        DataError: there is none as large as a patch.
    """
    images = []
    for path in evenly_chosen(find_images(folder, deep=True), limit):
        pixels = read_rgb(path)
        h, w = (side // PATCH_PX * PATCH_PX for side in pixels.shape[:2])
        if h and w:
            images.append(_stack([pixels[:h, :w]]))
    if not images:
        raise DataError(f"no image of {folder} is as large as a patch, {PATCH_PX}x{PATCH_PX}")
    return images
