"""What is left of damaged and cut files, and what of them is refused."""

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from hvae_codec.codec.errors import ImageError
from hvae_codec.codec.images import to_pixels
from hvae_codec.codec.images.scans import count_of_scans, with_other_ends
from hvae_codec.codec.images.segments import jpeg_segments
from tests.pngs import chunk

from .conftest import PICTURE, read, saved


def test_a_png_is_read_without_damaged_chunks_that_it_can_do_without() -> None:
    data = saved("PNG")
    flawed = data[:33] + chunk(b"pHYs", bytes(9), flaw=1) + data[33:]
    pixels, names = read(flawed)
    assert np.array_equal(pixels.samples, np.asarray(PICTURE))
    assert names == ("damaged chunk pHYs",)


def test_a_damaged_png_is_named_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(saved("PNG"))
    data[-14] ^= 1  # of the pixels' checksum
    with pytest.raises(ImageError, match="the chunk IDAT at byte 33 does not match its checksum"):
        read(bytes(data))
    header = bytearray(saved("PNG"))
    header[30] ^= 1
    with pytest.raises(OSError, match="the chunk IHDR at byte 8 does not match"):
        read(bytes(header))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for flawed in (data, header):
        assert np.array_equal(read(bytes(flawed))[0].samples, np.asarray(PICTURE))


@pytest.mark.parametrize("cut", [4, 8, 12])
def test_a_png_without_its_end_is_read(cut: int) -> None:
    assert np.array_equal(read(saved("PNG")[:-cut])[0].samples, np.asarray(PICTURE))


def test_blocks_beyond_the_picture_hide_no_missing_colour() -> None:
    noise = np.random.default_rng(12).integers(0, 256, (24, 21, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=81)
    data = buffer.getvalue()
    whole, compared = read(data)[0].samples, 0
    for cut in range(1, 60):
        try:
            samples = read(data[:-cut])[0].samples
        except ImageError:
            continue
        assert np.array_equal(samples, whole), cut
        compared += 1
    assert compared


def test_a_cut_page_is_not_another_page() -> None:
    buffer = io.BytesIO()
    second = PICTURE.transpose(Image.Transpose.ROTATE_180)
    PICTURE.save(buffer, "MPO", save_all=True, append_images=[second])
    data = buffer.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(to_pixels(image, page=2).samples - np.asarray(second).astype(int)).mean() < 9
    with Image.open(io.BytesIO(data[:-200])) as image, pytest.raises((ImageError, OSError)):
        to_pixels(image, page=2)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_is_read(progressive: bool) -> None:
    data = saved("JPEG", progressive=progressive)
    whole = read(data)[0].samples
    for cut in (1, 2):
        assert np.array_equal(read(data[:-cut])[0].samples, whole)
    for cut in (6, 60, len(data) // 4):
        with pytest.raises(ImageError, match=r"truncated|broken data"):
            read(data[:-cut])


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"progressive": True, "subsampling": 0}, {"restart_marker_blocks": 2},
     {"restart_marker_rows": 1}, {}],
    ids=["progressive", "progressive 4:4:4", "restarts", "restarts of rows", "baseline"],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_pixels_is_refused(mode: str, options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    PICTURE.convert(mode).save(buffer, "JPEG", quality=90, **options)
    data = buffer.getvalue()
    whole = read(data)[0].samples
    for size in range(data.index(b"\xff\xda"), len(data)):
        try:
            samples = read(data[:size])[0].samples
        except (ImageError, OSError):
            continue
        assert np.array_equal(samples, whole), size


def with_more_scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG."""
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * (1 + count) + data[-2:]


def test_a_jpeg_of_hundreds_of_scans_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = saved("JPEG", progressive=True)
    read(with_more_scans(data, 20))
    many = with_more_scans(data, 500)
    buffer = io.BytesIO()
    PICTURE.save(buffer, "MPO", save_all=True, append_images=[PICTURE])
    page = buffer.getvalue()
    second = page.index(b"\xff\xd8\xff", 100)
    pages = page[:second] + many
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    for file, number in ((many, None), (many[:-2], None), (pages, 2)):
        with (
            pytest.raises(ImageError, match="more than 500 scans"),
            Image.open(io.BytesIO(file)) as image,
        ):
            to_pixels(image, page=number)


def test_a_jpeg_of_many_scans_that_lacks_its_end_is_decoded_thrice() -> None:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 90).save(buffer, "JPEG", progressive=True)
    data = with_more_scans(buffer.getvalue(), 30)
    assert len(list(with_other_ends(data[:-2], count_of_scans(data)))) == 2
    assert np.array_equal(read(data[:-2])[0].samples, read(data)[0].samples)


@pytest.mark.parametrize("fill", [b"\xff", b"\xff\xd0"])
def test_what_stands_between_segments_takes_no_steps_of_python(fill: bytes) -> None:
    data = saved("JPEG")
    file = data[:2] + fill * (1_000_000 // len(fill)) + data[2:]
    assert [found[:2] for found in jpeg_segments(file)] == [
        found[:2] for found in jpeg_segments(data)
    ]
    began = time.process_time()
    for _ in range(5):
        list(jpeg_segments(file))
    walked = time.process_time()
    for _ in range(5):
        sum(1 for _ in file)
    assert walked - began < 3 * (time.process_time() - walked)


def test_of_a_cut_jpeg_all_is_shown_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved("JPEG", progressive=True)
    whole = read(data)[0].samples.astype(int)
    errors = [
        np.abs(read(data[:size])[0].samples - whole).mean()
        for size in range(data.index(b"\xff\xda") + 20, len(data), 3)
    ]
    assert np.diff(errors).max() < 1  # more bytes never make it worse
    assert errors[-1] < 1


@pytest.mark.parametrize(
    "make", [lambda: saved("PNG"), lambda: saved("JPEG"), lambda: saved("WEBP")]
)
def test_whatever_is_cut_only_errors_come_out(make: Callable[[], bytes]) -> None:
    data = make()
    for end in range(0, len(data), 13):
        try:
            read(data[:end])
        except (OSError, ImageError):
            continue
