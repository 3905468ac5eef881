"""Which of a file's pictures is encoded: never a thumbnail in the place of a photograph."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, TiffImagePlugin

from hvae_codec.codec.errors import ImageError, LeftOut
from hvae_codec.codec.images import read_image, to_pixels

SMALL = Image.linear_gradient("L").resize((16, 12)).convert("RGB")
LARGE = Image.linear_gradient("L").resize((64, 48)).convert("RGB")


def tiff(*pages: tuple[Image.Image, dict[int, object]]) -> bytes:
    """A TIFF of pages with further tags."""
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer, True) as writer:
        for image, tags in pages:
            directory = TiffImagePlugin.ImageFileDirectory_v2()
            for tag, value in tags.items():
                directory[tag] = value
            image.encoderinfo, image.encoderconfig = {"tiffinfo": directory}, ()
            TiffImagePlugin._save(image, writer, "")  # type: ignore[arg-type]
            writer.newFrame()
    return buffer.getvalue()


def with_sub_directory(file: bytes, *entries: tuple[int, int]) -> bytes:
    """Append a directory of numbers to a TIFF of one page, whose tag 330 points to it."""
    directory = struct.pack("<H", len(entries))
    for tag, value in entries:
        directory += struct.pack("<HHII", tag, 4, 1, value)
    directory += bytes(4)
    (first,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, first)
    copied = file[first + 2 : first + 2 + 12 * count]
    pointer = struct.pack("<HHII", 330, 4, 1, len(file))
    tags = sorted([copied[at : at + 12] for at in range(0, len(copied), 12)] + [pointer])
    tags.sort(key=lambda tag: struct.unpack_from("<H", tag)[0])
    own = struct.pack("<H", count + 1) + b"".join(tags) + bytes(4)
    place = len(file) + len(directory)
    return file[:4] + struct.pack("<I", place) + file[8:] + directory + own


def refused(file: bytes) -> str:
    with pytest.raises(ImageError) as caught, Image.open(io.BytesIO(file)) as image:
        to_pixels(image)
    return str(caught.value)


def test_raw_photographs_are_refused_whatever_their_name() -> None:
    assert "raw photograph" in refused(tiff((SMALL, {50706: b"\1\4\0\0"})))  # DNG
    thumbnail = tiff((SMALL, {254: 1}))
    assert "raw photograph" in refused(with_sub_directory(thumbnail, (254, 0), (256, 4000)))
    unmarked = with_sub_directory(tiff((SMALL, {})), (254, 0), (256, 4000), (257, 3000))
    assert "raw photograph" in refused(unmarked)
    assert "raw photograph" in refused(with_sub_directory(tiff((SMALL, {})), (262, 32803)))
    assert "reduced copy of another" in refused(thumbnail)


def test_a_pyramid_is_no_raw_photograph() -> None:
    file = with_sub_directory(tiff((LARGE, {})), (254, 1), (256, 16))
    assert to_pixels(Image.open(io.BytesIO(file))).size == (48, 64)


def test_a_raw_photographs_name_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "photo.NEF"
    LARGE.save(path, "TIFF")
    with pytest.raises(ImageError, match="raw photograph"), read_image(path) as image:
        to_pixels(image)
    path.write_bytes(b"FUJIFILMCCD-RAW")
    with pytest.raises(OSError, match="raw photograph"):
        read_image(path)


@pytest.mark.parametrize("first", [False, True])
def test_of_a_page_and_its_reduced_copy_the_page_is_encoded(first: bool) -> None:
    pages = [(LARGE, {}), (SMALL, {254: 1})]
    image = Image.open(io.BytesIO(tiff(*(reversed(pages) if first else pages))))
    with pytest.warns(LeftOut, match="its reduced copy"):
        assert to_pixels(image).size == (48, 64)


def test_a_page_is_chosen() -> None:
    file = tiff((LARGE, {}), (SMALL, {}), (LARGE.rotate(180), {}))
    with pytest.raises(ImageError, match="3 pictures, of which one can be kept"):
        to_pixels(Image.open(io.BytesIO(file)))
    with pytest.raises(ImageError, match=r"page 4 is outside 1\.\.\.3"):
        to_pixels(Image.open(io.BytesIO(file)), page=4)
    with pytest.warns(LeftOut, match="2 more pictures"):
        pixels = to_pixels(Image.open(io.BytesIO(file)), page=3)
    assert np.array_equal(pixels.samples, np.asarray(LARGE.rotate(180)))


def test_a_page_of_16_bits_is_chosen() -> None:
    tifffile = pytest.importorskip("tifffile")
    pages = np.arange(2 * 8 * 8 * 3, dtype=np.uint16).reshape(2, 8, 8, 3) * 100
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pages, photometric="rgb")
    with pytest.warns(LeftOut, match="1 more picture"):
        assert np.array_equal(to_pixels(Image.open(buffer), page=2).samples, pages[1])


def test_a_directory_that_is_listed_many_times_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tiff((LARGE, {330: tuple([8] * 5000)}))
    with read_image(file) as image:
        loaded = []
        whole = TiffImagePlugin.ImageFileDirectory_v2.load
        monkeypatch.setattr(
            TiffImagePlugin.ImageFileDirectory_v2,
            "load",
            lambda self, stream: loaded.append(whole(self, stream)),
        )
        assert to_pixels(image).size == (48, 64)
    assert len(loaded) < 5  # Pillow reads its own


@pytest.mark.parametrize("page", [None, 2])
def test_a_later_page_that_is_too_large_is_not_unpacked(
    page: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiff((SMALL, {254: 1}), (LARGE, {}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SMALL.width * SMALL.height)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("unpacked"))
    with (
        Image.open(io.BytesIO(file)) as image,
        pytest.raises(ImageError, match="exceeds limit of 384 pixels"),
    ):
        to_pixels(image, page=page)
