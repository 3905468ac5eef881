import math

import numpy as np
import pytest

from hvae_codec.benchmarks.metrics import Curve, bd_rate, bits_per_pixel, overlap_db, psnr_rgb

RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
ANCHOR = Curve(RATES, (26.0, 29.0, 32.0, 35.5, 39.0))


def scaled(factor: float) -> Curve:
    return Curve(tuple(factor * rate for rate in RATES), ANCHOR.psnr_db)


@pytest.mark.parametrize("window", [None, (28, 36), (20, 50)])
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_scaled_rates_are_their_bd_rate(factor: float, window: tuple[float, float] | None) -> None:
    assert bd_rate(ANCHOR, scaled(factor), window) == pytest.approx(100 * (factor - 1))


def test_order_of_points_does_not_matter() -> None:
    reverse = Curve(ANCHOR.bpp[::-1], ANCHOR.psnr_db[::-1])
    assert bd_rate(reverse, scaled(0.8)) == pytest.approx(-20)


def test_a_window_counts_only_what_lies_inside() -> None:
    # Straight lines in log rate: equal at 30 dB, apart by a factor of 10^(0.01 x) x dB above.
    psnr = (30.0, 35.0, 40.0)
    anchor = Curve(tuple(10 ** ((p - 30) / 10) for p in psnr), psnr)
    test = Curve(tuple(10 ** (0.09 * (p - 30)) for p in psnr), psnr)
    assert bd_rate(anchor, test) == pytest.approx(100 * (10**-0.05 - 1))
    assert bd_rate(anchor, test, (30, 34)) == pytest.approx(100 * (10**-0.02 - 1))
    assert bd_rate(anchor, test, (34, 99)) == pytest.approx(100 * (10**-0.07 - 1))


def test_curves_without_a_common_range() -> None:
    above = Curve((1.0, 2.0), (50.0, 52.0))
    assert math.isnan(bd_rate(ANCHOR, above))
    assert overlap_db(ANCHOR, above) is None
    assert math.isnan(bd_rate(ANCHOR, scaled(0.8), (45, 50)))


def test_the_overlap_is_the_narrowest_of_all() -> None:
    other = Curve((0.1, 1.0), (28.5, 45.0))
    assert overlap_db(ANCHOR, other) == (28.5, 39.0)
    assert overlap_db(ANCHOR, other, (20, 33)) == (28.5, 33)


def test_lossless_points_are_left_out() -> None:
    with_lossless = Curve((*scaled(0.8).bpp, 9.0), (*ANCHOR.psnr_db, math.inf))
    assert bd_rate(ANCHOR, with_lossless) == pytest.approx(-20)
    assert math.isnan(bd_rate(ANCHOR, Curve((9.0,), (math.inf,))))


def test_psnr_pools_the_channels() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    off = black.copy()
    off[0, 0, 0] = 12  # mse = 144 / 12
    assert psnr_rgb(black, off) == pytest.approx(10 * math.log10(255**2 / 12))
    assert psnr_rgb(black, black) == math.inf
    assert psnr_rgb(black, black + np.uint8(255)) == 0


def test_psnr_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        psnr_rgb(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 1, 3), np.uint8))


def test_bits_per_pixel() -> None:
    assert bits_per_pixel(768 * 512 // 8, 768, 512) == 1
