"""An image to a file, as users call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..bitstream import Prior, read_index
from .encoder import Alphas, check_size, encode_losslessly, encode_pixels, tile_side_of
from .errors import TargetError
from .images import ImageSource, Pixels, metadata_from, pixels_of, stretched
from .networks.weights import Codec, load_codec
from .options import (
    DEFAULT_PRIOR,
    DEFAULT_QUALITY,
    DEFAULT_TUNE,
    ContentKind,
    EncodeOptions,
    prior_of,
)
from .rate_control.maps import wanted_offsets
from .rate_control.score import SMALLEST_PX, check_metric
from .rate_control.targets import best_within, psnr_of, smallest_reaching, ssimulacra2_of
from .verify import verify_encoded


def encode(
    image: ImageSource,
    quality: int | None = None,
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
    roi: ImageSource | None = None,
    map: ImageSource | None = None,
    page: int | None = None,
    content: ContentKind = "auto",
    lossless: bool = False,
    tile_px: int | None = None,
) -> bytes:
    """Encode an image.

    Args:
        image: a Pillow image, or a uint8 or uint16 array (H, W) or (H, W, 1...4). An image that
            was opened and not loaded keeps its 16 bits a channel, which Pillow would cut. Or the
            path of an image file, its bytes, or itself open for reading.
        quality: a whole number, 0 (smallest) to 100 (lossless, but with a map, a region or content
            photo); 60, unless another aim finds it.
        max_bytes: find the best quality whose file has no more bytes.
        bpp: find the best quality whose file has no more bits a pixel.
        psnr: find the smallest quality that reaches so many dB over all colour samples that are
            seen; of 16 bits, over the range that the samples fill.
        ssimulacra2: find the smallest quality that reaches this score; needs its package.
        metadata: `icc_profile`, `exif` and `xmp`, bytes each, `text`, a dict of strings, and
            `dpi`, across and down, in place of the image's own.
        verify: decode the result under another configuration before returning it.
        strip: leave EXIF, XMP and text out (an orientation is applied first); ICC stays.
        prior: name of the context's prior, one of those that the weights have.
        effort: 0...9. The larger, the longer symbols are searched for a smaller loss; above 0 it
            needs tune psnr.
        device: `cpu`, `cuda` or `cuda:N`.
        tune: `eye`, bits to where errors are seen; or `psnr`, the smallest squared error.
        roi: a grey picture of what matters, laid over the upright image: black is coded up to 30
            qualities below white, as far as the model of the quality reaches; white has what was
            asked for.
        map: a grey picture of qualities to add, 128 less than its grey, as `quality_map` gives it,
            for the pixels as they are stored; in place of what `tune` would add. It also reaches
            as far as the model of the quality: `inspect(data).qualities` says how far.
        page: which picture of a file of several, from 1 on; None for the only one.
        content: `auto` decides for each tile whether it is coded exactly, by the networks, or
            partly so. `photo` leaves all to the networks; `graphic` tries both for all tiles.
        lossless: every sample comes back as it was; instead of a quality.
        tile_px: side of a tile, a multiple of 32 up to 2048. Smaller ones need less memory, and
            more bits; None chooses 1024 to 1280, or 2048 where all is lossless.

    Returns:
        The whole file.

    Warns:
        LeftOut: the image's file holds something that is not kept; its `names` tell what.

    Raises:
        OSError: an image file cannot be read.
        ImageError: the image is of a kind that cannot be coded.
        ArgumentError: an argument is out of range, or excludes another one.
        ImageTooLarge: the image has more pixels than a decoder accepts.
        TargetError: no quality gives what was asked for.
        PayloadTooShort: a prior that takes bits back finds too few.
        VerificationFailed: the other configuration decoded something else.
        WeightsError: the weights do not have the prior, or the device is not there.
        BoundError: this machine's convolutions are not exact.
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
        tile_px=tile_px,
    )
    return encode_with(image, options, metadata)


def encode_with(
    image: ImageSource,
    options: EncodeOptions,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Encode an image; see `encode`, whose keywords are fields of the options."""
    if options.ssimulacra2 is not None:
        check_metric()
    kind = prior_of(options.prior)
    codec = None
    if not options.is_lossless_at(options.quality):
        codec = load_codec(device=options.device, tune=options.tune)
        codec.check_prior(kind)  # refused before the image is read
    pixels = pixels_of(image, strip=options.strip, page=options.page)
    check_size(pixels)
    if options.ssimulacra2 is not None and min(pixels.size) < SMALLEST_PX:
        raise TargetError(f"SSIMULACRA2 needs {SMALLEST_PX} pixels a side")
    if metadata is not None:
        pixels = replace(pixels, metadata=metadata_from(metadata))
    data = (
        _encode(codec, pixels, options, kind)
        if codec
        else encode_losslessly(pixels, options.tile_px)
    )
    if options.verify:
        found = read_index(data).header.quality
        verify_encoded(data, pixels, is_lossless=options.is_lossless_at(found))
    return data


def _encode(codec: Codec, pixels: Pixels, options: EncodeOptions, prior: Prior) -> bytes:
    coded = stretched(pixels)
    offsets = None
    if prior is Prior.MASKED_DIFFUSION:  # the others know one quality a file
        offsets = wanted_offsets(coded, options, tile_side_of(coded, options))
    learned = partial(encode_pixels, codec, coded, options=options, offsets=offsets)
    if options.has_target:
        return _search(codec, pixels, options, partial(learned, alphas=Alphas(coded)))
    return learned(DEFAULT_QUALITY if options.quality is None else options.quality)


def _search(
    codec: Codec, pixels: Pixels, options: EncodeOptions, learned: Callable[..., bytes]
) -> bytes:
    """Find the quality of a target; `learned` encodes at one that is not lossless."""

    def at(quality: int) -> bytes:
        return (
            encode_losslessly(pixels, options.tile_px)
            if options.is_lossless_at(quality)
            else learned(quality)
        )

    if options.psnr is not None:
        return smallest_reaching(at, partial(psnr_of, codec, pixels), options.psnr, " dB")
    if options.ssimulacra2 is not None:
        score = partial(ssimulacra2_of, codec, pixels)
        return smallest_reaching(at, score, options.ssimulacra2, " of SSIMULACRA2")
    limit, wish = options.max_bytes, f"{options.max_bytes} bytes"
    if options.bpp is not None:
        bpp = float(options.bpp)
        limit, wish = bpp * math.prod(pixels.size) / 8, f"{bpp:g} bits a pixel"
    assert limit is not None
    try:
        return best_within(at, limit, wish)
    except TargetError:
        if options.content != "auto":
            raise
        by_networks = partial(
            learned, options=replace(options, content="photo")
        )  # worse than exact patches
        return best_within(by_networks, limit, wish)
