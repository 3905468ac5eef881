"""16 bits are coded over the range of their data, and come back in it."""

import numpy as np
import pytest

from hvae_codec.bitstream import InvalidField, MetadataKind
from hvae_codec.codec import api
from hvae_codec.codec.images import Pixels, squeezed, stretched, to_pixels

OTHERS = [([[0, 65535]], np.uint16), ([[7, 7]], np.uint16), ([[0, 9]], np.uint8)]
RANGES = [(0, 400), (1000, 1010), (0, 4095), (32768, 40000), (65000, 65535), (0, 1)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_stretching_is_undone_exactly(low: int, high: int) -> None:
    samples = np.linspace(low, high, 60 * 70).round().astype(np.uint16).reshape(60, 70, 1)
    wide = stretched(Pixels(samples))
    assert (wide.samples.min(), wide.samples.max()) == (0, 65535)
    assert np.array_equal(squeezed(wide, wide.metadata).samples, samples)


def test_alpha_stays_and_hidden_colours_do_not_count() -> None:
    samples = np.zeros((4, 4, 4), np.uint16)
    samples[..., :3] = np.arange(48).reshape(4, 4, 3)
    samples[..., 3] = 65535
    samples[0, 0] = 60000, 60000, 60000, 0
    wide = stretched(Pixels(samples))
    assert wide.samples[..., 3].tolist() == samples[..., 3].tolist()
    back = squeezed(wide, wide.metadata).samples
    assert np.array_equal(back[1:], samples[1:])


@pytest.mark.parametrize("samples", [np.array(values, dtype) for values, dtype in OTHERS])
def test_others_stay_as_they_are(samples: np.ndarray) -> None:
    pixels = to_pixels(samples)
    assert stretched(pixels) is pixels


def test_a_range_that_is_none_is_refused() -> None:
    pixels = Pixels(np.zeros((2, 2, 1), np.uint16))
    for item in (b"", b"\0\0\0\0", b"\2\0\1\0", bytes(5)):
        with pytest.raises(InvalidField, match="the range of samples"):
            squeezed(pixels, ((MetadataKind.RANGE, item),))
    eight = Pixels(np.zeros((2, 2, 1), np.uint8))
    with pytest.raises(InvalidField, match="of 16 bits is told of samples of 8"):
        squeezed(eight, ((MetadataKind.RANGE, b"\0\0\1\0"),))


@pytest.mark.parametrize("channels", [1, 3])
def test_400_levels_are_recognisable_at_every_quality(shipped: object, channels: int) -> None:
    y, x = np.mgrid[:96, :96]
    disc = 200 + 190 * np.cos(np.hypot(y - 48, x - 48) / 6)
    samples = np.repeat(disc[..., None], channels, 2).astype(np.uint16)
    for quality, share in ((0, 0.5), (60, 0.06), (100, 0.02)):
        decoded = api.decode_parts(api.encode(samples, quality)).pixels.astype(float)
        error = np.abs(decoded - samples).mean()
        assert error < share * samples.std(), quality
        assert decoded.max() <= samples.max()


def test_a_file_found_for_a_size_keeps_hidden_colors_where_it_is_lossless() -> None:
    samples = np.zeros((4, 4, 4), np.uint16)
    samples[..., :3] = np.arange(48).reshape(4, 4, 3)
    samples[..., 3] = 65535
    samples[0, 0] = 60000, 60000, 60000, 0
    data = api.encode(samples, max_bytes=10_000, verify=True)
    assert api.inspect(data).quality == 100
    assert np.array_equal(api.decode_parts(data).pixels, samples)
