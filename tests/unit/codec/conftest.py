from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hvae_codec.bitstream import Index, read_index
from hvae_codec.codec.decoder import Picture, decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import Codec


@dataclass(frozen=True)
class Files:
    """Encodes and decodes with the tiny weights."""

    codec: Codec

    def encode(self, image: Any, quality: int = 50, tile: int = 32) -> bytes:  # noqa: ANN401
        return encode_pixels(self.codec, to_pixels(image), quality, tile=tile)

    def decode(
        self,
        data: Any,  # noqa: ANN401
        region: tuple[int, int, int, int] | None = None,
        scale: int = 1,
        index: Index | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Picture:
        index = index or read_index(data)
        return decode_file(self.codec, data, index, view_of(index.header, region, scale), **options)

    def samples(self, data: Any, **options: Any) -> np.ndarray:  # noqa: ANN401
        return self.decode(data, **options).samples


@pytest.fixture(scope="session")
def files(tiny_codec: Codec) -> Files:
    return Files(tiny_codec)
