"""Which formats there are, what is opened, and what a written file keeps as its readers find it."""

import io
import os
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from hvae_codec.codec.errors import ImageError, noting_leftovers
from hvae_codec.codec.images import (
    Pixels,
    Style,
    format_of,
    is_image_name,
    read_image,
    suffix_of,
    to_image,
    to_pixels,
    write_image,
)
from tests.pngs import SIGNATURE, chunk

DESCRIPTION = 0x010E


def picture(channels: int, deep: bool = False) -> Pixels:
    rows, columns, channel = np.mgrid[:40, :56, :channels]
    samples = 3 * rows + columns + 20 * channel
    pixels = (samples * 200).astype(np.uint16) if deep else samples.astype(np.uint8)
    return Pixels(pixels)


def write(path: Path, pixels: Pixels, metadata: dict[str, bytes] | None = None) -> list[str]:
    return write_image(path, pixels, metadata or {}, format_of(path.suffix)).left_out


@pytest.fixture
def metadata() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[DESCRIPTION] = "where I live"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>caf\xc3\xa9</x:xmpmeta>"
    return {"icc_profile": profile.tobytes(), "exif": exif.tobytes(), "xmp": xmp}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_metadata_is_kept(
    tmp_path: Path, metadata: dict[str, bytes], suffix: str, channels: int
) -> None:
    path = tmp_path / f"a{suffix}"
    assert write(path, picture(channels), metadata) == []
    with Image.open(path) as image:
        assert image.getexif()[DESCRIPTION] == "where I live"
        assert image.info["icc_profile"] == metadata["icc_profile"]
        assert image.info["xmp"] == metadata["xmp"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("key", ["icc_profile", "exif", "xmp"])
def test_one_item_is_kept_alone(
    tmp_path: Path, metadata: dict[str, bytes], suffix: str, key: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, picture(3), {key: metadata[key]})
    with Image.open(path) as image:
        found = {name for name in ("icc_profile", "xmp") if image.info.get(name)}
        found |= {"exif"} if DESCRIPTION in image.getexif() else set()
    assert found == {key}


def test_what_exif_says_of_the_cameras_file_does_not_break_a_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "where I live"
    exif[256], exif[257], exif[284] = 4000, 3000, 2  # width, height, planes apart
    pixels = picture(3)
    write(tmp_path / "a.tif", pixels, {"exif": exif.tobytes()})
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(image), pixels.samples)
        assert image.getexif()[DESCRIPTION] == "where I live"


@pytest.mark.parametrize("suffix", [".bmp", ".jp2", ".ppm", ".tga"])
def test_what_is_left_out_is_named(tmp_path: Path, metadata: dict[str, bytes], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    left_out = write(path, picture(3), metadata)
    assert left_out == ["ICC profile", "EXIF", "XMP"]
    with Image.open(path) as image:
        assert not {"icc_profile", "exif", "xmp"} & set(image.info)
    assert write(path, picture(3)) == []


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jp2", ".tga"])
def test_alpha_is_kept(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    pixels = picture(channels)
    write(path, pixels)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image.getchannel("A")), pixels.samples[..., -1])


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".ppm", ".gif"])
def test_alpha_is_not_dropped(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match="does not hold alpha"):
        write(path, picture(channels))
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2", ".pgm"])
def test_grey_of_16_bits_is_kept(tmp_path: Path, suffix: str) -> None:
    path, pixels = tmp_path / f"a{suffix}", picture(1, deep=True)
    write(path, pixels)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), pixels.samples[..., 0])


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".gif", ".jpg", ".bmp"])
def test_grey_of_16_bits_is_not_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match="does not hold 16 bits a channel; write PNG or TIFF"):
        write(path, picture(1, deep=True))
    assert not path.exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight_where_told(channels: int) -> None:
    pixels, stream = picture(channels, deep=True), io.BytesIO()
    write_image(stream, pixels, {}, "BMP", Style(depth=8))
    found = np.asarray(Image.open(stream)).reshape(pixels.samples.shape)
    assert np.abs(found - pixels.samples / 257).max() <= 0.5


@pytest.mark.parametrize(
    ("suffix", "reason"), [(".ico", "icons"), (".icns", "icons"), (".gif", "256 colours")]
)
def test_another_picture_is_not_written(tmp_path: Path, suffix: str, reason: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match=reason):
        write(path, picture(3))
    assert not path.exists()


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm"])
def test_a_viewer_sees_the_picture_upright(tmp_path: Path, suffix: str, prefix: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"  # 40 rows of 56, to be turned; a WebP's EXIF has no prefix
    metadata = {"exif": prefix + exif.tobytes().removeprefix(b"Exif\0\0")}
    write(path, picture(3), metadata)
    with Image.open(path) as image:
        assert ImageOps.exif_transpose(image).size == (40, 56)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_of_16_bits_is_seen_upright(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("imagecodecs")
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"
    left_out = write(path, picture(3, deep=True), {"exif": exif.tobytes()})
    assert left_out == (["EXIF"] if suffix == ".tif" else [])
    with Image.open(path) as image:
        image.load()  # turns a TIFF
        assert ImageOps.exif_transpose(image).size == (40, 56)


def test_damaged_exif_does_not_keep_16_bits_from_a_tiff(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    path, metadata = tmp_path / "a.tif", {"exif": b"nonsense"}
    assert write(path, picture(3, deep=True), metadata) == ["EXIF"]
    assert (tmp_path / "a.tif").stat().st_size > 0


def test_jpeg_keeps_full_colour_and_quality(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", picture(3))
    to_image(picture(3), {}).save(tmp_path / "b.jpg", quality=95, subsampling=0)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("deep", [False, True])
def test_a_stream_gets_what_a_path_gets(tmp_path: Path, channels: int, deep: bool) -> None:
    if deep:
        pytest.importorskip("imagecodecs")
    stream, path = io.BytesIO(), tmp_path / "a.png"
    write_image(stream, picture(channels, deep), {}, "PNG")
    write(path, picture(channels, deep))
    assert stream.getvalue() == path.read_bytes()
    for source in (path, str(path), stream.getvalue()):
        with read_image(source) as image:
            assert np.array_equal(to_pixels(image).samples, picture(channels, deep).samples)


@pytest.mark.parametrize("deep", [False, True])
def test_text_of_any_kind_makes_a_whole_png(deep: bool) -> None:
    if deep:
        pytest.importorskip("imagecodecs")
    text = {"": "nameless", "a\0b": "x\0y", "ключ": "значение", "k" * 90: "long"}
    stream = io.BytesIO()
    write_image(stream, picture(3, deep), {"text": text}, "PNG")
    found = Image.open(stream).text  # type: ignore[attr-defined]
    assert found == {"Comment": "nameless", "a b": "x y", "????": "значение", "k" * 79: "long"}


def test_a_profile_of_grey_is_not_given_to_colour() -> None:
    grey_profile = bytes(16) + b"GRAY" + bytes(120)
    pixels = picture(2)
    for colour, named in (((255, 0, 0), ["ICC profile"]), ((9, 9, 9), [])):
        stream = io.BytesIO()
        style = Style(background=colour)
        left_out = write_image(stream, pixels, {"icc_profile": grey_profile}, "PNG", style).left_out
        assert left_out == named
        assert ("icc_profile" in Image.open(stream).info) != bool(named)


def test_a_pdf_is_no_worse_than_a_jpeg() -> None:
    pdf, jpeg = io.BytesIO(), io.BytesIO()
    write_image(pdf, picture(3), {}, "PDF")
    write_image(jpeg, picture(3), {}, "JPEG")
    begin = pdf.getvalue().index(b"\xff\xd8")
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(pdf.getvalue()[begin:]))), np.asarray(Image.open(jpeg))
    )


def test_a_stream_stays_empty_where_the_format_cannot_hold_the_picture() -> None:
    stream = io.BytesIO()
    with pytest.raises(ImageError, match="does not hold alpha"):
        write_image(stream, picture(4), {}, "JPEG")
    with pytest.raises(ImageError, match="JPEG does not hold 16 bits"):
        write_image(stream, picture(3, deep=True), {}, "JPEG")
    assert stream.getvalue() == b""


def test_what_a_writer_does_not_know_is_one_line() -> None:
    with pytest.raises(OSError, match="cannot be written as GIF87"):
        write_image(io.BytesIO(), picture(3), {}, "GIF87")


def test_what_is_no_image_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="not an image in a format that Pillow knows"):
        read_image(b"not a picture")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")
    write(tmp_path / "a.png", picture(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(OSError, match="exceeds limit of 200 pixels"):
        read_image(tmp_path / "a.png")


def test_a_suffix_names_a_format() -> None:
    assert [format_of(suffix) for suffix in (".png", ".JPG", ".pgm")] == ["PNG", "JPEG", "PPM"]
    for suffix in (".nonsense", ".psd"):  # Pillow opens the last and does not write it
        with pytest.raises(ImageError, match=f"no image format is known for '{suffix}'"):
            format_of(suffix)
    with pytest.raises(ImageError, match="no image format is known for a name without a suffix"):
        format_of("")
    assert is_image_name("a.PSD")
    assert not is_image_name("a.hvac")


def test_of_what_is_no_image_the_beginning_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(1 << 42)  # more than there is memory
    with pytest.raises(OSError, match="not an image"):
        read_image(path)


@pytest.mark.parametrize("texts", [b"dpi\0x", b"Title\0x"])
@pytest.mark.parametrize("damaged", [False, True])
def test_many_chunks_take_no_longer_than_they_are_many(texts: bytes, damaged: bool) -> None:
    """Each used to be taken out of the whole file: an hour for 17 megabytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data = buffer.getvalue()
    text = chunk(b"tEXt", texts)
    text = text[:-1] + b"x" if damaged else text
    keyword = texts.partition(b"\0")[0].decode()

    def seconds(count: int) -> float:
        file = data[:33] + count * text + data[33:]
        began = time.process_time()
        with noting_leftovers() as names, read_image(file) as image:
            assert to_pixels(image).size == (8, 8)
        assert names == (["damaged chunk tEXt"] if damaged else [f"other text {keyword}"])
        return time.process_time() - began

    assert seconds(40_000) < 10 * min(seconds(10_000) for _ in range(3)) + 0.2


def test_a_damaged_png_of_too_many_pixels_is_one_line() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    text = chunk(b"tEXt", b"Title\0x")[:-1] + b"x"
    png = SIGNATURE + header + text + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(OSError, match=r"cannot be read as an image .* exceeds limit"):
        read_image(png)


def test_compressed_texts_are_unpacked_up_to_a_limit_for_all_of_them() -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    data = buffer.getvalue()
    began = time.process_time()
    with noting_leftovers() as names, read_image(data[:33] + 4000 * bomb + data[33:]) as image:
        assert to_pixels(image).size == (8, 8)
    assert "texts beyond 4194304 bytes" in names
    assert time.process_time() - began < 20  # 4 GB would take longer


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"),
     ("WEBP", "webp"), ("AVIF", "avif"), ("JPEG2000", "jp2")],
)  # fmt: skip
def test_the_suffix_of_a_file_is_known_by_its_beginning(format: str, suffix: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, format)
    assert suffix_of(buffer.getvalue()) == suffix
    assert suffix_of(buffer.getvalue()[1:]) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
def test_who_waits_for_a_pipe_lets_others_read(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe.png", tmp_path / "file.png"
    Image.new("L", (3, 2), 7).save(file)
    os.mkfifo(pipe)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(read_image, pipe)
        time.sleep(0.1)  # until it waits
        try:
            assert pool.submit(read_image, file).result(timeout=20).size == (3, 2)
        finally:
            pipe.write_bytes(file.read_bytes())
        assert waiting.result(timeout=20).getpixel((0, 0)) == 7
