"""One image: bytes in, bytes and a row out."""

import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hvae_codec.bitstream import Header, read_index
from hvae_codec.codec import api
from hvae_codec.codec.batch import ToCoded, ToImages, transcode_bytes
from hvae_codec.codec.batch.transcode import refusal
from hvae_codec.codec.errors import ImageError, WeightsError
from hvae_codec.codec.images import RAW_PHOTOGRAPH
from hvae_codec.codec.networks.weight_paths import WEIGHTS_VARIABLE
from hvae_codec.codec.networks.weights import load_codec
from hvae_codec.codec.options import DecodeOptions, EncodeOptions
from hvae_codec.codec.quality.curve import QUALITIES

from .conftest import drawn

pytestmark = pytest.mark.usefixtures("shipped")

IMAGE = drawn(3, (48, 40))
LOSSLESS = ToCoded(EncodeOptions(lossless=True))


@cache
def coded() -> bytes:
    data, _, _ = transcode_bytes(IMAGE, ToCoded(EncodeOptions(70)))
    assert data
    return data


def test_an_image_is_what_encode_makes_of_it_and_its_row_describes_it() -> None:
    data, suffix, row = transcode_bytes(IMAGE, ToCoded(EncodeOptions(70), with_psnr=True))
    assert data and data == api.encode(Image.open(io.BytesIO(IMAGE)), 70)
    assert suffix == "hvae"
    assert (row.status, row.width, row.height, row.quality) == ("success", 48, 40, 70)
    assert (row.original_bytes, row.bytes) == (len(IMAGE), len(data))
    assert row.sha256 == hashlib.sha256(data).hexdigest()
    shown = np.asarray(api.decode(data)).astype(float)
    error = np.square(shown - np.asarray(Image.open(io.BytesIO(IMAGE)))).mean()
    assert row.psnr_db == pytest.approx(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("options", [EncodeOptions(lossless=True), EncodeOptions(100)])
def test_without_loss_no_weights_are_read(
    options: EncodeOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / "none.safetensors"))
    how = ToCoded(options, with_psnr=True)
    how.load()
    data, _, row = transcode_bytes(IMAGE, how)
    assert (row.status, row.psnr_db) == ("success", np.inf)
    assert data and not read_index(data).header.needs_weights


@pytest.mark.parametrize("format", ["png", "jpg", "webp"])
def test_and_back(format: str) -> None:
    data, suffix, row = transcode_bytes(coded(), ToImages(suffix=format, verify=True))
    assert data
    assert suffix == format
    assert (row.status, row.width, row.height) == ("success", 48, 40)
    image = Image.open(io.BytesIO(data))
    assert image.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[format]
    if format == "png":
        assert np.array_equal(np.asarray(image), np.asarray(api.decode(coded())))


def test_an_original_that_is_smaller_is_kept_both_ways() -> None:
    grey = io.BytesIO()
    Image.new("L", (64, 64), 128).save(grey, "WEBP", lossless=True)
    small = grey.getvalue()
    data, suffix, row = transcode_bytes(small, ToCoded(keep_original_if_larger=True))
    assert (data, suffix, row.status, row.quality) == (small, None, "kept_original", None)
    data, suffix, row = transcode_bytes(small, ToImages())
    assert (data, suffix, row.status) == (small, None, "kept_original")
    data, _, row = transcode_bytes(small, ToCoded())
    assert (data != small, row.status) == (True, "success")


def test_what_is_coded_is_not_coded_again() -> None:
    data, suffix, row = transcode_bytes(coded(), ToCoded())
    assert (data, suffix, row.status, row.quality) == (coded(), None, "kept_original", 70)


@pytest.mark.parametrize(
    ("data", "how", "reason"),
    [
        (b"no picture", ToCoded(), "not an image in a format that Pillow knows"),
        (IMAGE[:60], ToCoded(), "the image cannot be read"),
        pytest.param(
            IMAGE,
            ToCoded(EncodeOptions(max_bytes=5)),
            "5 bytes are too few",
            marks=pytest.mark.slow,
        ),
        (IMAGE, ToCoded(memory_bytes=190_000_000), "48x40 pixels take 191 MB, 190 MB are allowed"),
        (b"no picture", ToImages(), "not an image in a format that Pillow knows"),
    ],
)
def test_what_fails_is_a_row_with_the_reason(
    data: bytes, how: ToCoded | ToImages, reason: str
) -> None:
    out, _, row = transcode_bytes(data, how)
    assert out is None
    assert row.status == "failed_to_transcode"
    assert row.error
    assert row.error.startswith(reason)
    assert "\n" not in row.error


def test_a_damaged_file_is_a_row() -> None:
    data = bytearray(coded())
    data[-3] ^= 1
    for damaged in (bytes(data), coded()[:-5]):
        out, _, row = transcode_bytes(damaged, ToImages())
        assert (out, row.status) == (None, "failed_to_transcode")
    tight = ToImages(memory_bytes=100_000_000)
    assert "are allowed" in str(transcode_bytes(coded(), tight)[2].error)


def test_tiles_become_smaller_where_memory_is_short() -> None:
    """Twelve megapixels take 0.90e9 bytes with the usual tiles."""
    fitting = ToCoded()._fitting(4000, 3000, 4_000_000)
    assert fitting.tile_px is None
    for memory, largest_px in ((800_000_000, 640), (600_000_000, 320)):
        fitting = ToCoded(memory_bytes=memory)._fitting(4000, 3000, 4_000_000)
        assert fitting.tile_px
        assert 256 <= fitting.tile_px <= largest_px
    with pytest.raises(ImageError, match=r"4000x3000 pixels take 5\d\d MB, 400 MB are allowed"):
        ToCoded(memory_bytes=400_000_000)._fitting(4000, 3000, 4_000_000)
    small = ToCoded(memory_bytes=250_000_000)._fitting(300, 200, 0)
    assert small.tile_px is None


def test_of_several_pictures_the_chosen_one_has_to_fit() -> None:
    buffer, large = io.BytesIO(), Image.new("L", (2000, 1500))
    Image.new("L", (8, 8)).save(buffer, "TIFF", save_all=True, append_images=[large])
    for page, status in ((1, "success"), (2, "failed_to_transcode")):
        how = ToCoded(EncodeOptions(lossless=True, page=page), memory_bytes=200_000_000)
        row = transcode_bytes(buffer.getvalue(), how)[2]
        assert row.status == status
    assert "2000x1500 pixels take 233 MB, 200 MB are allowed" in (row.error or "")


def test_a_lossless_picture_takes_no_memory_of_networks() -> None:
    lossless = ToCoded(EncodeOptions(lossless=True), memory_bytes=650_000_000)
    assert lossless._fitting(4000, 3000, 4_000_000).tile_px is None
    header = Header(4000, 3000, QUALITIES - 1, 64, bytes(4))
    assert not header.needs_weights
    ToImages(memory_bytes=650_000_000)._refuse_large(header, 20_000_000)
    with pytest.raises(ImageError, match="are allowed"):
        ToImages()._refuse_large(replace(header, weights=load_codec().file.digest[:4]), 20_000_000)


@pytest.mark.slow
def test_the_size_of_tiles_is_an_option_of_encoding() -> None:
    image = Image.open(io.BytesIO(drawn(1, (80, 70))))
    for options in (
        EncodeOptions(tile_px=64),
        EncodeOptions(max_bytes=2_000, tile_px=64),
        EncodeOptions(lossless=True, tile_px=64),
    ):
        data = api.encode_with(image, options)
        assert read_index(data).header.tile_count == 4
        assert api.decode(data).size == (80, 70)


def test_without_weights_nothing_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HVAE_CODEC_WEIGHTS", str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match=r"none\.safetensors, which does not exist"):
        transcode_bytes(IMAGE, ToCoded())


def test_a_part_of_the_picture_is_decoded() -> None:
    small = replace(ToImages(), options=DecodeOptions(scale=8))
    data, _, row = transcode_bytes(coded(), small)
    assert data
    assert Image.open(io.BytesIO(data)).size == (row.width, row.height) == (6, 5)


def test_the_psnr_of_a_narrow_range_is_that_of_the_range() -> None:
    samples = np.linspace(1000, 5000, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    wanted = EncodeOptions(psnr=35, content="photo")
    data, _, row = transcode_bytes(buffer.getvalue(), ToCoded(wanted, with_psnr=True))
    assert data
    error = np.square(np.asarray(api.decode(data)).astype(float) - samples).mean()
    assert row.psnr_db == pytest.approx(10 * np.log10(4000**2 / error), abs=0.3)


def test_what_is_left_out_is_in_the_row() -> None:
    noted = PngInfo()
    noted.add(b"tIME", bytes([7, 234, 11, 29, 12, 0, 0]))
    exif = Image.Exif()
    exif[0x010E] = "a place"
    photo = io.BytesIO()
    Image.new("RGB", (40, 24), "teal").save(photo, "PNG", pnginfo=noted, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is in the row alone
        out, _, row = transcode_bytes(photo.getvalue(), ToCoded(with_psnr=True))
    assert out and row.left_out == "time of change"
    assert row.psnr_db
    assert transcode_bytes(IMAGE, ToCoded())[2].left_out is None
    assert transcode_bytes(out, ToImages(suffix="bmp"))[2].left_out == "EXIF"


def test_raw_photographs_are_known_by_their_suffix() -> None:
    assert refusal(ToCoded(), "left.nef") == RAW_PHOTOGRAPH
    assert refusal(ToCoded(), "jpg") is None
    assert refusal(ToImages(), "nef") is None  # it stays as it is


def test_equal_pictures_are_equal_options() -> None:
    described = [
        ToCoded(EncodeOptions(roi=Image.new("L", (4, 4), grey))).description for grey in (9, 9, 8)
    ]
    assert described[0] == described[1] != described[2]


def test_a_coded_file_that_is_cut_does_not_pass(tmp_path: Path) -> None:
    data, _, row = transcode_bytes(coded()[:-9], ToCoded())
    assert data is None
    assert (row.error or "").startswith("the file is cut")


def test_threads_are_told_of_what_their_own_images_leave_out() -> None:
    """Warnings are those of the whole process; what is left out is not."""
    described, buffer = PngInfo(), io.BytesIO()
    described.add(b"tIME", bytes(7))
    Image.open(io.BytesIO(IMAGE)).save(buffer, "PNG", pnginfo=described)
    images = [buffer.getvalue(), IMAGE] * 40
    filters = [*warnings.filters]
    with ThreadPoolExecutor(4) as pool:
        rows = [row for _, _, row in pool.map(transcode_bytes, images, repeat(LOSSLESS))]
    assert [row.left_out for row in rows] == ["time of change", None] * 40
    assert warnings.filters == filters


def test_an_image_that_is_cut_is_not_kept() -> None:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(IMAGE)).save(buffer, "JPEG")
    data, _, row = transcode_bytes(buffer.getvalue()[:-99], ToImages())
    assert data is None
    assert "truncated" in (row.error or "")
