"""Side by side at equal bits: what an image's middle looks like after each codec."""

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

BPP = 0.3
"""Few enough bits that the codecs can be told apart, enough that one would use the picture."""

IMAGES = 3
SIZE_PX = (320, 240)


@dataclass(frozen=True)
class Crop:
    """The middle of a decoded image.

    Attributes:
        bpp, psnr_db: of the whole image; None for the original.
        png: a data URL.
    """

    codec: str
    setting: int | None
    bpp: float | None
    psnr_db: float | None
    png: str


@dataclass(frozen=True)
class Picture:
    """One image by all codecs; the original stands first."""

    image: str
    crops: tuple[Crop, ...]


def make(
    paths: Sequence[Path], codecs: Sequence[Codec], records: Sequence[Record], jobs: int
) -> list[Picture]:
    """Crop some images, evenly spread, at as many bits as this codec's file nearest to `BPP`.

    Args:
        paths: the images.
        codecs: each tries settings between those that were measured; times-only ones are left out.
        records: what was measured.
        jobs: number of processes.
    """
    codecs = [codec for codec in codecs if not codec.times_only]
    chosen = sorted({paths[number * len(paths) // IMAGES] for number in range(IMAGES)})
    tasks = []
    for path in chosen:
        nearest = min(
            (r for r in records if r.image == path.name),
            key=lambda record: (record.codec != OURS, abs(record.bpp - BPP)),
        )
        tasks += [(codec, path, nearest.bpp) for codec in codecs]
    crops: dict[tuple[Path, str], Crop] = {
        (path, codec.name): found[0] for (codec, path, _), found in parallel(_crop_at, tasks, jobs)
    }
    return [
        Picture(path.name, (_original(path), *(crops[path, codec.name] for codec in codecs)))
        for path in chosen
    ]


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
    psnr_db = metrics.psnr_rgb(np.asarray(image), np.asarray(decoded))
    return [Crop(codec.name, setting, rate(setting), psnr_db, _middle(decoded))]


def _original(path: Path) -> Crop:
    return Crop("original", None, None, None, _middle(read_image(path)))


def _middle(image: Image.Image) -> str:
    width, height = (min(side, most) for side, most in zip(image.size, SIZE_PX, strict=True))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    buffer = io.BytesIO()
    image.crop((left, top, left + width, top + height)).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")


def data_url(data: bytes, media_type: str) -> str:
    """Put a file into an address, so that a page needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
