"""Colour for pixels that nobody sees: smooth, so that it takes few bits.

Such are pixels under full transparency, and those that another coder codes.
"""

from __future__ import annotations

import numpy as np

_REACH_PX = 32.0


def fill_hidden(color: np.ndarray, visible: np.ndarray, nothing: float = 128.0) -> np.ndarray:
    """Replace hidden colours by smooth ones from around them.

    The picture of the visible colours is halved until no pixel of it lacks a colour. Each hidden
    colour comes from the finest of these pictures that has one.

    Args:
        color: float32 (C, H, W).
        visible: bool (1, H, W), true where a colour counts.
        nothing: the colour where none counts anywhere.

    Returns:
        float32 (C, H, W); `color` itself where all of it is visible.
    """
    if visible.all():
        return color
    if not visible.any():
        return np.full_like(color, nothing)
    total = _halved(visible.astype(np.float32))
    mean = _halved(np.where(visible, color, np.float32(0))) / np.maximum(total, np.float32(1e-6))
    coarse = fill_hidden(mean, total > 0, nothing)
    height, width = color.shape[1:]
    return np.where(visible, color, _stretched(_stretched(coarse, height, 1), width, 2))


def _halved(planes: np.ndarray) -> np.ndarray:
    """Average 2x2 pixels, and at an odd edge those that are there: (C, H, W) -> half, rounded up.

    A repeated edge has the same averages.
    """
    padding = [(0, 0), *((0, side % 2) for side in planes.shape[1:])]
    even = np.pad(planes, padding, mode="edge") if any(last for _, last in padding) else planes
    rows = even[:, 0::2] + even[:, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)


def _stretched(planes: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Interpolate linearly to a larger size of one axis; the outer edges of the pixels coincide."""
    last = planes.shape[axis] - 1
    places = (np.arange(size) + 0.5) * (last + 1) / size - 0.5
    places = places.clip(0, last)
    before = places.astype(np.intp)
    after = np.minimum(before + 1, last)
    weight = (places - before).astype(np.float32)
    weight = weight[:, None] if axis == 1 else weight
    return planes.take(before, axis) * (1 - weight) + planes.take(after, axis) * weight


def continue_edges(color: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Replace hidden colours so that no edge lies between them and the visible ones.

    Near a visible pixel, a hidden one is as the nearest visible pixels of its row and its column.
    Further away it fades to what `fill_hidden` gives.

    Args:
        color: float32 (C, H, W).
        visible: bool (1, H, W), true where a colour counts.

    Returns:
        float32 (C, H, W).
    """
    smooth = fill_hidden(color, visible)
    if not visible.any():
        return smooth
    total, weights = np.zeros_like(color), np.zeros(visible.shape, np.float32)
    nearest = np.full(visible.shape, np.float32(np.inf))
    for axis in (1, 2):
        for backwards in (False, True):
            place, distance = _nearest(visible, axis, backwards)
            weight = 1 / np.square(distance)
            total += np.take_along_axis(color, np.broadcast_to(place, color.shape), axis) * weight
            weights += weight
            nearest = np.minimum(nearest, distance)
    share = np.clip(1 - (nearest - 1) / _REACH_PX, 0, 1)
    edges = total / np.maximum(weights, np.float32(1e-12))
    return np.where(visible, color, share * edges + (1 - share) * smooth)


def _nearest(visible: np.ndarray, axis: int, backwards: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return where the last visible pixel before each lies along an axis, and how far it is.

    The distance is infinite where there is none.
    """
    size = visible.shape[axis]
    places = np.arange(size).reshape([-1 if k == axis else 1 for k in range(3)])
    if backwards:
        later = np.where(visible, places, size)
        place = np.flip(np.minimum.accumulate(np.flip(later, axis), axis), axis)
        found = place < size
    else:
        place = np.maximum.accumulate(np.where(visible, places, -1), axis)
        found = place >= 0
    distance = np.where(found, np.maximum(np.abs(places - place), 1), np.inf)
    return place.clip(0, size - 1), distance.astype(np.float32)
