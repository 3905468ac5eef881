"""What is not kept of an image's file is named; what is only damaged is read."""

import io
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from hvae_codec.bitstream import MetadataKind
from hvae_codec.codec.errors import ImageError, LeftOut
from hvae_codec.codec.images import Pixels, info_of, read_image, to_pixels
from hvae_codec.codec.images.leftovers import names_of
from hvae_codec.codec.images.scans import count_of_scans, with_other_ends
from hvae_codec.codec.images.segments import READ_BY_PILLOW, jpeg_segments
from tests.pngs import chunk

PICTURE = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 40).convert("RGB")
IPTC = b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\5\x1c\2x\0\0"
C2PA = b"JP\0\1\0\0\0\1\0\0\0\x08jumb"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40


def saved(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


LARGE_TEXT = chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(2 << 20)))


def read(file: bytes, strip: bool = False) -> tuple[Pixels, tuple[str, ...]]:
    """The pixels, and what was left out."""
    with warnings.catch_warnings(record=True) as caught, read_image(file) as image:
        warnings.simplefilter("always")
        pixels = to_pixels(image, strip=strip)
    told: list[str] = []
    for warning in caught:
        if isinstance(warning.message, LeftOut):
            told += warning.message.names
    return pixels, tuple(told)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (b"", ()),
        (segment(0xED, IPTC), ("IPTC",)),
        (segment(0xEB, C2PA), ("C2PA",)),
        (segment(0xE1, MORE_XMP), ("extended XMP",)),
        (segment(0xE0, b"JFXX\0\x10"), ("JFIF thumbnail",)),
        (segment(0xEC, b"Ducky\0\1"), ("segment APP12 (Ducky)",)),
        (segment(0xED, IPTC) + segment(0xEB, C2PA) * 2, ("IPTC", "C2PA")),
        (segment(0xFE, b"one"), ()),
        (segment(0xFE, b"one") + segment(0xFE, b"two"), ("other comments",)),
    ],
)
def test_segments_of_a_jpeg(more: bytes, names: tuple[str, ...]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "kept"
    data = saved("JPEG", exif=exif, icc_profile=b"\0" * 200)
    assert read(data[:2] + more + data[2:])[1] == names
    assert read(data[:2] + more + data[2:], strip=True)[1] == ()


def test_a_profile_that_lacks_a_part_is_named() -> None:
    data = saved("JPEG", icc_profile=PROFILE)
    assert dict(read(data)[0].metadata)[MetadataKind.ICC] == PROFILE
    first = data.replace(b"ICC_PROFILE\0\1\1", b"ICC_PROFILE\0\1\2")  # of two
    pixels, names = read(first)
    assert names == ("damaged ICC profile",)
    assert not pixels.metadata


def test_the_profile_of_a_bmp_is_kept() -> None:
    data = saved("BMP")
    (begin,) = struct.unpack_from("<I", data, 10)
    header = struct.pack("<I", 124) + data[18:54] + bytes(16) + b"DEBM" + bytes(124 - 60)
    pixels = data[begin:]
    place = 124 + len(pixels)
    header = header[:112] + struct.pack("<II", place, len(PROFILE)) + bytes(4)
    file = b"BM" + struct.pack("<IHHI", 138 + len(pixels), 0, 0, 138) + header + pixels + PROFILE
    assert dict(read(file)[0].metadata)[MetadataKind.ICC] == PROFILE


def test_metadata_of_a_jpeg_2000_are_named() -> None:
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x:xmpmeta/>"
    exif = b"JpgTiffExif->JP2" + b"II*\0"
    more = b"".join(struct.pack(">I4s", 8 + len(p), b"uuid") + p for p in (xmp, exif))
    assert read(saved("JPEG2000") + more)[1] == ("XMP", "EXIF")


def test_pictures_of_an_icon_are_counted() -> None:
    buffer = io.BytesIO()
    PICTURE.resize((64, 64)).save(buffer, "ICO", sizes=[(16, 16), (32, 32), (64, 64)])
    pixels, names = read(buffer.getvalue())
    assert (pixels.size, names) == ((64, 64), ("2 more pictures",))


def test_what_follows_a_jpeg() -> None:
    video = b"\0\0\0\x18ftypmp42" + bytes(range(200))
    assert read(saved("JPEG", progressive=True) + video)[1] == ("212 bytes behind the picture",)
    assert read(saved("JPEG") + bytes(100))[1] == ()


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (chunk(b"caBX", b"jumb"), ("C2PA",)),
        (chunk(b"tIME", bytes(7)), ("time of change",)),
        (chunk(b"prVt", b"x"), ("chunk prVt",)),
        (chunk(b"tEXt", b"Author\0me"), ()),
        (
            chunk(b"tEXt", b"Author\0me") + chunk(b"iTXt", b"Author\0\0\0\0\0us"),
            ("other text Author",),
        ),
        (chunk(b"tEXt", b"Raw profile type iptc\0iptc\n1\n00"), ("IPTC",)),
        (chunk(b"iCCP", b"name\0\0no stream"), ("damaged ICC profile",)),
        (chunk(b"iCCP", b"name\0\0" + zlib.compress(PROFILE)[:-9]), ("damaged ICC profile",)),
        (LARGE_TEXT, ("chunk zTXt (of more than 1048576 bytes)",)),
    ],
)
def test_chunks_of_a_png(more: bytes, names: tuple[str, ...]) -> None:
    data = saved("PNG")
    assert read(data[:33] + more + data[33:])[1] == names


def test_large_texts_behind_the_pixels_are_left_out_too() -> None:
    data = saved("PNG")
    for file in (
        data[:-12] + LARGE_TEXT + data[-12:],
        data[:33] + chunk(b"pHYs", bytes(9), 1) + LARGE_TEXT + data[33:],
    ):
        pixels, names = read(file)
        assert np.array_equal(pixels.samples, np.asarray(PICTURE))
        assert "chunk zTXt (of more than 1048576 bytes)" in names


@pytest.mark.parametrize("key", READ_BY_PILLOW)
@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_a_text_is_not_taken_for_what_its_keyword_says(key: str, mode: str) -> None:
    buffer = io.BytesIO()
    PICTURE.convert(mode).save(buffer, "PNG")
    data = buffer.getvalue()
    text = chunk(b"tEXt", key.encode() + b"\0odd")
    for at in (33, len(data) - 12):
        pixels, names = read(data[:at] + text + data[at:])
        assert np.array_equal(pixels.samples, read(data)[0].samples)
        assert info_of(pixels.metadata) == {"text": {key: "odd"}}
        assert names == ()


def test_what_a_text_is_not_taken_for_is_kept() -> None:
    data = saved("PNG", dpi=(300, 300), transparency=(0, 0, 0))
    texts = b"".join(chunk(b"tEXt", key + b"\0odd") for key in (b"dpi", b"transparency"))
    pixels, _ = read(data[:-12] + texts + data[-12:])
    assert pixels.color.has_alpha
    assert info_of(pixels.metadata)["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_a_text_of_the_keyword_comment_is_one_text() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "1")
    info = info_of(read(saved("PNG", pnginfo=text))[0].metadata)
    assert info == {"text": {"comment": "1"}}


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    data = saved("PNG")
    text = chunk(b"tEXt", b"a\x1b[2J\0b")
    (name,) = read(data[:33] + text + text + data[33:])[1]
    assert name.isprintable()


def test_parts_of_a_webp() -> None:
    data = saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    more = data + b"C2PA" + struct.pack("<I", 4) + b"jumb"
    more = more[:4] + struct.pack("<I", len(more) - 8) + more[8:]
    assert read(more)[1] == ("C2PA",)


def test_bits_that_pillow_cuts_are_named() -> None:
    data = bytearray(saved("AVIF"))
    at = data.index(b"pixi") + 4
    assert data[at + 4 : at + 8] == b"\3\x08\x08\x08"
    data[at + 5 : at + 8] = b"\x0a\x0a\x0a"
    file = bytes(data)
    with Image.open(io.BytesIO(saved("AVIF"))) as image:
        assert names_of(image, file, strip=True) == ["bits beyond 8 (of 10)"]


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


def test_text_and_resolution_are_kept() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "me")
    text.add_itxt("Überschrift", "größer")
    info = info_of(read(saved("PNG", pnginfo=text, dpi=(300, 150)))[0].metadata)
    assert info["text"] == {"Author": "me", "Überschrift": "größer"}
    assert np.allclose(info["dpi"], (300, 150), atol=0.02)
    info = info_of(read(saved("JPEG", dpi=(240, 240), comment="a comment"))[0].metadata)
    assert info == {"text": {"Comment": "a comment"}, "dpi": (240, 240)}
    assert read(saved("JPEG"))[0].metadata == ()


def test_the_shape_of_pixels_is_named() -> None:
    jpeg, png = saved("JPEG"), saved("PNG")
    for density, names in ((b"\0\2\0\1", ("pixel aspect ratio",)), (b"\0\2\0\2", ())):
        at = jpeg.index(b"JFIF\0") + 7
        assert read(jpeg[:at] + b"\0" + density + jpeg[at + 5 :])[1] == names
        shape = struct.pack(">IIB", density[1], density[3], 0)
        file = png[:33] + chunk(b"pHYs", shape) + png[33:]
        assert read(file, strip=True)[1] == read(file)[1] == names


def test_a_loaded_file_tells_as_much(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    data = saved("JPEG")
    path.write_bytes(data[:2] + segment(0xEB, C2PA) + data[2:])
    with Image.open(path) as image:
        image.load()
    with pytest.warns(LeftOut, match=r"photo\.jpg is encoded without C2PA"):
        to_pixels(image)


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


def test_heic_and_jpeg_xl_are_read_where_their_packages_are() -> None:
    for package, format in (("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")):
        pytest.importorskip(package)
        read_image(saved("PNG")).close()  # which teaches Pillow
        pixels, names = read(saved(format, quality=90))
        assert np.abs(pixels.samples.astype(int) - np.asarray(PICTURE)).mean() < 12
        assert names == ()


def test_what_the_reader_of_jpeg_xl_does_not_tell() -> None:
    pytest.importorskip("pillow_jxl")
    imagecodecs = pytest.importorskip("imagecodecs")
    ramp = np.linspace(0, 65535, 32 * 48 * 3).astype(np.uint16).reshape(32, 48, 3)
    assert "bits beyond 8 (of 16)" in read(imagecodecs.jpegxl_encode(ramp, lossless=True))[1]
    eight = (ramp >> 8).astype(np.uint8)
    assert read(imagecodecs.jpegxl_encode(eight, lossless=True))[1] == ()
    assert read(imagecodecs.jpegxl_encode(ramp[..., 0].copy(), lossless=True))[1] == ()
    with pytest.raises(ImageError, match="animation"):
        read(imagecodecs.jpegxl_encode(np.stack([eight, eight[::-1]]), lossless=True))
