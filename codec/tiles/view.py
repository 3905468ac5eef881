"""Which pixels of an image are wanted: a rectangle of it, at its own size or smaller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...bitstream import ArgumentError, Header
from ..config import PATCH_PX
from ..images import Pixels
from .tiling import Window


@dataclass(frozen=True)
class View:
    """A rectangle of the picture at 1/scale of its sides.

    Attributes:
        height, width: of the whole image in px.
        top, left, bottom, right: of the rectangle, in px of the scaled picture.
        scale: one of `options.SCALES`.
    """

    height: int
    width: int
    top: int
    left: int
    bottom: int
    right: int
    scale: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px of the scaled picture."""
        return self.bottom - self.top, self.right - self.left

    @property
    def patches(self) -> Window:
        """The patches that the rectangle touches."""
        side = PATCH_PX // self.scale
        return Window(
            self.top // side, self.left // side, -(-self.bottom // side), -(-self.right // side)
        )

    def inside(self, part: Window) -> tuple[int, int]:
        """Return how many px of some patches lie within the image: rows and columns."""
        rows, columns = (side * PATCH_PX for side in part.size)
        return (
            min(rows, self.height - part.top * PATCH_PX),
            min(columns, self.width - part.left * PATCH_PX),
        )

    @property
    def is_wide(self) -> bool:
        """Whether the image is wider than high."""
        return self.width > self.height

    def scaled(
        self,
        planes: NDArray[np.float32],
        part: Window,
        alpha: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Cut what lies beyond the image off some patches, and average to the view's scale.

        Args:
            planes: (C, H, W), the pixels of the patches.
            part: the patches.
            alpha: (H, W) of colours: each counts as much as it is seen. None: all count alike.
        """
        rows, columns = self.inside(part)
        planes = planes[:, :rows, :columns]
        if self.scale == 1:
            return planes
        if alpha is None:
            alpha = np.ones((rows, columns), np.float32)
        weights = alpha[None, :rows, :columns]
        totals = self._summed(weights)
        return self._summed(planes * weights) / np.where(totals > 0, totals, 1)

    def _summed(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        _, rows, columns = planes.shape
        tops, lefts = np.arange(0, rows, self.scale), np.arange(0, columns, self.scale)
        return np.add.reduceat(np.add.reduceat(planes, tops, axis=1), lefts, axis=2)

    def paste(self, out: Pixels, part: Window, samples: np.ndarray) -> None:
        """Lay the samples (h, w, C) of some patches over `out`, which shows this view."""
        side = PATCH_PX // self.scale
        top, left = part.top * side - self.top, part.left * side - self.left
        y, x = max(top, 0), max(left, 0)
        height, width = self.size
        out.paste(y, x, samples[y - top : height - top, x - left : width - left])


def view_of(
    header: Header, region: tuple[int, int, int, int] | None = None, scale: int = 1
) -> View:
    """Return the view of a region in px, or of the whole image.

    Args:
        header: of the image.
        region: x, y, width and height; None for all of it.
        scale: one of `options.SCALES`.

    Raises:
        ArgumentError: the region is not within the image.
    """
    x, y, width, height = region or (0, 0, header.width, header.height)
    right, bottom = x + width, y + height
    if min(width, height) < 1 or min(x, y) < 0 or right > header.width or bottom > header.height:
        raise ArgumentError(
            f"region {x},{y},{width},{height} is not within the {header.width}x{header.height} "
            "pixels of the image"
        )
    top, left, bottom, right = y // scale, x // scale, -(-bottom // scale), -(-right // scale)
    return View(header.height, header.width, top, left, bottom, right, scale)
