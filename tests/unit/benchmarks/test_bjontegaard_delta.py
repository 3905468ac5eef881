import math

import pytest

from hvae_codec.benchmarks.bjontegaard_delta import Curve, bd_psnr, bd_rate, delta, overlap_db

RATES = (0.1, 0.2, 0.4, 0.8, 1.6)
ANCHOR = Curve(RATES, (26.0, 29.0, 32.0, 35.5, 39.0))


def scaled(factor: float) -> Curve:
    return Curve(tuple(factor * rate for rate in RATES), ANCHOR.db)


@pytest.mark.parametrize("window", [None, (28, 36), (20, 50)])
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_scaled_rates_are_their_bd_rate(factor: float, window: tuple[float, float] | None) -> None:
    assert bd_rate(ANCHOR, scaled(factor), window) == pytest.approx(100 * (factor - 1))


def test_order_of_points_does_not_matter() -> None:
    reverse = Curve(ANCHOR.bpp[::-1], ANCHOR.db[::-1])
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
    with_lossless = Curve((*scaled(0.8).bpp, 9.0), (*ANCHOR.db, math.inf))
    assert bd_rate(ANCHOR, with_lossless) == pytest.approx(-20)
    assert math.isnan(bd_rate(ANCHOR, Curve((9.0,), (math.inf,))))


@pytest.mark.parametrize("window", [None, (28, 36), (20, 50)])
@pytest.mark.parametrize("shift_db", [-0.5, 0.0, 1.5])
def test_raised_qualities_are_their_bd_psnr(
    shift_db: float, window: tuple[float, float] | None
) -> None:
    raised = Curve(RATES, tuple(db + shift_db for db in ANCHOR.db))
    assert bd_psnr(ANCHOR, raised, window) == pytest.approx(shift_db)


def test_the_window_of_bd_psnr_is_the_rates_of_the_anchor_there() -> None:
    anchor = Curve((0.1, 1.0, 10.0), (30.0, 35.0, 40.0))
    test = Curve((0.1, 1.0, 10.0), (30.0, 36.0, 42.0))  # 0.2 dB apart for each dB of the anchor
    assert bd_psnr(anchor, test) == pytest.approx(1.0)
    assert bd_psnr(anchor, test, (30, 35)) == pytest.approx(0.5)
    assert bd_psnr(anchor, test, (35, 99)) == pytest.approx(1.5)


def test_a_delta_names_its_range() -> None:
    found = delta(ANCHOR, scaled(0.8), (28, 50))
    assert found.rate_percent == pytest.approx(-20)
    assert found.db > 0
    assert found.range_db == (28, 39.0)


def test_the_library_agrees_without_a_window() -> None:
    bjontegaard = pytest.importorskip("bjontegaard")
    other = Curve((0.13, 0.22, 0.5, 0.9, 1.5), (27.0, 29.5, 33.0, 36.0, 38.5))
    for name, ours in (("bd_rate", bd_rate), ("bd_psnr", bd_psnr)):
        theirs = getattr(bjontegaard, name)(
            ANCHOR.bpp, ANCHOR.db, other.bpp, other.db, method="pchip"
        )
        assert ours(ANCHOR, other) == pytest.approx(theirs)
