"""One tile, coded in several ways: the one with the smallest loss that keeps what quality promises.

The loss is bits + lambda * squared error, as in training. The ways: networks alone, exact patches
alone, exact patches where the tile is graphics and networks elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bitstream import Tile
from .content import Content
from .exact import Mask, encode_exact, of_pixels
from .images import Pixels
from .promise import least_psnr_db, promised_psnr_db, typical_bpp
from .quality import lmbda_of
from .tiling import Window

LearnedTile = Callable[[Mask | None, bytes], tuple[Tile, NDArray[np.float32]]]
"""Codes a tile by the networks, but for exact patches that are given with their code.

Returns the tile and its decoded colours (3, H, W) in 0...255.
"""


@dataclass(frozen=True, eq=False)
class Way:
    """A coded tile, its bits, and its mean squared error over colours that are seen."""

    tile: Tile
    bits: int
    mse: float

    def loss(self, lmbda: float) -> float:
        """Return the loss in bits, for bits a unit of squared error."""
        return self.bits + lmbda * self.mse


def best_way(
    pixels: Pixels,
    number: int,
    window: Window,
    content: Content,
    quality: float,
    levels: int,
    learned: LearnedTile,
) -> Tile:
    """Code a tile in the best way.

    Args:
        pixels: the whole image.
        number: of the tile.
        window: the tile.
        content: what it seems to show.
        quality: 0...100.
        levels: of the file.
        learned: codes the tile by the networks.
    """
    size = math.prod(pixels.cut(*window.px).shape[:2])
    lmbda = lmbda_of(quality) * size
    exact = encode_exact(pixels, window, np.ones(window.size, bool), keep_hidden=False)
    ways = [Way(Tile.exact_tile(number, exact, levels), 8 * len(exact), 0.0)]
    if ways[0].bits <= typical_bpp(quality) * size:
        return ways[0].tile  # no more than a photograph takes, and perfect

    def learned_but(where: Mask | None, exact: bytes = b"") -> Way:
        tile, colours = learned(where, exact)
        bits = 8 * (len(exact) + len(tile.alpha or b"")) + 32 * tile.words.size
        return Way(tile, bits, _mse(pixels, window, where, colours))

    share = content.graphic.mean()
    exact = b""
    if 0 < share < 1:
        exact = encode_exact(pixels, window, content.graphic, keep_hidden=False)
    if not 0 < 8 * len(exact) <= typical_bpp(quality) * size * share:
        ways.append(learned_but(None))
    if 0 < 8 * len(exact) < min(way.loss(lmbda) for way in ways):
        ways.append(learned_but(content.graphic, exact))
    promised = promised_psnr_db if share > 0.5 else least_psnr_db
    allowed = 255**2 / 10 ** (promised(quality) / 10)
    kept = [way for way in ways if way.mse <= allowed]
    return min(kept, key=lambda way: way.loss(lmbda)).tile


def _mse(pixels: Pixels, window: Window, exact: Mask | None, colours: NDArray[np.float32]) -> float:
    """Return the mean squared error of a tile, in 8-bit levels; hidden colours have none."""
    samples = pixels.cut(*window.px).astype(np.float32) * np.float32(255 / pixels.largest_sample)
    height, width = samples.shape[:2]
    counts = np.ones((height, width), bool)
    if exact is not None:
        counts = ~of_pixels(exact, counts.shape)
    if pixels.color.has_alpha:
        samples, counts = samples[..., :-1], counts & (samples[..., -1] > 0)
    shown = colours[: samples.shape[2], :height, :width].transpose(1, 2, 0)
    errors = np.square(np.rint(shown) - samples).mean(axis=2)
    return float((errors * counts).mean())
