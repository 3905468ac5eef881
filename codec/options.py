"""What encoding and decoding can be asked for; library and command line share it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from PIL import Image

from ..bitstream import ArgumentError, Prior
from ..bitstream.header import MAX_TILE_SIDE
from .config import PATCH_PX
from .errors import ImageError
from .images import ImageSource, grey_picture
from .numbers import check_above_zero, effort_of, keep_whole, quality_of, whole
from .quality.curve import MAX_QUALITY
from .symbols.stack import Sampling

DEFAULT_QUALITY = 60
DEFAULT_PRIOR = Prior.MASKED_DIFFUSION.label
TUNES = "eye", "psnr"
DEFAULT_TUNE = "eye"

ContentKind = Literal["auto", "photo", "graphic"]
"""What an image shows; auto looks at each tile."""

Region = tuple[int, int, int, int]
"""x, y, width and height in px."""

SCALES = (1, 2, 4, 8, 16, 32)
"""Denominators of what is decoded; all divide the side of a patch."""

THUMBNAIL_SCALE = 8
"""From here on the context, of 4x4 coefficients a patch and more, holds all that is shown."""


@dataclass(frozen=True)
class EncodeOptions:
    """How an image is encoded: keywords of `encode.encode`, which says what they mean.

    Raises:
        ArgumentError: a value is outside its range, or two exclude each other.
    """

    quality: int | None = None
    max_bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    strip: bool = False
    verify: bool = False
    prior: str = DEFAULT_PRIOR
    effort: int = 0
    device: str = "cpu"
    tune: str = DEFAULT_TUNE
    roi: ImageSource | None = None
    map: ImageSource | None = None
    ssimulacra2: float | None = None
    page: int | None = None
    content: ContentKind = "auto"
    lossless: bool = False
    tile_px: int | None = None

    def __post_init__(self) -> None:
        keep_whole(self, "quality", "effort", "page", "tile_px")
        aims = (self.quality, self.max_bytes, self.bpp, self.psnr, self.ssimulacra2)
        if self.content not in get_args(ContentKind):
            raise ArgumentError(
                f"content {self.content} is not one of {', '.join(get_args(ContentKind))}"
            )
        if self.lossless and (self.has_target or self.quality is not None or self.effort):
            raise ArgumentError(
                "lossless excludes effort, quality, max_bytes, bpp, psnr and ssimulacra2"
            )
        if self.lossless and self._is_for_networks:
            raise ArgumentError("lossless excludes roi, map and content photo")
        if sum(aim is not None for aim in aims) > 1:
            raise ArgumentError("quality, max_bytes, bpp, psnr and ssimulacra2 exclude each other")
        if self.tune not in TUNES:
            raise ArgumentError(f"tune {self.tune} is not one of {', '.join(TUNES)}")
        for name in ("max_bytes", "bpp", "psnr", "ssimulacra2"):
            if (target := getattr(self, name)) is not None:
                check_above_zero(name, target)
        if self.quality is not None:
            quality_of(self.quality)
        if effort_of(self.effort) and self.tune != "psnr":
            raise ArgumentError("effort is for a smaller squared error: it needs tune psnr")
        if self.effort and self.is_lossless_at(self.quality):
            raise ArgumentError("quality 100 is lossless, which no effort makes smaller")
        if self.page is not None and self.page < 1:
            raise ArgumentError(f"page {self.page} is not 1 or above")
        if self.tile_px is not None:
            side, rest = divmod(self.tile_px, PATCH_PX)
            if rest or not 1 <= side <= MAX_TILE_SIDE:
                raise ArgumentError(f"tile_px {self.tile_px} is no multiple of 32 up to 2048")
        for name in ("roi", "map"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _grey(name, getattr(self, name)))
        check_device(self.device)
        knows_maps = prior_of(self.prior) is Prior.MASKED_DIFFUSION
        if not knows_maps and (self.roi is not None or self.map is not None):
            raise ArgumentError(f"prior {self.prior} knows one quality a file: no roi and no map")

    def is_lossless_at(self, quality: int | None) -> bool:
        """Tell whether an image is coded without loss at a quality.

        Quality 100 is lossless, as in JPEG XL, because networks reach some 43 dB. They code it all
        the same where content is photo, or where a map or a region varies the quality.
        """
        return self.lossless or (quality == MAX_QUALITY and not self._is_for_networks)

    @property
    def _is_for_networks(self) -> bool:
        return self.roi is not None or self.map is not None or self.content == "photo"

    @property
    def has_target(self) -> bool:
        """Whether the quality is to be found, not given."""
        targets = self.max_bytes, self.bpp, self.psnr, self.ssimulacra2
        return any(target is not None for target in targets)


@dataclass(frozen=True)
class DecodeOptions:
    """What of a file is decoded.

    Attributes:
        region: (x, y, width, height) in px of the full picture; None for all of it.
        scale: 1, 2, 4, 8, 16 or 32: the picture at 1/scale of its sides, rounded up.
        levels: levels of latents, the rest at their means; None for all.
        keep_going: decode what is there of a cut or damaged file.
        sampling: how to draw the levels that are left out; None leaves them at their means.
        device: `cpu`, `cuda` or `cuda:N`.

    Raises:
        ArgumentError: a value is outside its range.
    """

    region: Region | None = None
    scale: int = 1
    levels: int | None = None
    keep_going: bool = False
    sampling: Sampling | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        keep_whole(self, "levels", "scale")
        if self.levels is not None and self.levels < 0:
            raise ArgumentError(f"{self.levels} levels of latents cannot be decoded")
        if self.scale not in SCALES:
            raise ArgumentError(f"scale {self.scale} is none of {', '.join(map(str, SCALES))}")
        if self.sampling is not None and not isinstance(self.sampling, Sampling):
            raise ArgumentError(f"sampling is {self.sampling!r}, not a Sampling")
        if self.sampling is not None and self.scale >= THUMBNAIL_SCALE:
            raise ArgumentError(f"at 1/{self.scale} no level is decoded that could be drawn")
        if self.region is not None:
            object.__setattr__(self, "region", _checked_region(self.region))
        check_device(self.device)


def _grey(name: str, picture: Any) -> Image.Image:  # noqa: ANN401
    if isinstance(picture, Image.Image) and picture.mode == "L" and picture.format is None:
        return picture
    try:
        return grey_picture(picture)
    except ImageError as error:
        raise ArgumentError(f"{name} is no picture in grey: {error}") from error


def _checked_region(region: Any) -> Region:  # noqa: ANN401
    try:
        x, y, width, height = region
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"region {region!r} is not x, y, width and height") from error
    return whole("x", x), whole("y", y), whole("width", width), whole("height", height)


def check_device(device: str) -> None:
    """Refuse the name of a device that nothing here computes on.

    Raises:
        ArgumentError: it is not `cpu`, `cuda`, or `cuda` with a number.
    """
    if not isinstance(device, str):
        raise ArgumentError(f"device is of type {type(device).__name__}, not a name")
    if device not in ("cpu", "cuda") and not re.fullmatch("cuda:[0-9]{1,3}", device):
        raise ArgumentError(f"device {device} is not cpu or cuda")


def prior_of(name: str) -> Prior:
    """Return the prior of a name.

    Raises:
        ArgumentError: there is none.
    """
    for prior in Prior:
        if prior.label == name:
            return prior
    raise ArgumentError(f"prior {name} is not one of {', '.join(p.label for p in Prior)}")
