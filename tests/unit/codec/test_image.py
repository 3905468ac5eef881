import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import Color, MetadataKind
from hvae_codec.codec.errors import ImageError
from hvae_codec.codec.image import Pixels, from_pixels, to_pixels

PICTURE = Image.effect_mandelbrot((20, 12), (-2, -1.5, 1, 1.5), 50).convert("RGB")
RAMP = Image.linear_gradient("L").resize((20, 12))


@pytest.mark.parametrize("mode", ["RGB", "P", "YCbCr", "CMYK", "RGBX"])
def test_colour_modes_become_rgb(mode: str) -> None:
    image = Image.merge("RGB", (RAMP, RAMP.rotate(180), RAMP)).convert(mode)
    pixels = to_pixels(image)
    assert pixels.color == Color.RGB
    assert pixels.rgb.shape == (12, 20, 3)
    assert np.array_equal(pixels.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_modes_stay_grey(mode: str) -> None:
    image = RAMP.convert(mode)
    pixels = to_pixels(image)
    assert pixels.color == Color.GREY
    assert np.array_equal(pixels.rgb[..., 0], np.asarray(image.convert("L")))
    assert (pixels.rgb[..., 0] == pixels.rgb[..., 2]).all()
    assert from_pixels(pixels).mode == "L"


@pytest.mark.parametrize(
    ("mode", "color"), [("RGBA", Color.RGB), ("LA", Color.GREY), ("PA", Color.RGB)]
)
def test_opaque_alpha_is_dropped_and_any_other_refused(mode: str, color: Color) -> None:
    image = RAMP.convert("RGBA").convert(mode)
    pixels = to_pixels(image)
    assert pixels.color == color
    assert np.array_equal(pixels.rgb, np.asarray(RAMP.convert("RGB")))
    image.putalpha(Image.new("L", image.size, 254))
    with pytest.raises(ImageError, match="transparent pixels"):
        to_pixels(image)


@pytest.mark.parametrize(("mode", "black"), [("L", 0), ("RGB", (0, 0, 0)), ("P", 0)])
def test_a_transparent_colour_is_refused_where_it_occurs(mode: str, black: object) -> None:
    image = Image.new("RGB", (4, 4)).convert(mode)
    image.info["transparency"] = black
    with pytest.raises(ImageError, match="transparent"):
        to_pixels(image)
    if mode != "P":
        image.info["transparency"] = 9 if mode == "L" else (9, 9, 9)
        assert not to_pixels(image).rgb.any()


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "La", "I;16B"])
@pytest.mark.parametrize("transparency", [False, True])
def test_modes_that_would_lose_something_are_refused(mode: str, transparency: bool) -> None:
    image = Image.new(mode, (4, 4))
    if transparency:
        image.info["transparency"] = 0
    with pytest.raises(ImageError):
        to_pixels(image)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="0x5"):
        to_pixels(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    pixels = to_pixels(array)
    assert pixels.rgb.shape == (5, 4, 3)
    assert pixels.color == (Color.RGB if shape[2:] == (3,) else Color.GREY)
    assert np.array_equal(pixels.rgb[..., 0].ravel(), array.reshape(5, 4, -1)[..., 0].ravel())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="the array"):
        to_pixels(array)


def test_metadata_is_kept_verbatim() -> None:
    info = {"icc_profile": b"\0profile", "exif": b"Exif\0\0MM\0*", "xmp": b"<x:xmpmeta/>"}
    image = PICTURE.copy()
    image.info.update(info, dpi=(72, 72))
    pixels = to_pixels(image)
    assert [kind for kind, _ in pixels.metadata] == sorted(MetadataKind)
    assert from_pixels(pixels).info == info


def test_metadata_of_a_real_file_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", exif=exif, icc_profile=b"p" * 200)
    with Image.open(buffer) as opened:
        back = from_pixels(to_pixels(opened))
    assert back.getexif()[0x010E] == "a description"
    assert back.info["icc_profile"] == b"p" * 200


def test_a_profile_of_other_channels_is_not_kept() -> None:
    image = PICTURE.convert("CMYK")
    image.info["icc_profile"] = b"a profile of inks"
    assert "icc_profile" not in from_pixels(to_pixels(image)).info


def test_pixels_come_back() -> None:
    rgb = np.asarray(PICTURE)
    assert np.array_equal(np.asarray(from_pixels(Pixels(rgb, Color.RGB))), rgb)


def test_sixteen_bits_are_refused_and_not_cut() -> None:
    deep = np.arange(20 * 12 * 3, dtype=">u2").reshape(12, 20, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 20, 12, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    with pytest.raises(ImageError, match="16 bits"):
        to_pixels(Image.open(io.BytesIO(png)))


def test_metadata_of_an_image_that_is_not_loaded_yet_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    buffer = io.BytesIO()
    PICTURE.save(buffer, "TIFF", exif=exif)
    back = from_pixels(to_pixels(Image.open(buffer)))
    assert back.getexif()[0x010E] == "a description"
