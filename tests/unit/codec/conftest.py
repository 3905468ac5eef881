from dataclasses import dataclass

import numpy as np
import pytest

from hvae_codec.bitstream import Container, read_container
from hvae_codec.codec import encoder
from hvae_codec.codec.image import to_pixels
from hvae_codec.codec.weights import Codec


@dataclass(frozen=True)
class Encoder:
    """Encodes with the tiny weights, in tiles of `tile` patches."""

    codec: Codec
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, pixels: np.ndarray, quality: int = 50, tile: int = 32) -> Container:
        self.monkeypatch.setattr(encoder, "TILE_PATCHES", tile)
        return read_container(encoder.encode_pixels(self.codec, to_pixels(pixels), quality))


@pytest.fixture
def encoded(tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    return Encoder(tiny_codec, monkeypatch)
