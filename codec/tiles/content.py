"""What a tile shows: a photograph, graphics, or both; by tests that are cheap beside networks.

Graphics repeat colours exactly, and have edges of few colours. Photographs hardly repeat a colour;
where they do, in a blown-out sky, edges are few or of many colours. Networks trained on photographs
may also fail at what is neither: noise, or saturated detail. Only a decoded trial tells, so such a
tile is doubtful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..config import PATCH_PX
from ..images import Pixels
from ..quality.curve import mse_of
from ..quality.minimum_psnr import minimum_psnr_db
from .tiling import patch_grid, tiles_in

Mask = NDArray[np.bool_]

_REPEATED = 0.5  # share of a graphic patch's pixels that equal the one above or to the left
_EDGE = 48  # difference of samples, of 255, that makes an edge
_SIDE = 4  # patches: graphics of a smaller side are left to the networks
_EDGES = 4  # patches with an edge of few colours among _SIDE * _SIDE
_COLORS = 0.5  # colours of such a patch for each pixel that repeats none
_ROWS = 4  # of so many rows one is looked at
_FLAT_TILE = 0.9  # share of repeating patches from which a tile is drawn, edges or not
_DETAIL = 800.0  # variance within 2x2 pixels; of 1,960 photographs one in a hundred has more
_COLOR_DETAIL = 6.0  # the same of colour differences, in squared errors that the quality allows


@dataclass(frozen=True, eq=False)
class Content:
    """What a tile seems to show.

    Attributes:
        graphic: (h, w), the patches that are graphics.
        is_doubtful: whether networks may fail here.
    """

    graphic: Mask
    is_doubtful: bool

    @property
    def is_photograph(self) -> bool:
        """Whether nothing speaks against the networks."""
        return not (self.is_doubtful or self.graphic.any())


def content_of(samples: NDArray, largest: int, quality: float) -> Content:
    """Look at a tile.

    Args:
        samples: (H, W, C) uint8 or uint16, colour alone.
        largest: the largest value of a sample.
        quality: 0...100.
    """
    graphic = _graphic(_whole(samples), largest)
    return Content(graphic, not graphic.all() and _is_doubtful(samples, largest, quality))


def graphic_patches(pixels: Pixels, tile_side: int) -> Mask:
    """Return the patches of a whole image that are graphics, (h, w), as its tiles are looked at."""
    found = np.zeros(patch_grid(*pixels.size).size, bool)
    for _, window in tiles_in(*pixels.size, tile_side):
        samples = _whole(pixels.crop(*window.px)[..., : 1 if pixels.color.is_grey else 3])
        rows, columns = slice(window.top, window.bottom), slice(window.left, window.right)
        found[rows, columns] = _graphic(samples, pixels.largest_sample)
    return found


def _whole(samples: NDArray) -> NDArray:
    """Repeat the last row and column of samples (H, W, C) to whole patches."""
    missing = [(0, -side % PATCH_PX) for side in samples.shape[:2]]
    return np.pad(samples, [*missing, (0, 0)], mode="edge") if np.any(missing) else samples


def _graphic(samples: NDArray, largest: int) -> Mask:
    """Return the patches (h, w) that are graphics."""
    repeating = _repeated(samples) > _REPEATED
    side = [min(_SIDE, patches) for patches in repeating.shape]
    squares = sliding_window_view(repeating, side).all(axis=(2, 3))
    graphic = np.zeros_like(repeating)
    if not squares.any():
        return graphic
    if repeating.mean() < _FLAT_TILE:
        edges = repeating & (_range(samples) > largest * _EDGE / 255)
        for row, column in np.argwhere(edges):
            edges[row, column] = _has_few_colors(samples, row, column)
        enough = min(_EDGES, max(1, side[0] * side[1] // 4))
        squares &= sliding_window_view(edges, side).sum(axis=(2, 3)) >= enough
    for row, column in np.argwhere(squares):
        graphic[row : row + side[0], column : column + side[1]] = True
    return _flooded(graphic, repeating)


def _repeated(samples: NDArray) -> NDArray[np.float64]:
    """Return the share of each patch's pixels that equal the one above or to the left: (h, w)."""
    height, width = samples.shape[:2]
    same = _repeating(samples[1::_ROWS], samples[::_ROWS])
    patches = same.reshape(height // PATCH_PX, -1, width // PATCH_PX, PATCH_PX)
    return patches.mean(axis=(1, 3))


def _repeating(rows: NDArray, above: NDArray) -> Mask:
    same = _equal(rows, above)
    same[:, 1:] |= _equal(rows[:, 1:], rows[:, :-1])
    return same


def _has_few_colors(samples: NDArray, row: int, column: int) -> bool:
    """Tell whether pixels of a patch that repeat no neighbour share their colours all the same."""
    top, left = row * PATCH_PX, column * PATCH_PX
    patch = samples[top : top + PATCH_PX, left : left + PATCH_PX]
    others = patch[1:][~_repeating(patch[1:], patch[:-1])].astype(np.int64)
    colors = np.unique(others @ (1 << 16 * np.arange(others.shape[1], dtype=np.int64)))
    return len(colors) <= 1 + _COLORS * len(others)


def _equal(these: NDArray, those: NDArray) -> Mask:
    equal = these[..., 0] == those[..., 0]
    for channel in range(1, these.shape[2]):
        equal &= these[..., channel] == those[..., channel]
    return equal


def _range(samples: NDArray) -> NDArray[np.int64]:
    """Return the largest difference of two samples of one channel in each patch: (h, w)."""
    height, width, channels = samples.shape
    sides = (height // PATCH_PX, PATCH_PX, width // PATCH_PX, PATCH_PX, channels)
    rows = samples.reshape(sides)
    extremes = rows.max(axis=1).max(axis=2), rows.min(axis=1).min(axis=2)
    return (extremes[0].astype(np.int64) - extremes[1]).max(axis=2)


def _flooded(seeds: Mask, within: Mask) -> Mask:
    """Grow a mask, patch by patch and to its neighbours' corners, as far as another one reaches."""
    while True:
        padded = np.pad(seeds, 1)
        grown = sliding_window_view(padded, (3, 3)).any(axis=(2, 3)) & within | seeds
        if np.array_equal(grown, seeds):
            return seeds
        seeds = grown


def _is_doubtful(samples: NDArray, largest: int, quality: float) -> bool:
    """Tell whether there is more detail than photographs have; an eighth of the rows is seen."""
    height, width = (side // 2 * 2 for side in samples.shape[:2])
    if not height * width:
        return False
    rows = samples[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)[::8]
    rows = rows.astype(np.float32) * np.float32(255 / largest)
    green = rows[..., min(1, rows.shape[-1] - 1)]
    if _variance(green) > _DETAIL:
        return True
    if rows.shape[-1] < 3:
        return False
    allowed = mse_of(minimum_psnr_db(quality, "psnr"))
    detail = sum(_variance(rows[..., channel] - green) for channel in (0, 2))
    return detail > _COLOR_DETAIL * allowed


def _variance(blocks: NDArray[np.float32]) -> float:
    """Return the mean variance within 2x2 pixels of (h, 2, w, 2)."""
    rows = blocks[..., 0] + blocks[..., 1]
    sums = rows[:, 0] + rows[:, 1]
    return float(np.square(blocks).mean() - np.square(sums).mean() / 16)
