import struct

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import StreamDamaged
from hvae_codec.codec.alpha import decode_alpha, encode_alpha, fill_hidden


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
        with pytest.raises(StreamDamaged, match="its alpha"):
            decode_alpha(bad, 20, 35, 8)
    with pytest.raises(StreamDamaged, match="not 34x20 pixels"):
        decode_alpha(data, 20, 34, 8)


def test_hidden_colours_continue_what_is_around_them() -> None:
    rows, columns = torch.meshgrid(torch.arange(50.0), torch.arange(37.0), indexing="ij")
    color = (2 * rows + columns).expand(1, 3, 50, 37)
    visible = torch.ones(1, 1, 50, 37, dtype=torch.bool)
    visible[..., 10:40, 9:20] = False
    noise = torch.randint(0, 256, color.shape, generator=torch.Generator().manual_seed(0)).float()
    filled = fill_hidden(torch.where(visible, color, noise), visible)
    assert torch.equal(filled.where(visible, color), color)
    assert (filled - color).abs().max() < 25  # of a ramp of 136
    assert torch.equal(fill_hidden(color, visible | True), color)
    assert (fill_hidden(color, visible & False) == 128).all()
