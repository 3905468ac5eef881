"""Where tiles lie in the grid of patches, and what of their surroundings a network sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..bitstream import Header
from ..models.config import PATCH_PX, ModelConfig

TILE_PATCHES = 32
"""Side of a tile by default: 1024 pixels."""


def analysis_halo(config: ModelConfig) -> int:
    """Return the patches around a tile that hold the analysis' receptive field.

    A 3x3 convolution at stride s sees s pixels further: the stem, and two a residual block.
    """
    fine, coarse = config.analysis_blocks
    return -(-(4 * (1 + 2 * fine) + 8 * 2 * coarse) // PATCH_PX)


def synthesis_halo(config: ModelConfig) -> int:
    """Return the patches around a tile that hold the synthesis' receptive field."""
    coarse, fine = config.synthesis_blocks
    return -(-(8 * 2 * coarse + 4 * (1 + 2 * fine)) // PATCH_PX)


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

    def cut(self, other: Window) -> Window:
        """Return what both windows share."""
        return Window(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def slices(self, origin: Window, scale: int) -> tuple[slice, slice]:
        """Return where the window lies in an array that begins at `origin`, `scale` a patch."""
        top, left = (self.top - origin.top) * scale, (self.left - origin.left) * scale
        height, width = self.size
        return slice(top, top + height * scale), slice(left, left + width * scale)


def patch_grid(height: int, width: int) -> Window:
    """Return the grid of patches that covers an image of so many pixels."""
    return Window(0, 0, -(-height // PATCH_PX), -(-width // PATCH_PX))


def tile_rows(header: Header) -> Iterator[list[Window]]:
    """Yield the tiles of a file, a list a row, in the order in which they are stored."""
    grid, side = patch_grid(header.height, header.width), header.tile
    for top in range(0, grid.bottom, side):
        lefts = range(0, grid.right, side)
        yield [Window(top, left, top + side, left + side).cut(grid) for left in lefts]
