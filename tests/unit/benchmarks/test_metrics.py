import math
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from hvae_codec.benchmarks.metrics import (
    MS_SSIM_MIN_PX,
    bits_per_pixel,
    butteraugli_db,
    butteraugli_rgb,
    ms_ssim_db,
    ms_ssim_rgb,
    psnr_luma,
    psnr_rgb,
    scorers,
    ssim_luma,
)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A smooth image, and the same with noise of 8 levels."""
    side = MS_SSIM_MIN_PX
    wave = 127 + 100 * np.sin(np.arange(side) / 9)
    image = np.add.outer(wave, wave)[..., None] / 2 + np.zeros(3)
    noisy = image + np.random.default_rng(0).normal(0, 8, image.shape)
    return image.astype(np.uint8), noisy.clip(0, 255).astype(np.uint8)


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


def test_luma_weighs_the_channels() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        off = grey.copy()
        off[..., channel] += 10
        assert psnr_luma(grey, off) == pytest.approx(20 * math.log10(255 / (10 * weight)))
    assert psnr_luma(grey, grey) == math.inf


def test_similarity_falls_with_noise(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, noisy = pair
    for metric in (ms_ssim_rgb, ssim_luma):
        assert metric(image, image) == pytest.approx(1)
        assert 0 < metric(image, noisy) < 1


def test_ms_ssim_is_what_compressai_reports(pair: tuple[np.ndarray, np.ndarray]) -> None:
    codecs = pytest.importorskip("compressai.utils.bench.codecs")
    theirs = codecs.compute_metrics(*pair, ["ms-ssim-rgb", "psnr-rgb"])
    assert ms_ssim_rgb(*pair) == pytest.approx(theirs["ms-ssim-rgb"])
    # theirs is a mean in float32
    assert psnr_rgb(*pair) == pytest.approx(theirs["psnr-rgb"], rel=1e-5)


def test_images_too_small_for_a_metric_have_none() -> None:
    small = np.zeros((10, 200, 3), np.uint8)
    assert math.isnan(ms_ssim_rgb(small, small))
    assert math.isnan(ssim_luma(small, small))
    assert math.isnan(ms_ssim_db(math.nan))


@pytest.mark.skipif(not shutil.which("butteraugli_main"), reason="needs libjxl's program")
def test_butteraugli_grows_with_noise(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, noisy = pair
    assert butteraugli_rgb(image, image) == 0
    halfway = ((image.astype(int) + noisy) // 2).astype(np.uint8)
    assert 0 < butteraugli_rgb(image, halfway) < butteraugli_rgb(image, noisy)


def test_butteraugli_takes_the_3_norm_of_what_the_program_prints(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "butteraugli_main"
    program.write_text("#!/bin/sh\necho 3.9622192383\necho 3-norm: 1.541745\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert butteraugli_rgb(*pair) == 1.541745
    monkeypatch.setenv("PATH", "")
    assert math.isnan(butteraugli_rgb(*pair))


def test_butteraugli_in_decibels() -> None:
    assert butteraugli_db(0.1) == pytest.approx(10)
    assert butteraugli_db(0) == math.inf
    assert math.isnan(butteraugli_db(math.nan))


def test_ms_ssim_in_decibels() -> None:
    assert ms_ssim_db(0.99) == pytest.approx(20)
    assert ms_ssim_db(1) == math.inf


def test_scores_are_known_by_what_computes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Butteraugli was missing for good from images that were scored before it was installed."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    without = scorers.__wrapped__()
    for package in ("pytorch-msssim", "scikit-image", "ssimulacra2"):
        assert f"{package} {version(package)}" in without
    monkeypatch.setattr(shutil, "which", lambda name: __file__)
    assert scorers.__wrapped__() != without
