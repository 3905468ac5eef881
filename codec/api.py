"""What users call: images to bytes and back, and what can be told of a file without decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..bitstream import VERSION, BitstreamError, read_container
from ..models.quality import lmbda_of
from .check import VerifyReport, verify_container
from .decoder import decode_container
from .encoder import encode_pixels
from .errors import VerificationFailed
from .image import from_pixels, to_pixels
from .tiling import PATCH_PX
from .weights import codec_for, is_known, load_codec

DEFAULT_QUALITY = 60


@dataclass(frozen=True)
class LevelInfo:
    """A level of the file, coarse to fine, and its bytes over all tiles."""

    name: str
    bytes: int


@dataclass(frozen=True)
class FileInfo:
    """What a file says of itself; no network runs for it.

    Attributes:
        width, height: in pixels.
        lmbda: lambda of the quality, bits a pixel against 255^2 MSE.
        header_bytes: all that is neither metadata nor levels: header, index, checksums.
        tile_px: side of a tile.
        levels: bytes of each level over all tiles, coarse to fine.
        weights: first bytes of the weights' sha256, in hexadecimal.
        weights_known: whether these weights are at hand.
        version: of the format.
    """

    width: int
    height: int
    color: str
    bit_depth: int
    quality: int
    lmbda: float
    file_bytes: int
    bpp: float
    header_bytes: int
    metadata_bytes: int
    tiles: int
    tile_px: int
    levels: tuple[LevelInfo, ...]
    weights: str
    weights_known: bool
    prior: str
    version: int


class EncodedImage:
    """A file that was opened: its description at once, its pixels on demand."""

    def __init__(self, data: bytes):
        self.data = data
        self.info = inspect(data)

    def decode(self) -> Image.Image:
        """Decode the pixels; see `decode`."""
        return decode(self.data)


def encode(
    image: Image.Image | np.ndarray, quality: int = DEFAULT_QUALITY, *, verify: bool = False
) -> bytes:
    """Encode an image.

    Args:
        image: a Pillow image, or a uint8 array (H, W) or (H, W, 3).
        quality: 0 (smallest) to 100 (best).
        verify: decode the result under another configuration before returning it.

    Returns:
        The whole file.

    Raises:
        ImageError: the image is of a kind that cannot be coded.
        InvalidField: the quality is outside 0...100, or the image too large for the format.
        VerificationFailed: the other configuration decoded something else.
    """
    codec = load_codec()
    data = encode_pixels(codec, to_pixels(image), quality)
    if verify:
        try:
            report = verify_container(codec, read_container(data))
        except BitstreamError as error:
            raise VerificationFailed(f"what was encoded does not decode: {error}") from error
        if report.differing:
            raise VerificationFailed(
                f"{report.differing} of {report.symbols} symbols differ when decoded again"
            )
    return data


def decode(data: bytes) -> Image.Image:
    """Decode a whole file; mode RGB or L, metadata in `info`.

    Raises:
        BitstreamError: the file is not ours, damaged, or of other weights.
    """
    container = read_container(data)
    return from_pixels(decode_container(codec_for(container.header), container))


def verify(data: bytes) -> VerifyReport:
    """Decode a file under two configurations and compare what they give.

    Raises:
        BitstreamError: as `decode` does.
    """
    container = read_container(data)
    return verify_container(codec_for(container.header), container)


def open(path: str | os.PathLike[str]) -> EncodedImage:
    """Open a file.

    Raises:
        OSError: it cannot be read.
        BitstreamError: it is not ours, or damaged.
    """
    return EncodedImage(Path(path).read_bytes())


def inspect(data: bytes) -> FileInfo:
    """Describe a file.

    Raises:
        BitstreamError: it is not ours, or its structure is damaged.
    """
    container = read_container(data)
    header = container.header
    words = np.array([tile.level_words for tile in container.tiles]).sum(axis=0)
    names = ["context", *(f"latents {k}" for k in range(1, len(words)))]
    levels = tuple(LevelInfo(n, int(w) * 4) for n, w in zip(names, words, strict=True))
    metadata_bytes = sum(len(value) for _, value in container.metadata)
    return FileInfo(
        width=header.width,
        height=header.height,
        color=header.color.name.lower().replace("_", "+"),
        bit_depth=header.bit_depth,
        quality=header.quality,
        lmbda=float(lmbda_of(torch.tensor(float(header.quality)))),
        file_bytes=len(data),
        bpp=len(data) * 8 / (header.width * header.height),
        header_bytes=len(data) - metadata_bytes - sum(level.bytes for level in levels),
        metadata_bytes=metadata_bytes,
        tiles=len(container.tiles),
        tile_px=header.tile * PATCH_PX,
        levels=levels,
        weights=header.weights.hex(),
        weights_known=is_known(header),
        prior=header.prior.name.lower().replace("_", "-"),
        version=VERSION,
    )
