"""Encode to a size, a rate or a PSNR: bisection over the 101 qualities.

A search takes seven encodings (and as many decodings for a PSNR). The analysis is conditioned on
quality, so all networks run anew for each; what they share is the image taken apart and its coded
alpha. Sizes and PSNRs rise with quality but for rare ties and dips of neighbours: the result keeps
what was asked for, and can be one quality off the best.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..bitstream import read_index
from ..models.priors import DEFAULT_PRIOR
from ..models.quality import QUALITIES
from .api import check_encoded, prior_of
from .decoder import decode_file
from .encoder import encode_alphas, encode_pixels
from .errors import TargetError
from .image import Pixels, to_pixels
from .tiling import TILE_PATCHES, tile_side, tiles_in
from .view import view_of
from .weights import load_codec


def encode_to_size(
    image: Image.Image | np.ndarray,
    max_bytes: int,
    *,
    verify: bool = False,
    strip: bool = False,
    prior: str = DEFAULT_PRIOR,
    effort: int = 0,
) -> bytes:
    """Encode at the best quality whose file has no more than `max_bytes` bytes.

    Raises:
        TargetError: even quality 0 takes more.
        ImageError, InvalidField, VerificationFailed: as `api.encode`.
    """
    encode = _encoder(to_pixels(image, strip=strip), prior, effort)
    return _within(encode, max_bytes, f"{max_bytes} bytes", verify)


def encode_to_bpp(
    image: Image.Image | np.ndarray,
    bpp: float,
    *,
    verify: bool = False,
    strip: bool = False,
    prior: str = DEFAULT_PRIOR,
    effort: int = 0,
) -> bytes:
    """Encode at the best quality whose file has no more than `bpp` bits a pixel.

    Raises:
        TargetError: even quality 0 takes more.
        ImageError, InvalidField, VerificationFailed: as `api.encode`.
    """
    pixels = to_pixels(image, strip=strip)
    encode, max_bytes = _encoder(pixels, prior, effort), bpp * math.prod(pixels.size) / 8
    return _within(encode, max_bytes, f"{bpp:g} bits a pixel", verify)


def encode_to_psnr(
    image: Image.Image | np.ndarray,
    psnr_db: float,
    *,
    verify: bool = False,
    strip: bool = False,
    prior: str = DEFAULT_PRIOR,
    effort: int = 0,
) -> bytes:
    """Encode at the smallest quality that reaches a PSNR over all colour samples.

    Pixels of full transparency do not count.

    Raises:
        TargetError: even quality 100 does not reach it.
        ImageError, InvalidField, VerificationFailed: as `api.encode`.
    """
    pixels = to_pixels(image, strip=strip)
    encode = _encoder(pixels, prior, effort)
    scores: dict[int, float] = {}

    def reaches(quality: int) -> bool:
        scores[quality] = _psnr_db(pixels, encode(quality))
        return scores[quality] >= psnr_db

    found = _first(reaches)
    if found is None:
        best = max(scores.values())
        raise TargetError(f"{psnr_db:g} dB is out of reach, quality 100 has {best:.2f} dB")
    return _checked(encode(found), verify)


def _within(encode: Callable[[int], bytes], max_bytes: float, wish: str, verify: bool) -> bytes:
    over = _first(lambda quality: len(encode(quality)) > max_bytes)
    if over == 0:
        raise TargetError(f"{wish} are too few, quality 0 takes {len(encode(0))} bytes")
    return _checked(encode(QUALITIES - 1 if over is None else over - 1), verify)


def _first(holds: Callable[[int], bool]) -> int | None:
    """Return the first quality from which on something holds, or None."""
    low, high = 0, QUALITIES
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low if low < QUALITIES else None


def _encoder(pixels: Pixels, prior: str, effort: int) -> Callable[[int], bytes]:
    """Return what encodes one image at any quality, and remembers the files."""
    codec, kind = load_codec(), prior_of(prior)
    alphas = encode_alphas(pixels, tile_side(*pixels.size))

    @functools.cache
    def encode(quality: int) -> bytes:
        return encode_pixels(codec, pixels, quality, prior=kind, alphas=alphas, effort=effort)

    return encode


def _checked(data: bytes, verify: bool) -> bytes:
    if verify:
        check_encoded(data)
    return data


def _psnr_db(pixels: Pixels, data: bytes) -> float:
    """Return the PSNR of what a file decodes to, tile by tile: the sum needs no whole copy."""
    index = read_index(data)
    view = view_of(index.header)
    decoded = decode_file(load_codec(), data, index, view).pixels
    error = count = 0.0
    for _, window in tiles_in(view.patches, view.height, view.width, TILE_PATCHES):
        shown = decoded.cut(*window.px)
        difference = pixels.cut(*window.px).astype(np.float64) - shown
        if pixels.color.has_alpha:
            difference = difference[shown[..., -1] > 0][:, :-1]
        error += float(np.square(difference).sum())
        count += difference.size
    return math.inf if not error else 10 * math.log10(pixels.largest_sample**2 * count / error)
