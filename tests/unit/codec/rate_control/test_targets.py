"""Files of a wanted size or PSNR."""

import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import ArgumentError
from hvae_codec.codec import api
from hvae_codec.codec.errors import MetricMissing, TargetError
from hvae_codec.codec.rate_control.score import ssimulacra2

pytestmark = pytest.mark.usefixtures("tiny_in_use")


@pytest.fixture(scope="module")
def pixels(photograph: np.ndarray) -> np.ndarray:
    return photograph[100:164, 200:264]


def psnr_db(one: np.ndarray, other: object) -> float:
    return 10 * np.log10(255**2 / np.square(one - np.asarray(other).astype(np.float64)).mean())


def test_the_best_quality_within_a_size(pixels: np.ndarray) -> None:
    data = api.encode(pixels, max_bytes=3000)
    quality = api.inspect(data).quality
    assert data == api.encode(pixels, quality)
    assert len(data) <= 3000 < len(api.encode(pixels, quality + 1))


def test_a_rate_is_a_size(pixels: np.ndarray) -> None:
    assert api.encode(pixels, bpp=5.5) == api.encode(pixels, max_bytes=64 * 64 * 11 // 16)


def test_the_smallest_quality_that_reaches_a_psnr(pixels: np.ndarray) -> None:
    data = api.encode(pixels, psnr=31.5)
    quality = api.inspect(data).quality
    assert psnr_db(pixels, api.decode(data)) >= 31.5
    assert psnr_db(pixels, api.decode(api.encode(pixels, quality - 1))) < 31.5


@pytest.mark.slow
def test_the_smallest_quality_that_reaches_a_score(pixels: np.ndarray) -> None:
    pytest.importorskip("ssimulacra2")
    data = api.encode(pixels, ssimulacra2=30)
    quality = api.inspect(data).quality

    def score(data: bytes) -> float:
        return ssimulacra2(Image.fromarray(pixels), api.decode(data))

    assert score(data) >= 30 > score(api.encode(pixels, quality - 1))
    assert score(api.encode(pixels, ssimulacra2=100)) == 100
    with pytest.raises(TargetError, match=r"100 of SSIMULACRA2 is out of reach, the best file has"):
        api.encode(pixels, ssimulacra2=100, content="photo")


def test_a_score_without_its_package_says_what_to_install(
    pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ssimulacra2", None)
    with pytest.raises(MetricMissing, match=r"pip install 'hvae-codec\[metric\]'"):
        api.encode(pixels, ssimulacra2=30)


def test_all_of_it_where_there_is_room(pixels: np.ndarray) -> None:
    assert api.inspect(api.encode(pixels, max_bytes=10**6)).quality == 100
    assert api.inspect(api.encode(pixels, psnr=1.0)).quality == 0


@pytest.mark.slow
def test_a_size_out_of_reach_is_said_in_one_line(pixels: np.ndarray) -> None:
    smallest = len(api.encode(pixels, 0))
    with pytest.raises(TargetError, match=f"too few, the smallest file has {smallest}"):
        api.encode(pixels, max_bytes=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("aim", "said"),
    [
        ({"bpp": 0.01}, r"0\.01 bits a pixel are too few"),
        ({"psnr": 90, "content": "photo"}, r"90 dB is out of reach, the best file has \d\d\.\d\d"),
    ],
)
def test_an_aim_out_of_reach_is_said_in_one_line(
    pixels: np.ndarray, aim: dict[str, Any], said: str
) -> None:
    with pytest.raises(TargetError, match=said):
        api.encode(pixels, **aim)


def test_hidden_pixels_do_not_count(pixels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    alpha = np.full((64, 64, 1), 255, np.uint8)
    alpha[40:] = 0
    noisy = np.where(alpha > 0, pixels, rng.integers(0, 256, pixels.shape, np.uint8))
    data = api.encode(np.concatenate([noisy, alpha], axis=2), psnr=31.5, content="photo")
    decoded = np.asarray(api.decode(data))
    assert psnr_db(pixels[:40], decoded[:40, :, :3]) >= 31.5
    assert psnr_db(noisy[40:], decoded[40:, :, :3]) < 20


@pytest.mark.parametrize("value", [0, -1.5, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(pixels: np.ndarray, value: float) -> None:
    with pytest.raises(ArgumentError, match="is not a number above 0"):
        api.encode(pixels, bpp=value)


def test_one_aim_is_enough(pixels: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="exclude each other"):
        api.encode(pixels, 50, bpp=1.0)


def test_a_picture_that_is_too_small_for_the_metric_is_refused(pixels: np.ndarray) -> None:
    pytest.importorskip("ssimulacra2")
    with pytest.raises(TargetError, match="SSIMULACRA2 needs 8 pixels a side"):
        api.encode(pixels[:7], ssimulacra2=70)
