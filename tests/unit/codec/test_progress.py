"""How far a long call is."""

import numpy as np
import pytest

from hvae_codec.codec import api
from hvae_codec.codec.progress import reporting


@pytest.mark.parametrize("lossless", [False, True])
def test_tiles_are_counted_there_and_back(photograph: np.ndarray, lossless: bool) -> None:
    told: list[tuple[int, int]] = []
    with reporting(lambda *tiles: told.append(tiles)):
        data = api.encode(photograph[:64, :96], lossless=lossless, tile_px=64)
        there, told[:] = list(told), []
        api.decode(data)
    assert there == told == [(1, 2), (2, 2)]
