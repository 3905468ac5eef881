"""Fewer colours for drawn pictures: those between two areas are merged with ones that are near.

Smoothed edges of text and of shapes take hundreds of colours, each of a few pixels. These are what
a lossless coder spends its bits on, and nobody sees them one by one. Areas keep their colours, and
so does what changes smoothly: a colour is left alone where its pixels mostly lie among similar
ones. What becomes of a colour does not depend on its place, so what was flat stays flat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_PALETTE = 256  # so few colours the coder indexes anyway
_MOST_COLORS = 1 << 13  # a drawing has fewer
_EDGE = 24  # difference of neighbours' samples that makes an edge
_CALM = 0.25  # share of a colour's pixels away from edges from which on it is an area's


def merge_colors(samples: NDArray[np.uint8], mse: float) -> NDArray[np.uint8]:
    """Replace colours of edges by frequent ones.

    Args:
        samples: (H, W, 3).
        mse: how far a colour may move, as the mean squared error of its samples.

    Returns:
        (H, W, 3); `samples` itself where that has few colours, or more than drawings have.
    """
    packed = samples.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colors, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    if not _PALETTE < len(colors) <= _MOST_COLORS:
        return samples
    which = which.ravel()
    calm = np.bincount(which, ~_edges(samples).ravel(), len(colors)) >= _CALM * counts
    rgb = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1)
    frequent = np.argsort(-counts, kind="stable")
    becomes = _leaders(rgb, frequent[calm[frequent]], frequent[~calm[frequent]], 3 * mse)
    return rgb[becomes].astype(np.uint8)[which].reshape(samples.shape)


def _edges(samples: NDArray[np.uint8]) -> Mask:
    """Return which pixels differ from one beside them: (H, W)."""
    edges = np.zeros(samples.shape[:2], bool)
    for along in (edges, edges.T):
        planes = samples if along is edges else samples.swapaxes(0, 1)
        after, before = planes[1:], planes[:-1]
        steps = np.maximum(after, before) - np.minimum(after, before)
        differ = steps.max(axis=2) > _EDGE
        along[1:] |= differ
        along[:-1] |= differ
    return edges


def _leaders(
    rgb: NDArray[np.int32], fixed: NDArray[np.intp], free: NDArray[np.intp], limit: float
) -> NDArray[np.intp]:
    """Return for each colour the number of the one that it becomes.

    Args:
        rgb: (n, 3).
        fixed: numbers of those that stay, the most frequent one first.
        free: of the others, likewise: each stays, or becomes one before it.
        limit: the largest squared distance.
    """
    becomes = np.arange(len(rgb))
    for leader in fixed:
        free = _follow(rgb, leader, free, limit, becomes)
    while free.size:
        free = _follow(rgb, free[0], free, limit, becomes)
    return becomes


def _follow(
    rgb: NDArray[np.int32],
    leader: np.intp,
    free: NDArray[np.intp],
    limit: float,
    becomes: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Let the colours near a leader become it; return the others."""
    near = np.square(rgb[free] - rgb[leader]).sum(axis=1) <= limit
    becomes[free[near]] = leader
    return free[~near]
