"""Quality maps that an encoder makes: for the eye, and of pictures that say where quality goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...bitstream import Offsets
from ..color import RGB_TO_YCBCR
from ..config import PATCH_PX
from ..images import UPRIGHT, ImageSource, Pixels, exif_orientation, info_of
from ..options import EncodeOptions
from ..tiles.content import graphic_patches
from ..tiles.tiling import patch_grid

STRENGTH = 1.5
"""Qualities that a patch gives up for each doubling of its variance."""

FAINTEST = 1.0
"""Variance that is added to every patch's: the noise below which nothing hides."""

FARTHEST = 15
"""Qualities that activity moves a patch at most."""

UNIT = 3
"""Qualities that activity moves a patch are multiples of it: finer ones would cost more bits."""

ROI_DEPTH = 30
"""Qualities by which black of a mask is below white."""

MIDDLE = 128
"""Grey of a map for patches of the picture's own quality; a grey more is a quality more."""

_BLOCK = 8

_STORED = UPRIGHT | {6: UPRIGHT[8], 8: UPRIGHT[6]}
"""What undoes `UPRIGHT`; all but two turns undo themselves."""

Floats = NDArray[np.float32]


def wanted_offsets(pixels: Pixels, options: EncodeOptions, tile_side: int) -> Floats | None:
    """Return the sum of all offsets that were asked for, (h, w); None where there are none.

    Args:
        pixels: the image.
        options: what was asked for.
        tile_side: of the file's tiles, in patches.
    """
    size, found = pixels.size, []
    if options.map is not None:
        found.append(map_offsets(_image(options.map), size))
    elif options.tune == "eye":
        graphic = graphic_patches(pixels, tile_side) if options.content == "auto" else None
        found.append(eye_offsets(pixels, graphic))
    if options.roi is not None:
        found.append(roi_offsets(_as_stored(_image(options.roi), pixels), size))
    return np.sum(found, axis=0) if found else None


def _image(picture: ImageSource) -> Image.Image:
    assert isinstance(picture, Image.Image)  # the options have read it
    return picture


def _as_stored(mask: Image.Image, pixels: Pixels) -> Image.Image:
    """Turn a mask of the upright picture as its pixels are stored, which EXIF may turn."""
    orientation = exif_orientation(info_of(pixels.metadata).get("exif", b""))
    turn = _STORED.get(orientation)
    return mask if turn is None else mask.transpose(turn)


def eye_offsets(pixels: Pixels, graphic: NDArray[np.bool_] | None = None) -> Floats:
    """Return offsets that move bits to where the eye sees errors: out of busy patches, into smooth.

    A patch gets `STRENGTH` qualities less for each doubling of its variance over the geometric
    mean. The mean is of what networks show: graphics and what is transparent say nothing of a
    photograph beside them, and have offsets of zero.

    Args:
        pixels: the image.
        graphic: (h, w), the patches that are graphics; None where none is.

    Returns:
        (h, w) of the grid of patches, multiples of `UNIT`.
    """
    activity = _activity(pixels)
    counted = np.isfinite(activity)
    if graphic is not None:
        counted &= ~graphic
    if not counted.any():
        return np.zeros_like(activity)
    offsets = STRENGTH * (activity[counted].mean() - np.where(counted, activity, 0))
    offsets = np.where(counted, offsets, 0).clip(-FARTHEST, FARTHEST)
    return np.rint(offsets / UNIT) * np.float32(UNIT)


def _activity(pixels: Pixels) -> Floats:
    """Return the log2 variance of each patch, of luma in 0...255: (h, w).

    Transparent pixels do not count; a patch of nothing else has -inf.
    """
    height, width = pixels.size
    rows, columns = patch_grid(height, width).size
    activity = np.empty((rows, columns), np.float32)
    for row in range(rows):
        luma, visible = _luma(pixels, row)
        luma = luma.reshape(PATCH_PX, columns, PATCH_PX)
        visible = visible.reshape(luma.shape)
        if visible.all():
            activity[row] = np.log2(luma.var(axis=(0, 2)) + FAINTEST)
            continue
        for column in range(columns):
            seen = luma[:, column][visible[:, column]]
            activity[row, column] = np.log2(seen.var() + FAINTEST) if seen.size else -np.inf
    return activity


def _luma(pixels: Pixels, row: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Return luma and visibility of a row of patches, its last row and column repeated: (32, w)."""
    width = pixels.size[1]
    part = pixels.crop(slice(row * PATCH_PX, (row + 1) * PATCH_PX), slice(0, width))
    visible = part[..., -1] > 0 if pixels.color.has_alpha else np.ones(part.shape[:2], bool)
    part = part.astype(np.float32) * np.float32(255 / pixels.largest_sample)
    weights = RGB_TO_YCBCR[0].astype(np.float32)
    luma = part[..., 0] if pixels.color.is_grey else part[..., :3] @ weights
    missing = (0, PATCH_PX - len(luma)), (0, -width % PATCH_PX)
    return np.pad(luma, missing, mode="edge"), np.pad(visible, missing, mode="edge")


def roi_offsets(mask: Image.Image, size: tuple[int, int]) -> Floats:
    """Return offsets of a grey picture of what matters: white 0, black `-ROI_DEPTH`.

    Args:
        mask: of any size; it is laid over the whole picture.
        size: of the picture, height and width in px.
    """
    return (_grey_of_patches(mask, size) / 255 - 1) * ROI_DEPTH


def map_offsets(picture: Image.Image, size: tuple[int, int]) -> Floats:
    """Return the offsets of a grey picture, as `map_picture` draws them."""
    return _grey_of_patches(picture, size) - MIDDLE


def _grey_of_patches(picture: Image.Image, size: tuple[int, int]) -> Floats:
    rows, columns = patch_grid(*size).size
    grey = picture.convert("L")
    if grey.size == (columns, rows):
        return np.asarray(grey, np.float32)
    height, width = (-(-side // _BLOCK) for side in size)
    blocks = np.asarray(grey.resize((width, height), Image.Resampling.BOX), np.float32)
    a_side = PATCH_PX // _BLOCK
    blocks = np.pad(blocks, ((0, -height % a_side), (0, -width % a_side)), mode="edge")
    return blocks.reshape(rows, a_side, columns, a_side).mean(axis=(1, 3))


def fitted(offsets: Floats, quality: int, within: tuple[int, int]) -> Offsets | None:
    """Return offsets as a file holds them, or None where there are none.

    Args:
        offsets: (h, w).
        quality: the file's.
        within: the lowest and the highest quality that a patch may have.
    """
    qualities = np.rint(quality + offsets).clip(*within)
    found = (qualities - quality).astype(np.int16)
    return found if found.any() else None


def map_picture(offsets: Offsets | None, patches: tuple[int, int]) -> Image.Image:
    """Draw a map of so many rows and columns of patches: `MIDDLE` plus the offset in grey."""
    if offsets is None:
        offsets = np.zeros(patches, np.int16)
    return Image.fromarray((offsets + MIDDLE).astype(np.uint8))
