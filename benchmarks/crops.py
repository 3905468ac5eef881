"""Side by side at equal bits, or an equal score: a part of an image after each codec."""

from __future__ import annotations

import base64
import io
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import metrics
from .codecs import OURS, Codec
from .run import Record, parallel, read_image

if TYPE_CHECKING:
    from PIL import Image

RATES = (0.15, 0.3, 0.7)
"""Bits a pixel, from a picture that is hardly usable to one that looks good."""

SCORES = (50, 70)
"""Of SSIMULACRA2: medium and high quality."""

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
class Goal:
    """What all files of an image have alike: bits a pixel, or SSIMULACRA2."""

    measure: Literal["bpp", "ssimulacra2"]
    value: float

    def __str__(self) -> str:
        """Name it with its unit."""
        if self.measure == "bpp":
            return f"{self.value:.2f} bpp"
        return f"SSIMULACRA2 {self.value:g}"


@dataclass(frozen=True)
class Picture:
    """Crops of one image: of the original, then of each codec's result.

    Each codec codes the image at the setting that comes nearest to the goal.
    """

    image: str
    goal: Goal
    crops: tuple[Crop, ...]


def make(
    paths: Sequence[Path], codecs: Sequence[Codec], records: Sequence[Record], jobs: int
) -> list[Picture]:
    """Crop some images after each codec, at equal bits and at equal scores.

    The bits are those of this codec's files nearest to `RATES`, the scores are `SCORES`. The
    images are those of `PLACES` if all of them are there, else some evenly spread.

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
    goals = {path: _goals(path, records) for path in known}
    tasks = [
        (codec, path, goals[path], _measured(codec, path, records))
        for path in known
        for codec in codecs
    ]
    crops: dict[tuple[Path, Goal], list[Crop]]
    crops = {(path, goal): [] for path in known for goal in goals[path]}
    for (_, path, wanted, _), found in parallel(_crops_of, tasks, jobs):
        for goal, crop in zip(wanted, found, strict=True):
            crops[path, goal].append(crop)
    return [
        Picture(path.name, goal, (_original(path), *found)) for (path, goal), found in crops.items()
    ]


def _measured(codec: Codec, path: Path, records: Sequence[Record]) -> dict[int, Record]:
    """Return what is known of an image's files, by setting."""
    return {r.setting: r for r in records if (r.codec, r.image) == (codec.name, path.name)}


def _goals(path: Path, records: Sequence[Record]) -> list[Goal]:
    """Return the bit rates and the scores at which codecs are compared on an image.

    The bit rates are those of this codec's files. For each of `RATES` the nearest one is taken.
    """
    of_image = [record for record in records if record.image == path.name]
    own = [record for record in of_image if record.codec == OURS] or of_image
    nearest = (min((record.bpp for record in own), key=lambda b: abs(b - bpp)) for bpp in RATES)
    scores = () if any(math.isnan(record.ssimulacra2) for record in own) else SCORES
    return [Goal("bpp", bpp) for bpp in sorted({*nearest})] + [
        Goal("ssimulacra2", score) for score in scores
    ]


def _crops_of(
    codec: Codec, path: Path, goals: Sequence[Goal], measured: Mapping[int, Record]
) -> list[Crop]:
    """Decode the codec's file that is nearest to each goal, and crop it.

    Args:
        codec: what codes.
        path: the image.
        goals: one or more.
        measured: files that are known, by setting: only settings between them are tried.
    """
    import numpy as np

    image, settings = read_image(path), codec.accepts
    known = [place for place, setting in enumerate(settings) if setting in measured]

    @cache
    def file(setting: int) -> bytes:
        return codec.encode(image, setting)

    @cache
    def decoded(setting: int) -> Image.Image:
        return codec.decode(file(setting))

    def rate(setting: int) -> float:
        if setting in measured:
            return measured[setting].bpp
        return metrics.bits_per_pixel(len(file(setting)), *image.size)

    @cache
    def score(setting: int) -> float:
        if setting in measured:
            return measured[setting].ssimulacra2
        return metrics.ssimulacra2_rgb(np.asarray(image), np.asarray(decoded(setting)))

    def crop(goal: Goal) -> Crop:
        value = rate if goal.measure == "bpp" else score
        low = max((p for p in known if value(settings[p]) < goal.value), default=0)
        high = min((p for p in known if p > low), default=len(settings))
        above = bisect_left(settings, goal.value, low, high, key=value)
        near = settings[min(above, len(settings) - 1)], settings[max(above - 1, 0)]
        setting = min(near, key=lambda setting: abs(value(setting) - goal.value))
        shown = decoded(setting)
        psnr_db = metrics.psnr_rgb(np.asarray(image), np.asarray(shown))
        return Crop(codec.name, setting, rate(setting), psnr_db, score(setting), _part(shown, path))

    return [crop(goal) for goal in goals]


def _original(path: Path) -> Crop:
    return Crop("original", None, None, None, None, _part(read_image(path), path))


def _part(image: Image.Image, path: Path) -> str:
    """Cut `SIZE_PX` out of an image, or what it has of that; return a data URL."""
    width, height = (min(side, most) for side, most in zip(image.size, SIZE_PX, strict=True))
    room = image.width - width, image.height - height  # of Kodak's names may be smaller images
    middle = room[0] // 2, room[1] // 2
    left, top = map(min, PLACES.get(path.name, middle), room)
    buffer = io.BytesIO()
    image.crop((left, top, left + width, top + height)).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")


def data_url(data: bytes, media_type: str) -> str:
    """Put a file into an address, so that a page needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
