"""What can be told of a file without decoding it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bitstream import VERSION, Index, TileCoder, read_index
from .config import PATCH_PX
from .networks.weight_paths import weights_named
from .quality.curve import lmbda_of
from .sources import CodedSource, opened


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
        quality: of the file, 0...100.
        color: grey, rgb, grey+alpha or rgb+alpha.
        bit_depth: of a channel, 8 or 16.
        lmbda: lambda of the quality, bits a pixel against 255^2 MSE.
        file_bytes: the file's size.
        bpp: bits a pixel, of `file_bytes`.
        whole_bytes: what it should be; more where the file is cut.
        header_bytes: header, map, index and checksums: what the other numbers of bytes leave.
        qualities: the lowest and the highest of a patch; equal where there is no quality map.
        metadata_bytes: of ICC profile, EXIF, XMP, text and resolution.
        alpha_bytes: of the alpha of tiles that networks code.
        exact_bytes: of exact patches, with the alpha of exact tiles.
        tiles: how many there are.
        tile_px: side of a tile.
        tile_coders: of each tile, row by row: learned, exact, or both.
        levels: bytes of each level over all tiles, coarse to fine; the context comes first.
        weights: first bytes of the weights' sha256, in hexadecimal.
        weights_known: whether these weights are at hand.
        prior: name of the context's prior.
        version: of the format.
    """

    width: int
    height: int
    color: str
    bit_depth: int
    quality: int
    qualities: tuple[int, int]
    lmbda: float
    file_bytes: int
    whole_bytes: int
    bpp: float
    header_bytes: int
    metadata_bytes: int
    alpha_bytes: int
    exact_bytes: int
    tiles: int
    tile_px: int
    tile_coders: tuple[str, ...]
    levels: tuple[LevelInfo, ...]
    weights: str
    weights_known: bool
    prior: str
    version: int


def inspect(source: CodedSource) -> FileInfo:
    """Describe a file, which may be cut behind its index.

    Raises:
        OSError: it cannot be read.
        BitstreamError: it is not ours, its structure is damaged, or it is longer than it says.
    """
    with opened(source) as file:
        index = read_index(file)
        file_bytes = index.check_end(file, may_be_cut=True)
    return describe(index, file_bytes)


def describe(index: Index, file_bytes: int) -> FileInfo:
    """Describe a file by its index and the size that it has."""
    header = index.header
    words = index.level_words.sum(axis=0)
    names = ["context", *(f"latents {k}" for k in range(1, len(words)))]
    levels = tuple(LevelInfo(n, int(w) * 4) for n, w in zip(names, words, strict=True))
    offsets = (0,) if index.quality_map is None else index.quality_map
    lowest, highest = int(np.min(offsets)), int(np.max(offsets))
    metadata_bytes = sum(len(value) for _, value in index.metadata)
    return FileInfo(
        width=header.width,
        height=header.height,
        color=header.color.name.lower().replace("_", "+"),
        bit_depth=header.bit_depth,
        quality=header.quality,
        qualities=(header.quality + lowest, header.quality + highest),
        lmbda=lmbda_of(header.quality),
        file_bytes=file_bytes,
        whole_bytes=index.end,
        bpp=file_bytes * 8 / (header.width * header.height),
        header_bytes=index.begin - metadata_bytes,
        metadata_bytes=metadata_bytes,
        alpha_bytes=int(index.alpha_bytes.sum()),
        exact_bytes=int(index.exact_bytes.sum()),
        tiles=header.tile_count,
        tile_px=header.tile_side * PATCH_PX,
        tile_coders=tuple(TileCoder(coder).name.lower() for coder in index.coders),
        levels=levels,
        weights=header.weights.hex(),
        weights_known=not header.needs_weights or weights_named(header.weights) is not None,
        prior=header.prior.label,
        version=VERSION,
    )
