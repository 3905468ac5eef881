from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

import hvae_codec
from hvae_codec.bitstream import (
    ArgumentError,
    Color,
    Header,
    Tile,
    TileCoder,
    TileDamaged,
    part_check,
    read_index,
    read_tile,
)
from hvae_codec.bitstream.varint import pack_varints
from hvae_codec.codec.api import encode_with
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.errors import VerificationFailed
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.info import inspect
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.options import DecodeOptions, EncodeOptions
from hvae_codec.codec.quality.minimum_psnr import merging_mse, minimum_graphics_psnr_db
from hvae_codec.codec.tiles.exact import decode_exact, encode_exact
from hvae_codec.codec.tiles.lossless import encode_lossless
from hvae_codec.codec.tiles.tiling import Window
from tests.drawn import GRAPHICS, Draw, photograph, text


def samples_of(channels: int, dtype: type, height: int = 100, width: int = 170) -> np.ndarray:
    rng = np.random.default_rng(channels)
    top = np.iinfo(dtype).max
    noise = rng.integers(0, top, (height, width, channels), dtype, endpoint=True)
    if channels in (2, 4):
        noise[: height // 2, :, -1] = 0
    return noise


def header_of(samples: np.ndarray) -> Header:
    height, width, channels = samples.shape
    color = (Color.GREY, Color.GREY_ALPHA, Color.RGB, Color.RGB_ALPHA)[channels - 1]
    depth = samples.itemsize * 8
    return Header(width, height, 60, 2, bytes(4), color=color, bit_depth=depth)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_patches_come_back(channels: int, dtype: type) -> None:
    samples = samples_of(channels, dtype)
    window = Window(2, 4, 4, 6)  # of which the image holds 36 rows and 42 columns
    rng = np.random.default_rng(0)
    for where in (np.ones((2, 2), bool), rng.random((2, 2)) > 0.5, np.eye(2) < 1):
        data = encode_exact(to_pixels(samples).crop(*window.px), where)
        coder = TileCoder.EXACT if where.all() else TileCoder.BOTH
        tile = replace(Tile.exact_tile(7, data, 1), coder=coder)
        decoded = decode_exact(7, window, tile, header_of(samples))
        assert np.array_equal(decoded.where, where)
        kept = samples[64:, 128:] if where.all() else samples[64:, 128:, : (channels - 1) | 1]
        shown = where.repeat(32, 0).repeat(32, 1)[:36, :42, None]
        assert np.array_equal(decoded.samples, kept * shown)


def test_damaged_patches_are_refused() -> None:
    samples, window = samples_of(3, np.uint8), Window(0, 0, 2, 2)
    data = encode_exact(samples[:64, :64], np.eye(2) > 0)
    header = header_of(samples)
    tile = replace(Tile.exact_tile(7, data, 1), coder=TileCoder.BOTH)
    with pytest.raises(TileDamaged, match="checksum"):
        decode_exact(8, window, tile, header)
    with pytest.raises(TileDamaged, match="checksum"):
        decode_exact(7, window, replace(tile, exact=None), header)
    for bad in (b"", b"\x09" + data, b"\x01\0\0" + data, data[:4], data[:30], b"\x80" * 9):
        made_up = replace(tile, exact=bad, exact_check=part_check(7, bad))
        with pytest.raises(TileDamaged, match="exact patches"):
            decode_exact(7, window, made_up, header)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_files_need_no_weights(
    channels: int, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hvae_codec.codec.networks.weights._load", lambda *_: pytest.fail("weights")
    )
    samples = samples_of(channels, dtype)
    data = hvae_codec.encode(samples, lossless=True, verify=True)
    assert np.array_equal(hvae_codec.decode_parts(data).pixels, samples)
    part = hvae_codec.decode_parts(data, region=(30, 20, 50, 60)).pixels
    assert np.array_equal(part, samples[20:80, 30:80])
    info = inspect(data)
    assert (info.tile_coders, info.weights, info.weights_known) == (("exact",), "00000000", True)
    assert hvae_codec.verify(data).differing == 0


def test_lossless_keeps_metadata_and_takes_no_quality() -> None:
    image = Image.fromarray(samples_of(3, np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "a title"
    buffer = BytesIO()
    image.save(buffer, "PNG", exif=exif, icc_profile=b"profile")
    data = hvae_codec.encode(Image.open(buffer), lossless=True)
    assert hvae_codec.decode(data).getexif()[0x010E] == "a title"
    assert hvae_codec.decode(data).info["icc_profile"] == b"profile"
    aims = ("quality", "max_bytes", "bpp", "psnr", "effort")
    others: list[dict[str, Any]] = [{aim: 1} for aim in aims]
    for other in others:
        with pytest.raises(ArgumentError, match="lossless excludes"):
            hvae_codec.encode(image, lossless=True, **other)


def test_quality_100_is_lossless_but_for_what_says_otherwise(photograph: np.ndarray) -> None:
    samples = photograph[:64, :96]
    exact = hvae_codec.encode(samples, lossless=True)
    assert hvae_codec.encode(samples, 100) == hvae_codec.encode(samples, 100.0) == exact  # type: ignore[arg-type]
    assert hvae_codec.encode(samples, psnr=60) == exact
    assert hvae_codec.encode(samples, max_bytes=len(exact)) == exact
    white = Image.new("L", (1, 1), 255)
    others: list[dict[str, Any]] = [{"content": "photo"}, {"roi": white}]
    for other in others:
        data = hvae_codec.encode(samples, 100, **other)
        assert inspect(data).tile_coders == ("learned",)
        assert len(data) < len(exact) / 2


def test_a_search_ends_at_every_sample_of_a_narrow_range() -> None:
    """The encoder stretches samples to 16 bits before it searches, and the decoder undoes it."""
    samples = samples_of(3, np.uint16) >> 6
    data = hvae_codec.encode(samples, psnr=150, verify=True)
    assert np.array_equal(hvae_codec.decode_parts(data).pixels, samples)


def test_pillow_saves_losslessly_and_reads_at_an_eighth(tmp_path: Path) -> None:
    import hvae_codec.pillow  # noqa: F401

    samples = samples_of(3, np.uint8, 160, 256)
    Image.fromarray(samples).save(tmp_path / "exact.hvae", lossless=True)
    with Image.open(tmp_path / "exact.hvae") as image:
        assert np.array_equal(np.asarray(image), samples)
    with Image.open(tmp_path / "exact.hvae") as image:
        image.draft(None, (32, 20))
        means = samples.reshape(20, 8, 32, 8, 3).mean((1, 3))
        assert np.abs(np.asarray(image) - means).max() <= 0.5


def test_verification_compares_exact_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(3, np.uint8)
    wrong = encode_lossless(samples ^ 1)
    monkeypatch.setattr("hvae_codec.codec.tiles.exact.encode_lossless", lambda *_, **__: wrong)
    with pytest.raises(VerificationFailed, match="samples differ"):
        hvae_codec.encode(samples, lossless=True, verify=True)


@pytest.fixture(scope="module")
def page() -> Image.Image:
    """Text around a photograph."""
    page = Image.new("RGB", (640, 448), "white")
    for number, place in enumerate([(0, 0), (320, 0), (0, 224), (320, 224)]):
        page.paste(text(np.random.default_rng(number)), place)
    page.paste(photograph(np.random.default_rng(9)), (210, 130))
    return page


@pytest.fixture(scope="module")
def page_file(page: Image.Image) -> bytes:
    return hvae_codec.encode(page, 40)


@pytest.mark.slow
def test_text_around_a_photograph_is_all_but_exact(page: Image.Image, page_file: bytes) -> None:
    assert inspect(page_file).tile_coders == ("both",)
    samples, decoded = np.asarray(page), np.asarray(hvae_codec.decode(page_file))
    errors = np.square(decoded[:128].astype(float) - samples[:128]).mean(axis=2)
    assert errors.max() <= merging_mse(40)
    assert not errors[(samples[:128] == samples[0, 0]).all(axis=2)].any()  # paper stays as it is
    assert not np.array_equal(decoded, samples)
    assert len(page_file) < 0.5 * len(hvae_codec.encode(page, 40, content="photo"))
    assert hvae_codec.verify(page_file).differing == 0


def test_parts_of_a_mixed_file_are_those_of_the_whole(page_file: bytes) -> None:
    whole = np.asarray(hvae_codec.decode(page_file)).astype(int)
    part = np.asarray(hvae_codec.decode(page_file, region=(150, 100, 300, 200))).astype(int)
    assert np.abs(part - whole[100:300, 150:450]).max() <= 1
    for scale in (2, 8, 32):
        small = np.asarray(hvae_codec.decode(page_file, scale=scale)).astype(float)
        rows, columns = whole.shape[0] // scale, whole.shape[1] // scale
        means = whole.reshape(rows, scale, columns, scale, 3).mean((1, 3))
        assert np.abs(small - means)[: 128 // scale].max() <= 0.51  # exact patches
        assert np.abs(small - means).mean() < 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_small_pictures_have_no_fringe_where_exact_ones_end(dtype: type) -> None:
    top = np.iinfo(dtype).max
    logo = np.zeros((128, 128, 4), dtype)
    logo[:, :68] = top, 0, top // 2, top
    small = hvae_codec.decode_parts(hvae_codec.encode(logo, lossless=True), scale=8).pixels
    seen = small[..., 3] > 0
    assert (small[:, 8, 3] == round(top / 2)).all()
    assert (small[seen][:, 0] == top).all()
    assert not small[seen][:, 1].any()


def test_small_pictures_have_no_fringe_where_patches_end(page: Image.Image) -> None:
    alpha = Image.new("L", page.size, 255)
    alpha.paste(0, (4, 0, page.width, 100))  # all but a stripe of paper
    page = page.copy()
    page.putalpha(alpha)
    data = hvae_codec.encode(page, 40)
    assert inspect(data).tile_coders == ("both",)
    small = np.asarray(hvae_codec.decode(data, scale=8))
    assert (small[:12, 0] == (*np.asarray(page)[0, 0, :3], 128)).all()


def test_what_is_left_of_a_mixed_file_is_shown(page_file: bytes) -> None:
    index = read_index(page_file)
    begin, size = index.spans[0, 1]
    assert size == index.exact_bytes[0] > 0
    damaged = bytearray(page_file)
    damaged[begin + size // 2] ^= 0xFF
    with pytest.raises(TileDamaged, match="exact patches"):
        hvae_codec.decode(bytes(damaged))
    left = hvae_codec.decode_parts(bytes(damaged), keep_going=True)
    assert left.lost_tiles == (0,)
    inside = (slice(170, 320), slice(260, 480))  # the photograph
    whole = np.asarray(hvae_codec.decode(page_file))
    assert np.abs(left.pixels[inside].astype(int) - whole[inside]).max() <= 1
    cut = hvae_codec.decode_parts(page_file[: begin + size], keep_going=True)
    assert np.array_equal(cut.pixels[:128], whole[:128])
    rough = hvae_codec.decode_parts(page_file[: -(len(page_file) // 20)], levels=1)
    assert np.array_equal(rough.pixels[:128], whole[:128])


def test_a_lost_exact_file_is_grey() -> None:
    data = bytearray(hvae_codec.encode(samples_of(4, np.uint8), lossless=True))
    data[-5] ^= 0xFF
    left = hvae_codec.decode_parts(bytes(data), keep_going=True)
    assert left.lost_tiles == (0,)
    assert (left.pixels == (128, 128, 128, 255)).all()


def test_exact_tiles_beside_learned_ones(shipped_codec: Codec) -> None:
    image = Image.new("RGB", (320, 448))
    image.paste(text(np.random.default_rng(0)), (0, 0))
    image.paste(photograph(np.random.default_rng(1)), (0, 224))
    alpha = Image.new("L", image.size, 255)
    alpha.paste(Image.linear_gradient("L").resize((320, 100)), (0, 60))
    image.putalpha(alpha)
    data = encode_pixels(
        shipped_codec, to_pixels(image), 50, EncodeOptions(tile_px=224, tune="psnr")
    )
    index = read_index(data)
    coders = [TileCoder(coder).name for coder in index.coders]
    assert coders == ["EXACT", "EXACT", "LEARNED", "LEARNED"]
    assert not index.alpha_bytes[:2].any() and index.alpha_bytes[2:].all()
    picture = decode_file(shipped_codec, data, index)
    samples = np.asarray(image)
    seen = samples[:224, :, 3:] > 0
    assert np.array_equal(picture.samples[:224] * seen, samples[:224] * seen)
    assert np.array_equal(picture.samples[..., 3], samples[..., 3])
    damaged = bytearray(data)
    begin, size = index.spans[0, 1]
    damaged[begin + size // 2] ^= 1
    left = decode_file(shipped_codec, bytes(damaged), index, DecodeOptions(keep_going=True))
    assert left.lost_tiles == (0,)
    assert np.array_equal(
        left.samples[:224, 224:] * seen[:, 224:], samples[:224, 224:] * seen[:, 224:]
    )
    assert read_tile(data, index, 0).coder is TileCoder.EXACT


@pytest.mark.slow
def test_a_size_below_that_of_exact_text_is_left_to_the_networks() -> None:
    image = text(np.random.default_rng(0))
    exact = hvae_codec.encode(image, 0)
    assert inspect(exact).tile_coders == ("exact",)
    assert hvae_codec.encode(image, max_bytes=len(exact)) == hvae_codec.encode(image, 100)
    small = hvae_codec.encode(image, max_bytes=len(exact) - 1)
    assert inspect(small).tile_coders == ("learned",)
    assert len(small) < len(exact)


@pytest.mark.parametrize("content", ["photo", "graphic"])
def test_content_can_be_told(content: str) -> None:
    image = text(np.random.default_rng(0)).crop((0, 0, 64, 64))
    options = EncodeOptions(quality=30, content=content)  # type: ignore[arg-type]
    coders = inspect(encode_with(image, options)).tile_coders
    assert coders == (("learned",) if content == "photo" else ("exact",))
    with pytest.raises(ArgumentError, match="content painting"):
        EncodeOptions(content="painting")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["eye", "psnr"])
def test_a_photograph_with_a_dark_sky_stays_with_the_networks(tune: str) -> None:
    """Half of its patches look drawn. Its PSNR by the weights for the eye is below a drawing's."""
    rocket = skimage.data.rocket()
    for quality in (50, 80):
        data = hvae_codec.encode(rocket, quality, tune=tune)
        assert inspect(data).tile_coders == ("learned",)


@pytest.mark.slow
@pytest.mark.parametrize("draw", GRAPHICS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_quality_is_kept_on_drawn_pictures(draw: Draw, seed: int) -> None:
    image = draw(np.random.default_rng(seed))
    last = 0.0
    lossless = BytesIO()
    image.save(lossless, "WEBP", lossless=True, quality=100, method=4)
    for quality in (0, 40, 70, 95):
        data = hvae_codec.encode(image, quality)
        error = np.asarray(hvae_codec.decode(data), float) - np.asarray(image, float)
        psnr_db = 10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9))
        assert psnr_db >= max(last, minimum_graphics_psnr_db(quality, "eye"))
        if quality == 95:
            assert psnr_db >= 45
        if inspect(data).tile_coders == ("exact",):
            assert len(data) <= 1.05 * len(lossless.getvalue()) + 16
        last = psnr_db


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_beside_patches_even_if_all_are_exact(channels: int) -> None:
    """Our encoder makes such a tile exact as a whole; another may not."""
    samples = samples_of(channels, np.uint8)[:64, :64]
    window, header = Window(0, 0, 2, 2), header_of(samples)
    colour = encode_lossless(samples[..., : channels - 1])
    data = pack_varints([0, 4]) + colour
    tile = replace(Tile.exact_tile(0, data, 1), coder=TileCoder.BOTH)
    decoded = decode_exact(0, window, tile, header)
    assert decoded.where.all() and not decoded.is_whole
    assert np.array_equal(decoded.samples, samples[..., : channels - 1])
