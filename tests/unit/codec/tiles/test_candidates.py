from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import hvae_codec
from hvae_codec.codec import encoder
from hvae_codec.codec.info import inspect
from hvae_codec.codec.quality.curve import lmbda_of
from hvae_codec.codec.tiles.least_loss import least_loss
from hvae_codec.codec.tiles.lossless import encode_lossless, least_lossless_bytes
from hvae_codec.codec.tiles.tile_encoder import encode_tiles
from tests.drawn import Draw, photograph, text, windows

QUALITY = 40


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tiles the networks of the encoder coded, pass by pass."""
    counts: list[int] = []

    def counted(*given, **options):  # noqa: ANN202, ANN002, ANN003
        counts.append(len(given[2]))
        return encode_tiles(*given, **options)

    monkeypatch.setattr(encoder, "encode_tiles", counted)
    return counts


def squared_error(image: Image.Image, data: bytes) -> float:
    shown = np.asarray(hvae_codec.decode(data)).astype(float)
    return float(np.square(shown - np.asarray(image)).mean())


def test_networks_do_not_run_where_they_surely_lose(passes: list[int]) -> None:
    image = text(np.random.default_rng(0))
    assert inspect(hvae_codec.encode(image, QUALITY)).tile_coders == ("exact",)
    assert not passes


def test_a_page_around_a_photograph_takes_one_pass(passes: list[int]) -> None:
    page = text(np.random.default_rng(0))
    page.paste(photograph(np.random.default_rng(1)).crop((0, 0, 128, 96)), (192, 128))
    assert inspect(hvae_codec.encode(page, QUALITY)).tile_coders == ("both",)
    assert passes == [1]


def test_networks_lose_more_than_the_least_loss() -> None:
    image = text(np.random.default_rng(0)).crop((0, 0, 128, 128))
    data = hvae_codec.encode(image, QUALITY, content="photo")
    lmbda = lmbda_of(QUALITY)
    lost = 8 * len(data) / 128**2 + lmbda * squared_error(image, data)
    every = np.ones((4, 4), bool)
    least = least_loss(np.asarray(image), every, lmbda, 255) / 128**2
    assert 0.3 * lost < least < lost
    assert least_loss(np.full((128, 128, 3), 9, np.uint8), every, lmbda, 255) < 1e-6
    doubled = np.asarray(image).astype(np.uint16) * 257
    assert least_loss(doubled, every, lmbda, 65535) == pytest.approx(least * 128**2, rel=1e-4)


@pytest.mark.parametrize("draw", [photograph, text])
def test_least_bytes_are_fewer_than_a_lossless_coder_takes(draw: Draw) -> None:
    for seed in range(3):
        samples = np.asarray(draw(np.random.default_rng(seed)))
        taken = len(encode_lossless(samples))
        assert 0.2 * taken < least_lossless_bytes(samples) < taken


def test_edges_share_colours_below_quality_90() -> None:
    image = windows(np.random.default_rng(0))
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=100)
    few, every = (hvae_codec.encode(image, q, verify=True) for q in (QUALITY, 90))
    assert inspect(few).tile_coders == inspect(every).tile_coders == ("exact",)
    assert squared_error(image, every) == 0
    assert 0 < squared_error(image, few) < 255**2 / 10**4.5
    assert len(few) < 0.9 * len(buffer.getvalue())


@pytest.mark.parametrize("side", [1, 9, 40])
def test_one_colour_is_exact_at_every_size(side: int) -> None:
    image = Image.new("RGB", (side, side), "white")
    data = hvae_codec.encode(image)
    assert len(data) == len(hvae_codec.encode(image, lossless=True))
    assert np.array_equal(np.asarray(hvae_codec.decode(data)), np.asarray(image))


@pytest.mark.parametrize("size", [(1, 1), (7, 70), (70, 7), (31, 31), (33, 32)])
def test_pictures_that_fill_no_patch_are_weighed(size: tuple[int, int]) -> None:
    image = text(np.random.default_rng(0)).crop((20, 20, 20 + size[0], 20 + size[1]))
    for content in ("auto", "graphic"):
        shown = np.asarray(hvae_codec.decode(hvae_codec.encode(image, 95, content=content)))
        assert shown.shape == np.asarray(image).shape
        assert np.abs(shown.astype(int) - np.asarray(image)).max() < 32
