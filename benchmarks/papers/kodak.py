"""Kodak: bits and PSNR of the first variables, and JPEG beside them.

DCT-VAE, sec. 5.3.2: only the context (or the top layers) of patches of 32x32 is taken from q, all
else is drawn from p at a low temperature. Bits are KL, as in the paper; JPEG's are those of files.
The codec's own context is measured by files as well.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...codec import api
from ...codec.files import digest_of
from ...codec.images import read_rgb
from ...models.vae.coders import First, Generation, Inference
from ...models.vae.model import Hvae
from ..datasets import KODAK
from ..metrics import psnr_rgb
from .data import DataMissing
from .strokes import draw_strokes

PATCH = 32
QUALITIES = range(1, 96)
TEMPERATURE = 0.1
"""Of what is drawn from p."""

Pixels = NDArray[np.uint8]


def photographs(data: Path | None) -> Iterator[Pixels]:
    """Yield the images, uint8 (H, W, 3), cut to whole patches.

    They lie in a folder `kodak` in that of the other sets. Without a folder two pictures of strokes
    are drawn.

    Raises:
        DataMissing: one of the 24 is not there, or is another.
    """
    if data is None:
        yield from draw_strokes(2, 2 * PATCH, 3, seed=9).transpose(0, 2, 3, 1)
        return
    folder = data / "kodak"
    there = [
        (folder / name).is_file() and digest_of(folder / name).hex() == digest
        for name, digest in KODAK.items()
    ]
    if not all(there):
        reason = (
            f"of Kodak {sum(there)} images of {len(KODAK)} are here; "
            f"fetch them: hvae-codec dataset kodak --to {folder}"
        )
        raise DataMissing(None, reason, str(folder))
    for name in KODAK:
        pixels = read_rgb(folder / name)
        h, w = (side // PATCH * PATCH for side in pixels.shape[:2])
        yield pixels[:h, :w]


def measure(model: Hvae, data: Path | None, count: int) -> dict[str, Any]:
    """Measure the first `count` layers of a model on every photograph; see `_against_jpeg`."""
    return _against_jpeg(data, lambda pixels: from_top(model, pixels, count))


def measure_files(data: Path | None, quality: int) -> dict[str, Any]:
    """Measure the codec's context in files of one quality on every photograph."""
    return _against_jpeg(data, lambda pixels: from_file(pixels, quality))


def _against_jpeg(
    data: Path | None, rebuild: Callable[[Pixels], tuple[float, Pixels]]
) -> dict[str, Any]:
    """Measure a way to code photographs on every one of them.

    Args:
        data: see `photographs`.
        rebuild: gives bits a pixel, and the image that is left.

    Returns:
        Means of bpp, of PSNR and of JPEG's bpp at that PSNR, and on how many images JPEG takes
        more. Means are over the `compared` images, whose worst JPEG is not better; over all where
        there is none.
    """
    points = []
    for pixels in photographs(data):
        bpp, rebuilt = rebuild(pixels)
        psnr = psnr_rgb(pixels, rebuilt)
        points.append([bpp, psnr, jpeg_bpp_at(pixels, psnr)])
    return summary(points)


def summary(points: list[list[Any]]) -> dict[str, Any]:
    """Sum up points of (bpp, PSNR, JPEG's bpp at that PSNR), one per image; see `_against_jpeg`."""
    compared = [point for point in points if point[2] is not None]
    bpp, psnr, jpeg = zip(*(compared or points), strict=True)
    return {
        "context_bpp": statistics.mean(bpp),
        "context_psnr_db": statistics.mean(psnr),
        "jpeg_bpp": statistics.mean(jpeg) if compared else None,
        "wins": sum(bpp < jpeg for bpp, _, jpeg in compared),
        "compared": len(compared),
        "images": len(points),
        "points": points,
    }


def from_file(pixels: Pixels, quality: int) -> tuple[float, Pixels]:
    """Return bits a pixel of a coded file up to its context, and the image in them."""
    data = api.encode(pixels, quality=quality, content="photo", tune="psnr")
    info = api.inspect(data)
    used = info.header_bytes + info.levels[0].bytes
    rebuilt = np.asarray(api.decode(data, levels=0))
    return 8 * used / (pixels.shape[0] * pixels.shape[1]), rebuilt


@torch.no_grad()
def from_top(model: Hvae, pixels: Pixels, count: int) -> tuple[float, Pixels]:
    """Return bits a pixel of the first layers, and the image that they give."""
    h, w, _ = pixels.shape
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    patches = x.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)  # (3, h', w', 32, 32)
    rows, columns = patches.shape[1:3]
    flat = patches.permute(1, 2, 0, 3, 4).flatten(0, 1)
    bits, rebuilt = 0.0, []
    for batch in flat.split(128):
        inference = Inference()
        walked = model.infer(First(count, inference, Generation(TEMPERATURE)), batch)
        bits += float(sum(layer.kl.sum() for layer in inference.terms)) / math.log(2)
        rebuilt.append(model.likelihood.mean(walked.features))
    joined = torch.cat(rebuilt).unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    image: Tensor = joined.reshape(3, h, w).clamp(0, 1) * 255
    return bits / (h * w), image.round().byte().permute(1, 2, 0).numpy()


def jpeg_bpp_at(pixels: Pixels, psnr: float) -> float | None:
    """Return the bits a pixel of JPEG at a PSNR, between those of two qualities.

    The best JPEG's if none is as good; None if all are better.
    """
    worse: tuple[float, float] | None = None
    for quality in QUALITIES:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=quality, optimize=True)
        bpp = 8 * len(out.getvalue()) / (pixels.shape[0] * pixels.shape[1])
        with Image.open(out) as back:
            found = psnr_rgb(pixels, np.asarray(back))
        if found >= psnr:
            return worse and float(np.interp(psnr, [worse[0], found], [worse[1], bpp]))
        worse = found, bpp
    assert worse
    return worse[1]
