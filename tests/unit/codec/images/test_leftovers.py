"""What is not kept of an image's file is named."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from hvae_codec.bitstream import MetadataKind
from hvae_codec.codec.errors import ImageError, LeftOut
from hvae_codec.codec.images import info_of, read_image, to_pixels
from hvae_codec.codec.images.leftovers import names_of
from hvae_codec.codec.images.segments import READ_BY_PILLOW
from tests.pngs import chunk

from .conftest import PICTURE, read, saved, segment

IPTC = b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\5\x1c\2x\0\0"
C2PA = b"JP\0\1\0\0\0\1\0\0\0\x08jumb"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40


LARGE_TEXT = chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(2 << 20)))


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


def test_many_texts_are_no_way_to_a_large_file() -> None:
    data = saved("PNG")
    packed = zlib.compress(bytes(1 << 20), 9)
    texts = b"".join(chunk(b"zTXt", b"key %d\0\0" % k + packed) for k in range(64))
    pixels, names = read(data[:33] + texts + data[33:])
    assert names == ("texts beyond 4194304 bytes",)
    assert len(info_of(pixels.metadata)["text"]) == 4


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


@pytest.mark.parametrize(
    ("kind", "name"), [(b"C2PA", "C2PA"), (b"x\x1b[m", "chunk x\N{REPLACEMENT CHARACTER}[m")]
)
def test_parts_of_a_webp(kind: bytes, name: str) -> None:
    data = saved("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    more = data + kind + struct.pack("<I", 4) + b"jumb"
    more = more[:4] + struct.pack("<I", len(more) - 8) + more[8:]
    assert read(more)[1] == (name,)


def test_bits_that_pillow_cuts_are_named() -> None:
    data = bytearray(saved("AVIF"))
    at = data.index(b"pixi") + 4
    assert data[at + 4 : at + 8] == b"\3\x08\x08\x08"
    data[at + 5 : at + 8] = b"\x0a\x0a\x0a"
    file = bytes(data)
    with Image.open(io.BytesIO(saved("AVIF"))) as image:
        assert names_of(image, file, strip=True) == ["bits beyond 8 (of 10)"]


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
