"""A file to an image, as users call it: all of it, or a part; checked; or a picture of nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bitstream import ArgumentError, read_index
from .decoder import decode_file
from .images import Pixels, info_of, squeezed, to_image, without_previews
from .info import inspect
from .networks.weights import codec_for, load_codec
from .numbers import whole
from .options import (
    DEFAULT_PRIOR,
    DEFAULT_QUALITY,
    THUMBNAIL_SCALE,
    DecodeOptions,
    Region,
    check_device,
    prior_of,
)
from .rate_control.maps import map_picture
from .sampling import draw_picture
from .sources import CodedSource, opened
from .symbols.stack import Sampling
from .verify import VerifyReport, verify_file


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded picture, and what was missing of it.

    Attributes:
        picture: its pixels, with their size, color and bit_depth.
        metadata: what `image.info` gets: `icc_profile`, `exif`, `xmp`, bytes each; `text`, a dict
            of strings; `dpi`, across and down. A region has no thumbnails of the whole in them.
        lost_tiles: numbers of the tiles, row by row, of which something is damaged or nothing is
            there; only with `keep_going`.
        whole_levels: how many levels of latents are intact in every tile, of those asked for; 0
            is the context alone, or not even that.
    """

    picture: Pixels
    metadata: dict[str, Any] = field(repr=False)
    lost_tiles: tuple[int, ...]
    whole_levels: int

    @cached_property
    def pixels(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(H, W, 1...4) uint8, or uint16 where the file has 16 bits a channel; to be written to."""
        samples = self.picture.samples
        return samples if samples.flags.writeable else samples.copy()

    @property
    def image(self) -> Image.Image:
        """The picture as Pillow has it: 16-bit grey as I;16, 16-bit colour rounded to 8 bits.

        Pillow has no mode for 16-bit colour: `pixels` has all its bits.
        """
        return to_image(self.picture, self.metadata)


class EncodedImage:
    """A file that was opened: its description at once, its pixels on demand.

    Attributes:
        source: the file as it was given, which is read again for its pixels.
        info: its description.
    """

    def __init__(self, source: CodedSource):
        self.source = source
        self.info = inspect(source)

    def __repr__(self) -> str:
        size = f"{self.info.width}x{self.info.height}"
        return f"<{type(self).__name__} of {size} px, {self.info.file_bytes} bytes>"

    def decode(
        self,
        *,
        region: Region | None = None,
        scale: int = 1,
        levels: int | None = None,
        keep_going: bool = False,
        sampling: Sampling | None = None,
        device: str = "cpu",
    ) -> Image.Image:
        """Decode the pixels; see `decode`."""
        options = DecodeOptions(region, scale, levels, keep_going, sampling, device)
        return decode_with(self.source, options).image


def decode(
    source: CodedSource,
    *,
    region: Region | None = None,
    scale: int = 1,
    levels: int | None = None,
    keep_going: bool = False,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> Image.Image:
    """Decode a file, or a part of it; metadata in `info`.

    Args:
        source: bytes, a path, or a seekable binary file, read from its beginning wherever it
            stands.
        region: (x, y, width, height) in px; only the tiles that it needs are read.
        scale: 1, 2, 4, 8, 16 or 32: the picture at 1/scale of its sides, rounded up. From 8 on
            the context alone is read (and alpha). A region is still given in px of the full
            picture, and comes out as the pixels of the scaled picture that it touches.
        levels: decode the context and so many levels of latents, the rest at their means. A file
            that is cut behind them will do.
        keep_going: decode what is there of a cut or damaged file. A damaged tile keeps the
            levels before the damage; `decode_parts` tells which tiles these are.
        sampling: draw what `levels` leaves out from the model, by a seed and a temperature.
        device: `cpu`, `cuda` or `cuda:N`; the symbols are the same.

    Returns:
        An image of mode L, LA, RGB, RGBA or I;16. 16-bit colour, for which Pillow has no mode, is
        rounded to 8 bits; `decode_parts` gives all of it.

    Raises:
        OSError: the file cannot be read.
        BitstreamError: the file is not ours, cut, damaged, or of other weights.
        ArgumentError: an argument is outside its range.
        WeightsError: the device is not there.
        BoundError: this machine's convolutions are not exact.
        TorchMissing: the device needs PyTorch, which is not installed.
    """
    options = DecodeOptions(region, scale, levels, keep_going, sampling, device)
    return decode_with(source, options).image


def decode_parts(
    source: CodedSource,
    *,
    region: Region | None = None,
    scale: int = 1,
    levels: int | None = None,
    keep_going: bool = False,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> Decoded:
    """Decode as `decode` does, and tell what was missing.

    Raises:
        OSError, BitstreamError, ArgumentError, WeightsError, TorchMissing: as `decode` does.
    """
    return decode_with(source, DecodeOptions(region, scale, levels, keep_going, sampling, device))


def decode_with(source: CodedSource, options: DecodeOptions) -> Decoded:
    """Decode a file; see `decode_parts`, which has the same options as keywords."""
    with opened(source) as file:
        index = read_index(file)
        if not options.keep_going:
            cut = options.levels is not None or options.scale >= THUMBNAIL_SCALE
            index.check_end(file, may_be_cut=cut)
        codec = codec_for(index.header, options.device)
        picture = decode_file(codec, file, index, options)
    info = info_of(index.metadata)
    if options.region is not None:
        info = without_previews(info)
    pixels = squeezed(picture.pixels, index.metadata)
    return Decoded(pixels, info, picture.lost_tiles, picture.whole_levels)


def quality_map(source: CodedSource) -> Image.Image:
    """Draw the quality map of a file, a pixel a patch of 32x32 px.

    Returns:
        Grey: 128 where a patch has the file's quality, and one more for each quality more.

    Raises:
        OSError, BitstreamError: as `inspect` does.
    """
    with opened(source) as file:
        index = read_index(file)
    return map_picture(index.quality_map, index.header.patches)


def verify(source: CodedSource) -> VerifyReport:
    """Decode a file under two configurations and compare what they give.

    Returns:
        How many symbols, and by how much samples, differ.

    Raises:
        OSError, BitstreamError: as `decode` does.
    """
    with opened(source) as file:
        index = read_index(file)
        index.check_end(file)
        codec = codec_for(index.header)
        return verify_file(codec, file, index)


def open(source: CodedSource) -> EncodedImage:
    """Open a file: its bytes, its path, or itself. What is decoded of it later is read then.

    Raises:
        OSError: it cannot be read.
        BitstreamError: it is not ours, damaged before its tiles, or longer than it says.
    """
    return EncodedImage(source)


def sample(
    size: tuple[int, int],
    quality: int = DEFAULT_QUALITY,
    *,
    prior: str = DEFAULT_PRIOR,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> Image.Image:
    """Draw a picture from noise: context from its prior, latents from the trunk, then synthesis.

    Args:
        size: (rows, columns) of patches of 32x32 px.
        quality: 0...100, how such a picture would have been coded.
        prior: name of the context's prior.
        sampling: seed and temperature.
        device: `cpu`, `cuda` or `cuda:N`.

    Returns:
        An image of mode RGB, 32 px a patch.

    Raises:
        ArgumentError: an argument is outside its range.
        WeightsError: the weights do not have the prior, or the device is not there.
        TorchMissing: prior or device needs PyTorch, which is not installed.
    """
    check_device(device)
    try:
        rows, columns = size
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"size {size!r} is not rows and columns of patches") from error
    rows, columns = whole("rows of size", rows), whole("columns of size", columns)
    codec = load_codec(device=device)
    drawn = draw_picture(codec, (rows, columns), quality, sampling or Sampling(), prior_of(prior))
    return Image.fromarray(drawn)
