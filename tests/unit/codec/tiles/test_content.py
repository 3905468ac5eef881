import numpy as np
import pytest

from hvae_codec.codec.tiles.content import Content, content_of
from tests.drawn import Draw, noise, photograph, ramp, stripes, terminal, text, windows


def look(draw: Draw, quality: float = 60, largest: int = 255) -> Content:
    samples = np.asarray(draw(np.random.default_rng(0)))
    if largest > 255:
        samples = samples.astype(np.uint16) * 257
    return content_of(samples, largest, quality)


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("draw", [text, terminal, windows, ramp])
def test_drawn_tiles_are_graphics(draw: Draw, largest: int) -> None:
    assert look(draw, largest=largest).graphic.all()


@pytest.mark.parametrize("quality", [0, 60, 100])
def test_photographs_are_none_and_not_doubtful(quality: float) -> None:
    assert look(photograph, quality).is_photograph


@pytest.mark.parametrize("draw", [noise, stripes])
def test_detail_beyond_photographs_is_doubtful(draw: Draw) -> None:
    content = look(draw)
    assert content.is_doubtful or content.graphic.all()
    assert not content.is_photograph


def test_fine_colour_is_doubtful_only_where_quality_promises_it() -> None:
    samples = np.asarray(photograph(np.random.default_rng(0))).copy()
    samples[::2, ::2, 0] ^= 24
    assert content_of(samples, 255, 100).is_doubtful
    assert not content_of(samples, 255, 0).is_doubtful


def test_a_photograph_within_a_page_is_found_to_the_patch() -> None:
    page = np.asarray(text(np.random.default_rng(1))).copy()
    page[64:192, 160:320] = np.asarray(photograph(np.random.default_rng(2)))[:128, :160]
    graphic = content_of(page, 255, 60).graphic
    assert not graphic[2:6, 5:].any()
    assert graphic.sum() == graphic.size - 20


def test_a_blown_out_sky_is_no_graphic() -> None:
    samples = np.asarray(photograph(np.random.default_rng(0))).copy()
    samples[:96] = 255
    samples[96:128] = np.where(np.arange(320)[:, None] % 90 < 45, 255, samples[96:128])
    assert content_of(samples, 255, 60).is_photograph


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 2), (32, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_can_be_looked_at(size: tuple[int, int], channels: int) -> None:
    flat = np.full((*size, channels), 7, np.uint8)
    assert content_of(flat, 255, 60).graphic.all()
    grain = np.random.default_rng(0).integers(100, 120, flat.shape).astype(np.uint8)
    assert content_of(grain, 255, 60).graphic.shape == (-(-size[0] // 32), -(-size[1] // 32))
