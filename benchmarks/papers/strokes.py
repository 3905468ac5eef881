"""Drawn strokes: images that need no download, for tests and for the smallest scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POINTS = 40


def draw_strokes(count: int, side: int, channels: int, seed: int) -> NDArray[np.uint8]:
    """Draw images of one to three smooth strokes each.

    Args:
        count: how many.
        side: pixels of an edge.
        channels: 1 for white strokes on black, 3 for coloured strokes on a coloured ground.
        seed: of all that is random.

    Returns:
        uint8 (count, channels, side, side).
    """
    rng = np.random.default_rng(seed)
    ink = np.stack([_ink(rng, side) for _ in range(count)])  # (count, side, side) in [0, 1]
    if channels == 1:
        return np.rint(255 * ink[:, None]).astype(np.uint8)
    ground, colour = rng.uniform(0, 255, (2, count, channels, 1, 1))
    mixed = ground + (colour - ground) * ink[:, None]
    return np.rint(mixed + rng.normal(0, 3, mixed.shape)).clip(0, 255).astype(np.uint8)


def _ink(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Draw the strokes of one image: quadratic curves with soft edges."""
    rows, columns = np.mgrid[0:side, 0:side]
    image = np.zeros((side, side))
    t = np.linspace(0, 1, POINTS)[:, None]
    for _ in range(rng.integers(1, 4)):
        a, b, c = rng.uniform(0.15, 0.85, (3, 2)) * side
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c  # (POINTS, 2)
        distance = np.hypot(rows[..., None] - curve[:, 0], columns[..., None] - curve[:, 1])
        width = rng.uniform(0.035, 0.06) * side
        image = np.maximum(image, np.clip(width + 0.5 - distance.min(-1), 0, 1))
    return image
