import struct

import numpy as np
import pytest

from hvae_codec.bitstream import StreamDamaged
from hvae_codec.bitstream.varint import pack_varints, unpack_varints
from hvae_codec.codec.tiles.lossless import decode_lossless, encode_lossless


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2048, 3), (33, 70)])
def test_samples_come_back_with_hidden_ones(
    size: tuple[int, int], channels: int, dtype: type
) -> None:
    top, shape = np.iinfo(dtype).max, (*size, channels)
    noise = np.random.default_rng(0).integers(0, top, shape, dtype, endpoint=True)
    ramp = np.linspace(0, top, noise.size).reshape(shape).astype(dtype)
    hidden = noise.copy()
    hidden[..., -1] = 0
    for samples in (noise, ramp, hidden, np.full(shape, top, dtype)):
        data = encode_lossless(samples)
        decoded = decode_lossless(data, shape, samples.itemsize * 8)
        assert decoded.dtype == dtype
        assert np.array_equal(decoded, samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_damaged_streams_are_refused(dtype: type) -> None:
    shape = (20, 35, 3)
    samples = np.arange(20 * 35 * 3).reshape(shape).astype(dtype)
    data, bits = encode_lossless(samples), samples.itemsize * 8
    for bad in (b"", data[:1], data[:9], data[: len(data) // 2], b"\xff" * 6, data[2:]):
        with pytest.raises(StreamDamaged):
            decode_lossless(bad, shape, bits)
    for other in ((20, 34, 3), (21, 35, 3)):
        with pytest.raises(StreamDamaged, match=f"{other[1]}x{other[0]}"):
            decode_lossless(data, other, bits)


def test_a_made_up_size_takes_no_memory() -> None:
    samples = np.zeros((20, 35, 1), np.uint16)
    data = bytearray(encode_lossless(samples))
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(StreamDamaged, match="not one of 35x20 pixels"):
        decode_lossless(bytes(data), (20, 35, 1), 16)


def test_a_plane_is_there_as_far_as_it_says() -> None:
    data = encode_lossless(np.zeros((20, 35, 1), np.uint16))
    (size,), taken = unpack_varints(data, 1)
    longer = pack_varints([size + 1]) + data[taken:]
    with pytest.raises(StreamDamaged, match="cut"):
        decode_lossless(longer, (20, 35, 1), 16)
