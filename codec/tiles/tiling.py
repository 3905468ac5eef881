"""Where tiles lie in the grid of patches, and what of their surroundings a network sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..config import PATCH_PX, ModelConfig

TILE_PATCHES = 32
"""Side of a tile: 1024 pixels, and up to LARGEST_TILE_PATCHES where that leaves fewer edges."""

LARGEST_TILE_PATCHES = 40

_USUAL_HALO = 6
_SEEN_PATCHES = 2080
"""Patches that the analysis of a larger tile may see, with a usual halo: 0.8 GB."""


def analysis_halo(config: ModelConfig) -> int:
    """Return the patches around a tile that hold the analysis' receptive field.

    A 3x3 convolution at stride s sees s pixels further: the stem, and two a residual block.
    """
    fine, coarse = config.analysis_blocks
    return -(-(4 * (1 + 2 * fine) + 8 * 2 * coarse) // PATCH_PX)


def synthesis_halo(config: ModelConfig) -> int:
    """Return the patches around a tile that hold the synthesis' receptive field."""
    coarse, fine = config.synthesis_blocks
    return -(-(8 * 2 * coarse + 4 * 2 * fine) // PATCH_PX)


@dataclass(frozen=True)
class Window:
    """A rectangle of patches: rows top...bottom-1, columns left...right-1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in patches."""
        return self.bottom - self.top, self.right - self.left

    def grown(self, halo: int, within: Window) -> Window:
        """Return the window with `halo` patches around it, as far as `within` reaches."""
        return Window(
            max(self.top - halo, within.top),
            max(self.left - halo, within.left),
            min(self.bottom + halo, within.bottom),
            min(self.right + halo, within.right),
        )

    def intersection(self, other: Window) -> Window:
        """Return what both windows share; a side is 0 or negative where that is nothing."""
        return Window(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def scaled(self, by: int) -> Window:
        """Return the window in a grid that is `by` times as fine."""
        return Window(self.top * by, self.left * by, self.bottom * by, self.right * by)

    @property
    def px(self) -> tuple[slice, slice]:
        """Rows and columns of the image, in px; they may reach beyond it."""
        return self.slices(Window(0, 0, 0, 0), PATCH_PX)

    def slices(self, origin: Window, scale: int) -> tuple[slice, slice]:
        """Return where the window lies in an array that begins at `origin`, `scale` a patch."""
        top, left = (self.top - origin.top) * scale, (self.left - origin.left) * scale
        height, width = self.size
        return slice(top, top + height * scale), slice(left, left + width * scale)


def patch_grid(height: int, width: int) -> Window:
    """Return the grid of patches that covers an image of so many pixels."""
    return Window(0, 0, -(-height // PATCH_PX), -(-width // PATCH_PX))


def default_tile_side(height: int, width: int) -> int:
    """Return the side of an image's tiles, in patches, that cuts it along the fewest edges.

    Across an edge nothing is known of the other side, which costs bits. Larger tiles cost memory:
    they are for images which they cover in one direction, where they see nothing around.
    """
    rows, columns = patch_grid(height, width).size

    def edges(side: int) -> int:
        return (rows - 1) // side * columns + (columns - 1) // side * rows

    def is_affordable(side: int) -> bool:
        seen = (min(length, side + 2 * _USUAL_HALO) for length in (rows, columns))
        return side == TILE_PATCHES or math.prod(seen) <= _SEEN_PATCHES

    sides = range(TILE_PATCHES, LARGEST_TILE_PATCHES + 1)
    return min(filter(is_affordable, sides), key=edges)


class TilePlace(NamedTuple):
    """Where a tile lies: its number, row by row, and its patches."""

    number: int
    window: Window


def tiles_in(height: int, width: int, side: int, window: Window | None = None) -> list[TilePlace]:
    """Return where an image's tiles lie, row by row.

    Args:
        height: of the image in px.
        width: of the image in px.
        side: of a tile in patches.
        window: in patches; only the tiles that it touches, all without.
    """
    grid = patch_grid(height, width)
    window = window or grid
    columns = -(-grid.right // side)
    return [
        TilePlace(
            row * columns + column,
            Window(row, column, row + 1, column + 1).scaled(side).intersection(grid),
        )
        for row in range(window.top // side, -(-window.bottom // side))
        for column in range(window.left // side, -(-window.right // side))
    ]
