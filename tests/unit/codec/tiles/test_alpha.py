import struct

import numpy as np
import pytest

from hvae_codec.bitstream import StreamDamaged
from hvae_codec.codec.tiles.alpha import decode_alpha, encode_alpha
from hvae_codec.codec.tiles.fill import fill_hidden


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2048, 3), (33, 70)])
def test_alpha_comes_back(shape: tuple[int, int], dtype: type) -> None:
    top = np.iinfo(dtype).max
    for alpha in (
        np.random.default_rng(0).integers(0, top, shape, dtype, endpoint=True),
        np.full(shape, top, dtype),
        np.linspace(0, top, shape[0] * shape[1]).reshape(shape).astype(dtype),
    ):
        data = encode_alpha(alpha)
        assert np.array_equal(decode_alpha(data, *shape, alpha.itemsize * 8), alpha)


def test_made_up_alpha_is_refused() -> None:
    data = encode_alpha(np.arange(700, dtype=np.uint8).reshape(20, 35))
    giant = b"\x2f" + struct.pack("<I", 0xFFFFFFF) + data[5:]  # 16384 x 16384
    for bad in (b"", data[:4], data[:5], data[: len(data) // 2], giant, b"\0" + data[1:]):
        with pytest.raises(StreamDamaged, match="VP8L stream"):
            decode_alpha(bad, 20, 35, 8)
    with pytest.raises(StreamDamaged, match="34x20 pixels"):
        decode_alpha(data, 20, 34, 8)


def test_hidden_colours_continue_what_is_around_them() -> None:
    rows, columns = np.mgrid[:50, :37].astype(np.float32)
    color = np.stack([2 * rows + columns] * 3)
    visible = np.ones((1, 50, 37), bool)
    visible[:, 10:40, 9:20] = False
    noise = np.random.default_rng(0).integers(0, 256, color.shape).astype(np.float32)
    filled = fill_hidden(np.where(visible, color, noise), visible)
    assert filled.dtype == np.float32
    assert np.array_equal(np.where(visible, filled, color), color)
    assert np.abs(filled - color).max() < 25  # of a ramp of 136
    assert np.array_equal(fill_hidden(color, visible | True), color)
    assert (fill_hidden(color, visible & False) == 128).all()
    assert (fill_hidden(color, visible & False, nothing=0.0) == 0).all()


def test_hidden_colours_are_interpolated_between_averages_of_the_visible_ones() -> None:
    color = np.array([[[10, 99, 30, 99, 50]]], np.float32)
    visible = np.array([[[True, False, True, False, True]]])
    # averages 10, 30, 50 of widths 2, 2 and, at the edge, 1: a step of 3/5 from pixel to pixel
    assert np.allclose(fill_hidden(color, visible), [[[10, 18, 30, 42, 50]]])


def test_a_single_visible_colour_is_everywhere() -> None:
    color = np.random.default_rng(0).random((3, 13, 1), np.float32)
    visible = np.zeros((1, 13, 1), bool)
    visible[0, 4] = True
    assert np.allclose(fill_hidden(color, visible), color[:, 4:5])
