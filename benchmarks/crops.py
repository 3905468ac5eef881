"""Side by side at equal bits: what a part of an image looks like after each codec."""

from __future__ import annotations

import base64
import io
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import metrics
from .codecs import OURS, Codec
from .run import Record, parallel, read_image

if TYPE_CHECKING:
    from PIL import Image

RATES = (0.15, 0.3, 0.7)
"""Bits a pixel, from a picture that is hardly usable to one that looks good."""

IMAGES = 4
SIZE_PX = (320, 240)

PLACES = {
    "kodim04.png": (120, 180),  # skin and hair
    "kodim05.png": (220, 120),  # numbers and letters
    "kodim13.png": (250, 60),  # foliage and water
    "kodim21.png": (220, 60),  # sky
}
"""Where to look in images of Kodak: left and top. Of other images it is the middle."""


@dataclass(frozen=True)
class Crop:
    """A part of a decoded image.

    Attributes:
        bpp, psnr_db, ssimulacra2: of the whole image; None for the original.
        png: a data URL.
    """

    codec: str
    setting: int | None
    bpp: float | None
    psnr_db: float | None
    ssimulacra2: float | None
    png: str


@dataclass(frozen=True)
class Picture:
    """One image by all codecs at equal bits; the original stands first."""

    image: str
    bpp: float
    crops: tuple[Crop, ...]


def make(
    paths: Sequence[Path], codecs: Sequence[Codec], records: Sequence[Record], jobs: int
) -> list[Picture]:
    """Crop some images after each codec, at equal bits.

    The bits are those of this codec's files nearest to `RATES`. The images are those of `PLACES`
    if all of them are there, else some evenly spread.

    Args:
        paths: the images.
        codecs: each tries settings between those that were measured; times-only ones are left out.
        records: what was measured.
        jobs: number of processes.
    """
    codecs = [codec for codec in codecs if not codec.times_only]
    known = [path for path in paths if path.name in PLACES]
    if len(known) < len(PLACES):
        known = sorted({paths[number * len(paths) // IMAGES] for number in range(IMAGES)})
    chosen = [(path, bpp) for path in known for bpp in _rates(path, records)]
    tasks = [(codec, path, bpp) for path, bpp in chosen for codec in codecs]
    crops: dict[tuple[Path, float], list[Crop]] = {task: [] for task in chosen}
    for (_, path, bpp), found in parallel(_crop_at, tasks, jobs):
        crops[path, bpp] += found
    return [
        Picture(path.name, bpp, (_original(path), *found)) for (path, bpp), found in crops.items()
    ]


def _rates(path: Path, records: Sequence[Record]) -> list[float]:
    """Return bits a pixel of this codec's files that are nearest to `RATES`."""
    own = [record for record in records if record.image == path.name]
    own = [record for record in own if record.codec == OURS] or own
    nearest = (min((record.bpp for record in own), key=lambda b: abs(b - bpp)) for bpp in RATES)
    return sorted({*nearest})


def _crop_at(codec: Codec, path: Path, bpp: float) -> list[Crop]:
    """Find the setting whose file comes nearest to a rate, and crop what it decodes to."""
    import numpy as np

    image = read_image(path)
    files: dict[int, bytes] = {}

    def rate(setting: int) -> float:
        if setting not in files:
            files[setting] = codec.encode(image, setting)
        return metrics.bits_per_pixel(len(files[setting]), *image.size)

    above = min(bisect_left(codec.accepts, bpp, key=rate), len(codec.accepts) - 1)
    below = max(above - 1, 0)
    setting = min(
        (codec.accepts[above], codec.accepts[below]), key=lambda setting: abs(rate(setting) - bpp)
    )
    decoded = codec.decode(files[setting])
    both = np.asarray(image), np.asarray(decoded)
    psnr_db, ssimulacra2 = metrics.psnr_rgb(*both), metrics.ssimulacra2_rgb(*both)
    return [Crop(codec.name, setting, rate(setting), psnr_db, ssimulacra2, _part(decoded, path))]


def _original(path: Path) -> Crop:
    return Crop("original", None, None, None, None, _part(read_image(path), path))


def _part(image: Image.Image, path: Path) -> str:
    width, height = (min(side, most) for side, most in zip(image.size, SIZE_PX, strict=True))
    middle = (image.width - width) // 2, (image.height - height) // 2
    left, top = PLACES.get(path.name, middle)
    buffer = io.BytesIO()
    image.crop((left, top, left + width, top + height)).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")


def data_url(data: bytes, media_type: str) -> str:
    """Put a file into an address, so that a page needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
