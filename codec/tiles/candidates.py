"""Candidate codings of a tile: the smallest loss wins, of those whose PSNR is high enough.

The loss is bits + lambda * squared error, as in training. The candidates are: networks alone, exact
patches alone, and exact patches where the tile is graphics with networks elsewhere. Networks cost
most, so a candidate that surely loses is not tried. The winner is coded once more, thoroughly.

Below quality 90 exact patches may have fewer colours than the image (`merging.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...bitstream import Tile, part_check
from ..images import Pixels
from ..quality.curve import lmbda_of, mse_of
from ..quality.minimum_psnr import (
    merging_mse,
    minimum_graphics_psnr_db,
    minimum_psnr_db,
    typical_bpp,
)
from .content import Content
from .exact import Mask, colour_of, encode_exact, pixel_mask, seen_samples
from .least_loss import least_loss
from .lossless import least_lossless_bytes
from .merging import merge_colors
from .tiling import Window

LearnedTile = Callable[[Mask | None, bytes], tuple[Tile, NDArray[np.float32]]]
"""Codes a tile by the networks, but for exact patches that are given with their code.

Returns the tile and its decoded colours (3, H, W) in 0...255.
"""

_INDEX_BYTES = 3
"""What a level takes in the index: the number of its words, and a check."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Exact patches, coded quickly.

    Attributes:
        samples: (H, W, C) of the tile, merged colours in the patches.
        where: (h, w), the patches.
        data: their code.
        mse: squared error, a mean over all pixels of the tile.
    """

    samples: NDArray
    where: Mask
    data: bytes
    mse: float = 0.0

    def loss(self, lmbda: float) -> float:
        """Return the loss in bits, for bits a unit of squared error."""
        return 8 * len(self.data) + lmbda * self.mse


@dataclass(frozen=True, eq=False)
class Candidate:
    """A coded tile, its bits, and its mean squared error over colours that are seen."""

    tile: Tile
    bits: int
    mse: float
    patches: Patches | None = None

    def loss(self, lmbda: float) -> float:
        """Return the loss in bits, for bits a unit of squared error."""
        return self.bits + lmbda * self.mse


class Candidates:
    """The ways in which a tile can be coded.

    Args:
        pixels: the whole image.
        number: of the tile.
        window: the tile.
        content: what it seems to show.
        quality: 0...100.
        tune: of the weights.
        levels: of the file.
        learned: codes the tile by the networks.
    """

    def __init__(
        self,
        pixels: Pixels,
        number: int,
        window: Window,
        content: Content,
        quality: float,
        tune: str,
        levels: int,
        learned: LearnedTile,
    ):
        self.pixels, self.number, self.window = pixels, number, window
        self.quality, self.tune = quality, tune
        self.levels, self.learned = levels, learned
        self.samples = seen_samples(pixels, window)
        self.size = self.samples.shape[0] * self.samples.shape[1]
        self.lmbda, self.typical = lmbda_of(quality) * self.size, typical_bpp(quality) * self.size
        self.graphic, self.share = content.graphic, content.graphic.mean()
        self.patches = self._coded(self.graphic) if self.share else None

    def tile(self) -> Tile:
        """Return the best candidate, coded thoroughly."""
        return _finished(self.number, self._best())

    def _best(self) -> Candidate:
        """Return the candidate with the smallest loss, of those whose PSNR is high enough."""
        exact_bits = self._least_exact_bits()
        whole = self._exactly() if exact_bits <= self.typical else None
        if whole is not None and whole.bits <= self.typical:
            return whole  # no more than a photograph takes
        candidates = [] if whole is None else [whole]
        patches = self.patches
        if patches is None or patches.loss(self.lmbda) > self._least_learned_loss():
            candidates.append(self._by_networks(None))
        least = min(map(self._loss, candidates), default=np.inf)
        if patches and self.share < 1 and patches.loss(self.lmbda) < least:
            candidates.append(self._by_networks(patches))
        minimum_db = minimum_graphics_psnr_db if self.share > 0.5 else minimum_psnr_db
        allowed = mse_of(minimum_db(self.quality, self.tune))
        kept = [candidate for candidate in candidates if candidate.mse <= allowed]
        if whole is None and exact_bits < min(map(self._loss, kept), default=np.inf):
            kept.append(self._exactly())
        return min(kept, key=self._loss)

    def _loss(self, candidate: Candidate) -> float:
        return candidate.loss(self.lmbda)

    def _least_exact_bits(self) -> float:
        """Return the bits that the whole tile takes at least, coded exactly."""
        bits = 8 * len(self.patches.data) if self.patches else 0
        if self.share < 1:
            others = pixel_mask(~self.graphic, self.samples.shape)[..., None]
            bits += 8 * least_lossless_bytes(colour_of(self.samples) * others)
        return bits

    def _least_learned_loss(self) -> float:
        """Return what networks lose at least in the tile's graphics."""
        colours, largest = colour_of(self.samples), self.pixels.largest_sample
        least = least_loss(colours, self.graphic, self.lmbda / self.size, largest)
        return max(self.typical * self.share, least)

    def _exactly(self) -> Candidate:
        whole = self.patches
        if whole is None or self.share < 1:
            whole = self._coded(np.ones(self.window.size, bool))
        tile = Tile.exact_tile(self.number, whole.data, self.levels)
        return Candidate(tile, 8 * len(whole.data), whole.mse, whole)

    def _by_networks(self, patches: Patches | None) -> Candidate:
        where, exact = (None, b"") if patches is None else (patches.where, patches.data)
        tile, colours = self.learned(where, exact)
        parts = len(exact) + len(tile.alpha or b"") + _INDEX_BYTES * self.levels
        bits = 8 * parts + 32 * tile.words.size
        mse = _mse(self.samples, self.pixels, where, colours)
        return Candidate(tile, bits, mse + (0 if patches is None else patches.mse), patches)

    def _coded(self, where: Mask) -> Patches:
        return _patches(self.samples, where, self.quality, self.lmbda)


def _patches(samples: NDArray, where: Mask, quality: float, lmbda: float) -> Patches:
    """Code patches of a tile, with merged colours where that makes the loss smaller."""
    exact = Patches(samples, where, encode_exact(samples, where, quickly=True))
    mse = merging_mse(quality)
    if not mse or samples.dtype != np.uint8 or samples.shape[2] < 3:
        return exact
    merged, inside = samples.copy(), pixel_mask(where, samples.shape)
    merged[..., :3] = merge_colors(np.where(inside[..., None], samples[..., :3], np.uint8(0)), mse)
    errors = (merged[..., :3].astype(np.float32) - samples[..., :3]) * inside[..., None]
    if not errors.any():
        return exact
    data = encode_exact(merged, where, quickly=True)
    few = Patches(merged, where, data, float(np.square(errors).mean()))
    return min(exact, few, key=lambda patches: patches.loss(lmbda))


def _finished(number: int, candidate: Candidate) -> Tile:
    """Return the tile of a candidate, its exact patches coded thoroughly."""
    if candidate.patches is None or candidate.patches.samples.dtype != np.uint8:
        return candidate.tile
    data = min(
        encode_exact(candidate.patches.samples, candidate.patches.where),
        candidate.patches.data,
        key=len,
    )
    return replace(candidate.tile, exact=data, exact_check=part_check(number, data))


def _mse(
    samples: NDArray, pixels: Pixels, where: Mask | None, colours: NDArray[np.float32]
) -> float:
    """Return the mean squared error of a tile, in 8-bit levels.

    Hidden colours have none, nor have the patches `where` all is exact.
    """
    samples = samples.astype(np.float32) * np.float32(255 / pixels.largest_sample)
    height, width = samples.shape[:2]
    counts = np.ones((height, width), bool)
    if where is not None:
        counts = ~pixel_mask(where, counts.shape)
    if pixels.color.has_alpha:
        samples, counts = samples[..., :-1], counts & (samples[..., -1] > 0)
    shown = colours[: samples.shape[2], :height, :width].transpose(1, 2, 0)
    errors = np.square(np.rint(shown) - samples).mean(axis=2)
    return float((errors * counts).mean())
