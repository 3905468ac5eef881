import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hvae_codec.codec.tiles.merging import merge_colors
from tests.drawn import photograph, text

MSE = 64.0


@pytest.fixture(scope="module")
def interface() -> np.ndarray:
    """Words of some colours on areas of others: many colours at edges, few beside them."""
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (320, 224), (250, 250, 252))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for number in range(24):
        x, y = number % 4 * 80, number // 4 * 36
        area, words = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(2))
        draw.rectangle([x, y, x + 70, y + 30], fill=area)
        draw.text((x + 4, y + 6), f"Button {number}", fill=words, font=font)
    return np.asarray(image)


def colors_of(samples: np.ndarray) -> int:
    return len(np.unique(samples.reshape(-1, 3), axis=0))


def test_colors_of_edges_are_merged_within_an_error(interface: np.ndarray) -> None:
    merged = merge_colors(interface, MSE)
    assert colors_of(interface) > 1000
    assert colors_of(merged) < 0.5 * colors_of(interface)
    errors = np.square(merged.astype(float) - interface).mean(axis=2)
    assert 0 < errors.max() <= MSE


def test_flat_areas_stay_as_they_are(interface: np.ndarray) -> None:
    flat = np.ones(interface.shape[:2], bool)
    for axis in (0, 1):
        for shift in (-1, 1):
            flat &= (np.roll(interface, shift, axis) == interface).all(axis=2)
    assert flat.mean() > 0.3
    merged = merge_colors(interface, MSE)
    assert np.array_equal(merged[flat], interface[flat])


def test_smooth_changes_stay_as_they_are(interface: np.ndarray) -> None:
    y, x = np.mgrid[:224, :320]
    ramp = np.stack([x * 255 // 320, y * 255 // 224, 255 - x * 255 // 320], -1).astype(np.uint8)
    ramp = ramp[:64, :96]
    beside = np.concatenate([interface[:64], ramp], axis=1)
    assert 256 < colors_of(beside) < 8192
    assert np.array_equal(merge_colors(beside, MSE)[:, 321:-1], ramp[:, 1:-1])


def test_few_colors_and_photographs_are_left_alone() -> None:
    page = np.asarray(text(np.random.default_rng(0)))
    assert merge_colors(page, MSE) is page
    natural = np.asarray(photograph(np.random.default_rng(0)))
    assert merge_colors(natural, MSE) is natural
