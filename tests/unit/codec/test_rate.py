"""Files of a wanted size or PSNR."""

import numpy as np
import pytest

from hvae_codec.codec import api, rate
from hvae_codec.codec.errors import TargetError

pytestmark = pytest.mark.usefixtures("tiny_in_use")


@pytest.fixture(scope="module")
def pixels(photograph: np.ndarray) -> np.ndarray:
    return photograph[100:164, 200:264]


def psnr_db(one: np.ndarray, other: object) -> float:
    return 10 * np.log10(255**2 / np.square(one - np.asarray(other).astype(np.float64)).mean())


def test_the_best_quality_within_a_size(pixels: np.ndarray) -> None:
    data = rate.encode_to_size(pixels, 3000)
    quality = api.inspect(data).quality
    assert data == api.encode(pixels, quality)
    assert len(data) <= 3000 < len(api.encode(pixels, quality + 1))


def test_a_rate_is_a_size(pixels: np.ndarray) -> None:
    assert rate.encode_to_bpp(pixels, 5.5) == rate.encode_to_size(pixels, 64 * 64 * 11 // 16)


def test_the_smallest_quality_that_reaches_a_psnr(pixels: np.ndarray) -> None:
    data = rate.encode_to_psnr(pixels, 31.5)
    quality = api.inspect(data).quality
    assert psnr_db(pixels, api.decode(data)) >= 31.5
    assert psnr_db(pixels, api.decode(api.encode(pixels, quality - 1))) < 31.5


def test_all_of_it_where_there_is_room(pixels: np.ndarray) -> None:
    assert api.inspect(rate.encode_to_size(pixels, 10**6)).quality == 100
    assert api.inspect(rate.encode_to_psnr(pixels, 1.0)).quality == 0


def test_what_is_out_of_reach_is_said_in_one_line(pixels: np.ndarray) -> None:
    smallest = len(api.encode(pixels, 0))
    with pytest.raises(TargetError, match=f"30 bytes are too few, quality 0 takes {smallest}"):
        rate.encode_to_size(pixels, 30)
    with pytest.raises(TargetError, match=r"0\.01 bits a pixel are too few"):
        rate.encode_to_bpp(pixels, 0.01)
    with pytest.raises(TargetError, match=r"90 dB is out of reach, quality 100 has \d\d\.\d\d dB"):
        rate.encode_to_psnr(pixels, 90)


def test_hidden_pixels_do_not_count(pixels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    alpha = np.full((64, 64, 1), 255, np.uint8)
    alpha[40:] = 0
    noisy = np.where(alpha > 0, pixels, rng.integers(0, 256, pixels.shape, np.uint8))
    data = rate.encode_to_psnr(np.concatenate([noisy, alpha], axis=2), 31.5)
    decoded = np.asarray(api.decode(data))
    assert psnr_db(pixels[:40], decoded[:40, :, :3]) >= 31.5
    assert psnr_db(noisy[40:], decoded[40:, :, :3]) < 20
