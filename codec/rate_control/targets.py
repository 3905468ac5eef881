"""The quality for a size, a PSNR or a SSIMULACRA2: bisection over all 101.

A search takes seven encodings (and as many decodings for a score). The analysis is conditioned on
quality, so all networks run anew for each; what they share is the image taken apart and its coded
alpha. Sizes and scores of photographs rise with quality but for rare ties and dips of neighbours:
the result keeps what was asked for, and can be one quality off the best. Other pictures are less
sure to: before a wish is refused, qualities from 10 to 100 are tried.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from ...bitstream import read_index
from ..decoder import decode_file
from ..errors import TargetError
from ..images import Pixels, in_eight_bits, stretched_as
from ..networks.weights import Codec
from ..quality.curve import MAX_QUALITY, QUALITIES, psnr_db
from ..tiles.tiling import TILE_PATCHES, tiles_in
from .score import ssimulacra2

Encode = Callable[[int], bytes]
"""Encodes one image at a quality."""

_PROBED = range(10, QUALITIES, 10)

Score = Callable[[bytes], float]
"""Tells how near to the image a file decodes."""


def best_within(encode: Encode, max_bytes: float, wish: str) -> bytes:
    """Encode at the best quality whose file has no more than `max_bytes` bytes.

    Args:
        encode: the image.
        max_bytes: the limit.
        wish: the limit as it was given.

    Raises:
        TargetError: every quality tried takes more.
    """
    encode = functools.cache(encode)
    over = _first(lambda quality: len(encode(quality)) > max_bytes)
    if over != 0:
        return encode(MAX_QUALITY if over is None else over - 1)
    fitting = [quality for quality in _PROBED if len(encode(quality)) <= max_bytes]
    if not fitting:
        least = min(len(encode(quality)) for quality in (0, *_PROBED))
        raise TargetError(f"{wish} are too few, the smallest file has {least} bytes")
    return encode(fitting[-1])


def smallest_reaching(encode: Encode, score: Score, wanted: float, unit: str) -> bytes:
    """Encode at the smallest quality that reaches a score.

    Args:
        encode: the image.
        score: of a file.
        wanted: the score.
        unit: behind scores in what the user reads.

    Raises:
        TargetError: no quality tried reaches it.
    """
    encode, scores = functools.cache(encode), dict[int, float]()

    def reaches(quality: int) -> bool:
        if quality not in scores:
            scores[quality] = score(encode(quality))
        return scores[quality] >= wanted

    found = _first(reaches)
    if found is None:
        found = next(filter(reaches, _PROBED), None)
    if found is None:
        best = max(scores.values())
        raise TargetError(f"{wanted:g}{unit} is out of reach, the best file has {best:.2f}{unit}")
    return encode(found)


def _first(holds: Callable[[int], bool]) -> int | None:
    """Return the first quality from which on something holds, or None."""
    low, high = 0, QUALITIES
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low if low < QUALITIES else None


def psnr_of(codec: Codec | None, pixels: Pixels, data: bytes) -> float:
    """Return the PSNR in dB of what a file decodes to, over all colour samples.

    Of 16 bits that were stretched it is the PSNR of the stretched samples.
    """
    index = read_index(data)
    decoded = decode_file(codec, data, index).pixels
    error, count = squared_error(stretched_as(pixels, index.metadata), decoded)
    return psnr_db(error / max(count, 1), pixels.largest_sample)


def squared_error(pixels: Pixels, decoded: Pixels) -> tuple[float, int]:
    """Return the sum of squared errors, and of how many samples: tile by tile, without a copy.

    Alpha does not count, nor colours that it hides.
    """
    error, count = 0.0, 0
    for _, window in tiles_in(*decoded.size, TILE_PATCHES):
        shown = decoded.crop(*window.px)
        difference = pixels.crop(*window.px).astype(np.float64) - shown
        if pixels.color.has_alpha:
            difference = difference[shown[..., -1] > 0][:, :-1]
        error += float(np.square(difference).sum())
        count += difference.size
    return error, count


def ssimulacra2_of(codec: Codec, pixels: Pixels, data: bytes) -> float:
    """Return the SSIMULACRA2 of what a file decodes to; of 16 bits, rounded to 8."""
    index = read_index(data)
    decoded = decode_file(codec, data, index).pixels
    pixels = stretched_as(pixels, index.metadata)
    return ssimulacra2(*(_picture(each) for each in (pixels, decoded)))


def _picture(pixels: Pixels) -> Image.Image:
    samples = in_eight_bits(pixels.samples)
    return Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
