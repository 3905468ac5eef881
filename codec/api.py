"""What users call: images to bytes and back, and what can be told of a file without decoding."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from ..bitstream import BitstreamError, InvalidField, Prior, read_index
from .check import VerifyReport, verify_file
from .config import PATCH_PX
from .decoder import decode_file
from .encoder import encode_alphas, encode_losslessly, encode_pixels
from .errors import TargetError, VerificationFailed
from .images import (
    Pixels,
    info_of,
    metadata_from,
    read_image,
    squeezed,
    stretched,
    to_image,
    to_pixels,
    without_previews,
)
from .info import inspect as inspect
from .options import (
    DEFAULT_PRIOR,
    DEFAULT_QUALITY,
    DEFAULT_TUNE,
    ContentKind,
    DecodeOptions,
    EncodeOptions,
    Region,
    check_device,
)
from .quality_maps import map_picture, wanted_offsets
from .rate import best_within, psnr_of, smallest_reaching, squared_error, ssimulacra2_of
from .sampling import draw_picture
from .score import check_metric
from .sources import Source, opened
from .stack import Sampling
from .tile_cache import THUMBNAIL_SCALE
from .tiling import tile_side
from .weights import codec_for, load_codec


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
    metadata: dict[str, Any]
    lost_tiles: tuple[int, ...]
    whole_levels: int

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 1...4) uint8, or uint16 where the file has 16 bits a channel."""
        return self.picture.samples

    @property
    def image(self) -> Image.Image:
        """The picture as Pillow has it: 16-bit grey as I;16, 16-bit colour rounded to 8 bits.

        Pillow has no mode for 16-bit colour: `pixels` has all its bits, and
        `codec.images.write_image` writes them from `picture`.
        """
        return to_image(self.picture, self.metadata)


class EncodedImage:
    """A file that was opened: its description at once, its pixels on demand."""

    def __init__(self, source: Source):
        self.source = source
        self.info = inspect(source)

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


ImageSource = Image.Image | np.ndarray | str | os.PathLike[str] | bytes | Pixels
"""What can be encoded: an image or an array; an image file's path, or its bytes; or its pixels."""


def encode(
    image: ImageSource,
    quality: float | None = None,
    *,
    max_bytes: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    ssimulacra2: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    verify: bool = False,
    strip: bool = False,
    prior: str = DEFAULT_PRIOR,
    effort: int = 0,
    device: str = "cpu",
    tune: str = DEFAULT_TUNE,
    roi: Image.Image | None = None,
    map: Image.Image | None = None,
    page: int | None = None,
    content: ContentKind = "auto",
    lossless: bool = False,
) -> bytes:
    """Encode an image.

    Args:
        image: a Pillow image, or a uint8 or uint16 array (H, W) or (H, W, 1...4). An image that
            was opened and not loaded keeps its 16 bits a channel, which Pillow would cut. Or the
            path of an image file, or its bytes.
        quality: 0 (smallest) to 100 (best); 60, unless another aim finds it.
        max_bytes: find the best quality whose file has no more bytes.
        bpp: find the best quality whose file has no more bits a pixel.
        psnr: find the smallest quality that reaches so many dB over all colour samples.
        ssimulacra2: find the smallest quality that reaches this score; needs its package.
        metadata: `icc_profile`, `exif` and `xmp`, bytes each, `text`, a dict of strings, and
            `dpi`, across and down, in place of the image's own.
        verify: decode the result under another configuration before returning it.
        strip: leave EXIF, XMP and text out (an orientation is applied first); ICC stays.
        prior: name of the context's prior, one of those that the weights have.
        effort: 0...9. The larger, the longer symbols are searched for a smaller loss.
        device: `cpu` or `cuda`.
        tune: `psnr`, every patch at the same quality; or `eye`, bits to where errors are seen.
        roi: a grey picture of what matters, laid over the whole image: black is coded up to 30
            qualities below white, as far as one model reaches; white has what was asked for.
        map: a grey picture of qualities to add, 128 less than its grey, as `quality_map` gives it.
        page: which picture of a file of several, from 1 on; None for the only one.
        content: `auto` decides for each tile whether it is coded exactly, by the networks, or
            partly so. `photo` leaves all to the networks; `graphic` tries both for all tiles.
        lossless: every sample comes back as it was; instead of a quality.

    Returns:
        The whole file.

    Warns:
        LeftOut: the image's file holds something that is not kept; its `names` tell what.

    Raises:
        OSError: an image file cannot be read.
        ImageError: the image is of a kind that cannot be coded.
        InvalidField: an argument is out of range, or excludes another one.
        ImageTooLarge: the image has more pixels than a decoder accepts.
        TargetError: no quality gives what was asked for.
        PayloadTooShort: a prior that takes bits back finds too few.
        VerificationFailed: the other configuration decoded something else.
        WeightsError: the weights do not have the prior, or the device is not there.
        TorchMissing: effort, prior or device needs PyTorch, which is not installed.
        MetricMissing: the package of `ssimulacra2` is not installed.
    """
    options = EncodeOptions(
        quality=quality,
        max_bytes=max_bytes,
        bpp=bpp,
        psnr=psnr,
        strip=strip,
        verify=verify,
        prior=prior,
        effort=effort,
        device=device,
        tune=tune,
        roi=roi,
        map=map,
        ssimulacra2=ssimulacra2,
        page=page,
        content=content,
        lossless=lossless,
    )
    return encode_with(image, options, metadata)


def encode_with(
    image: ImageSource,
    options: EncodeOptions,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Encode an image; see `encode`, which has the same options as keywords."""
    if options.ssimulacra2 is not None:
        check_metric()
    kind = prior_of(options.prior)
    if not options.lossless:
        load_codec(device=options.device).check_prior(kind)  # refused before the image is read
    pixels = _read(image, options)
    if metadata is not None:
        pixels = replace(pixels, metadata=metadata_from(metadata))
    if options.lossless:
        data = encode_losslessly(pixels)
    else:
        pixels = stretched(pixels)
        data = _encode(pixels, options, kind)
    if options.verify:
        check_encoded(data, pixels)
    return data


def _encode(pixels: Pixels, options: EncodeOptions, prior: Prior) -> bytes:
    codec = load_codec(device=options.device)
    side = tile_side(*pixels.size) if options.tile_px is None else options.tile_px // PATCH_PX
    at = partial(
        encode_pixels,
        codec,
        pixels,
        tile=side,
        prior=prior,
        effort=options.effort,
        offsets=wanted_offsets(pixels, options),
        content=options.content,
    )
    if options.has_target:
        at = partial(at, alphas=encode_alphas(pixels, side))
    if options.psnr is not None:
        return smallest_reaching(at, partial(psnr_of, codec, pixels), options.psnr, " dB")
    if options.ssimulacra2 is not None:
        score = partial(ssimulacra2_of, codec, pixels)
        return smallest_reaching(at, score, options.ssimulacra2, " of SSIMULACRA2")
    if not options.has_target:
        return at(DEFAULT_QUALITY if options.quality is None else options.quality)
    limit, wish = options.max_bytes, f"{options.max_bytes} bytes"
    if options.bpp is not None:
        limit, wish = options.bpp * math.prod(pixels.size) / 8, f"{options.bpp:g} bits a pixel"
    assert limit is not None
    try:
        return best_within(at, limit, wish)
    except TargetError:
        if options.content != "auto":
            raise
        return best_within(partial(at, content="photo"), limit, wish)  # worse than exact patches


def _read(image: ImageSource, options: EncodeOptions) -> Pixels:
    if isinstance(image, Pixels):
        return image
    if isinstance(image, str | os.PathLike | bytes):
        with read_image(image) as opened_image:
            return to_pixels(opened_image, strip=options.strip, page=options.page)
    return to_pixels(image, strip=options.strip, page=options.page)


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
        device: `cpu` or `cuda`.

    Raises:
        InvalidField: an argument is outside its range.
        WeightsError: the weights do not have the prior, or the device is not there.
        TorchMissing: prior or device needs PyTorch, which is not installed.
    """
    check_device(device)
    codec = load_codec(device=device)
    drawn = draw_picture(codec, size, quality, sampling or Sampling(), prior_of(prior))
    return Image.fromarray(drawn)


def prior_of(name: str) -> Prior:
    """Return the prior of a name.

    Raises:
        InvalidField: there is none.
    """
    for prior in Prior:
        if prior.label == name:
            return prior
    raise InvalidField(f"prior {name} is not one of {', '.join(p.label for p in Prior)}")


def check_encoded(data: bytes, pixels: Pixels) -> None:
    """Decode what was just encoded under another configuration.

    A file without learned tiles has no other: its samples are compared with the image's, unless
    they are hidden.

    Raises:
        VerificationFailed: it decodes to something else, or not at all.
    """
    try:
        index = read_index(data)
        if not index.header.needs_weights:
            decoded = decode_file(None, data, index).pixels
            if squared_error(pixels, decoded)[0]:
                raise VerificationFailed("the samples differ when decoded again")
            return
        report = verify_file(load_codec(), data, index)
    except BitstreamError as error:
        raise VerificationFailed(f"what was encoded does not decode: {error}") from error
    if report.differing:
        raise VerificationFailed(
            f"{report.differing} of {report.symbols} symbols differ when decoded again"
        )


def decode(
    source: Source,
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
        source: bytes, a path, or a seekable binary file.
        region: (x, y, width, height) in px; only the tiles that it needs are read.
        scale: 1, 2, 4, 8, 16 or 32: the picture at 1/scale of its sides, rounded up. From 8 on
            the context alone is read (and alpha). A region is still given in px of the full
            picture, and comes out as the pixels of the scaled picture that it touches.
        levels: decode the context and so many levels of latents, the rest at their means. A file
            that is cut behind them will do.
        keep_going: decode what is there of a cut or damaged file. A damaged tile keeps the
            levels before the damage; `decode_parts` tells which tiles these are.
        sampling: draw what `levels` leaves out from the model, by a seed and a temperature.
        device: `cpu` or `cuda`; the symbols are the same.

    Returns:
        An image of mode L, LA, RGB, RGBA or I;16. 16-bit colour, for which Pillow has no mode, is
        rounded to 8 bits; `decode_parts` gives all of it.

    Raises:
        OSError: the file cannot be read.
        BitstreamError: the file is not ours, cut, damaged, or of other weights, or an argument is
            outside its range.
        WeightsError: the device is not there.
        TorchMissing: the device needs PyTorch, which is not installed.
    """
    options = DecodeOptions(region, scale, levels, keep_going, sampling, device)
    return decode_with(source, options).image


def decode_parts(
    source: Source,
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
        OSError, BitstreamError, WeightsError, TorchMissing: as `decode` does.
    """
    return decode_with(source, DecodeOptions(region, scale, levels, keep_going, sampling, device))


def decode_with(source: Source, options: DecodeOptions) -> Decoded:
    """Decode a file; see `decode_parts`, which has the same options as keywords."""
    with opened(source) as file:
        index = read_index(file)
        if not options.keep_going:
            cut = options.levels is not None or options.scale >= THUMBNAIL_SCALE
            index.check_end(file, may_be_cut=cut)
        header = index.header
        codec = codec_for(header, options.device) if header.needs_weights else None
        picture = decode_file(codec, file, index, options)
    info = info_of(index.metadata)
    if options.region is not None:
        info = without_previews(info)
    pixels = squeezed(picture.pixels, index.metadata)
    return Decoded(pixels, info, picture.lost_tiles, picture.whole_levels)


def quality_map(source: Source) -> Image.Image:
    """Draw the quality map of a file, a pixel a patch of 32x32 px.

    Returns:
        Grey: 128 where a patch has the file's quality, and one more for each quality more.

    Raises:
        OSError, BitstreamError: as `inspect` does.
    """
    with opened(source) as file:
        index = read_index(file)
    return map_picture(index.map, index.header.patches)


def verify(source: Source) -> VerifyReport:
    """Decode a file under two configurations and compare what they give.

    Raises:
        OSError, BitstreamError: as `decode` does.
    """
    with opened(source) as file:
        index = read_index(file)
        index.check_end(file)
        codec = codec_for(index.header) if index.header.needs_weights else None
        return verify_file(codec, file, index)


def open(source: Source) -> EncodedImage:
    """Open a file: its bytes, its path, or itself. What is decoded of it later is read then.

    Raises:
        OSError: it cannot be read.
        BitstreamError: it is not ours, or damaged before its tiles.
    """
    return EncodedImage(source)
