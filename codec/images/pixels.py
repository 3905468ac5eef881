"""The samples of an image, as the encoder crops them and the decoder pastes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ...bitstream import Color, Metadata

MODES = {Color.GREY: "L", Color.GREY_ALPHA: "LA", Color.RGB: "RGB", Color.RGB_ALPHA: "RGBA"}
"""Pillow's modes of 8 bits a channel."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels of an image that is to be coded, or that was decoded.

    A Pillow image is converted part by part, as it is cropped: a converted copy of a large picture
    would need much memory.

    Attributes:
        source: uint8 or uint16 (H, W, C) of 1 to 4 channels, or a loaded image.
        mode: what the image is converted to: L, LA, RGB or RGBA. Empty for an array.
        metadata: (kind, bytes) of ascending kinds.
    """

    source: np.ndarray | Image.Image
    mode: str = ""
    metadata: Metadata = ()

    @classmethod
    def blank(cls, size: tuple[int, int], color: Color, bit_depth: int) -> Pixels:
        """Return zeros that `paste` replaces.

        Args:
            size: height and width in px.
            color: the channels.
            bit_depth: 8 or 16. A Pillow image holds 8 bits, because most callers want one.
        """
        height, width = size
        if bit_depth == 8:
            return cls(Image.new(MODES[color], (width, height)), MODES[color])
        return cls(np.zeros((height, width, color.channels), np.uint16))

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Pixels of {width}x{height} px, {self.color.name.lower()}, {self.bit_depth} bits>"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        if isinstance(self.source, np.ndarray):
            return self.source.shape[0], self.source.shape[1]
        return self.source.height, self.source.width

    @property
    def color(self) -> Color:
        """Channels of the image."""
        if isinstance(self.source, np.ndarray):
            return (Color.GREY, Color.GREY_ALPHA, Color.RGB, Color.RGB_ALPHA)[
                self.source.shape[2] - 1
            ]
        return next(color for color, mode in MODES.items() if mode == self.mode)

    @property
    def bit_depth(self) -> int:
        """Bits of a channel, 8 or 16."""
        deep = isinstance(self.source, np.ndarray) and self.source.dtype == np.uint16
        return 16 if deep else 8

    @property
    def largest_sample(self) -> int:
        """The largest value of a channel: 255 or 65535."""
        return 2**self.bit_depth - 1

    def crop(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the samples of a rectangle, as far as the image reaches: (h, w, C)."""
        if isinstance(self.source, np.ndarray):
            return self.source[rows, columns]
        height, width = self.size
        box = (columns.start, rows.start, min(columns.stop, width), min(rows.stop, height))
        part = np.asarray(self.source.crop(box).convert(self.mode))
        return part[..., None] if part.ndim == 2 else part

    def paste(self, top: int, left: int, samples: np.ndarray) -> None:
        """Lay samples over the rectangle that begins at a place.

        Args:
            top: the first row.
            left: the first column.
            samples: (h, w, C) of the image's own channels and dtype, inside the image.
        """
        if isinstance(self.source, np.ndarray):
            self.source[top : top + samples.shape[0], left : left + samples.shape[1]] = samples
        else:
            self.source.paste(_image_of(samples), (left, top))

    @property
    def samples(self) -> np.ndarray:
        """All samples (H, W, C); of a Pillow image, a copy."""
        height, width = self.size
        return self.crop(slice(0, height), slice(0, width))


def to_image(pixels: Pixels, info: Mapping[str, Any]) -> Image.Image:
    """Return pixels as a Pillow image, their own where they lie in one.

    Args:
        pixels: 16-bit grey becomes I;16. 16-bit colour, for which Pillow has no mode, is rounded
            to 8 bits.
        info: metadata that the image's `info` gets.
    """
    own = pixels.source
    image = _image_of(own) if isinstance(own, np.ndarray) else own
    image.info.update(info)
    return image


def in_eight_bits(samples: np.ndarray) -> np.ndarray:
    """Round uint16 samples to the nearest of 256 levels; uint8 ones are left as they are."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _image_of(samples: np.ndarray) -> Image.Image:
    grey = samples.shape[2] == 1
    if not grey:
        samples = in_eight_bits(samples)
    return Image.fromarray(np.ascontiguousarray(samples[..., 0] if grey else samples))
