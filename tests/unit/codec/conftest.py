from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hvae_codec.bitstream import Index, read_index
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.decoder import DecodedFile, decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import DecodeOptions, EncodeOptions


@dataclass(frozen=True)
class Files:
    """Encodes and decodes with a codec."""

    codec: Codec

    def encode(self, image: Any, quality: int = 50, tile_side: int = 32) -> bytes:  # noqa: ANN401
        pixels = to_pixels(image)
        return encode_pixels(
            self.codec,
            pixels,
            quality,
            EncodeOptions(tile_px=tile_side * PATCH_PX, content="photo"),
        )

    def decode(self, data: Any, index: Index | None = None, **options: Any) -> DecodedFile:  # noqa: ANN401
        index = index or read_index(data)
        return decode_file(self.codec, data, index, DecodeOptions(**options))

    def samples(self, data: Any, **options: Any) -> np.ndarray:  # noqa: ANN401
        return self.decode(data, **options).samples


@pytest.fixture(scope="session")
def files(tiny_codec: Codec) -> Files:
    return Files(tiny_codec)


@pytest.fixture(scope="session")
def shipped_files(shipped_codec: Codec) -> Files:
    return Files(shipped_codec)
