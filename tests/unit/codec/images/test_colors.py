"""Colour that a file tells by other means than a profile is kept as an equal profile."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from hvae_codec.codec.errors import LeftOut
from hvae_codec.codec.images import Pixels, boxes, info_of, to_pixels, write_image
from hvae_codec.codec.images.jxl import header_of
from hvae_codec.codec.images.profiles import codes_of

PICTURE = Image.new("RGB", (24, 16), (200, 100, 50))
SRGB = ImageCms.createProfile("sRGB")


def png(*chunks: tuple[bytes, bytes], image: Image.Image = PICTURE) -> Image.Image:
    """The picture with chunks behind its header."""
    buffer, more = io.BytesIO(), io.BytesIO()
    image.save(buffer, "PNG")
    for kind, payload in chunks:
        PngImagePlugin.putchunk(more, kind, payload)
    data = buffer.getvalue()
    return Image.open(io.BytesIO(data[:33] + more.getvalue() + data[33:]))


def profile_of(image: Image.Image) -> bytes:
    return info_of(to_pixels(image).metadata).get("icc_profile", b"")


def in_srgb(profile: bytes, image: Image.Image = PICTURE) -> tuple[int, ...]:
    """The first pixel, converted by a colour management that knows nothing of ours."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(image, opened, SRGB, outputMode="RGB")
    assert shown is not None
    pixel = shown.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


def test_display_p3_of_cicp() -> None:
    profile = profile_of(png((b"cICP", bytes([12, 13, 0, 1]))))
    assert np.abs(np.subtract(in_srgb(profile), (215, 93, 31))).max() <= 1
    assert codes_of(profile) == bytes([12, 13, 0, 1])


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_of_cicp_comes_back_as_cicp(transfer: int) -> None:
    codes = bytes([9, transfer, 0, 1])
    pixels = to_pixels(png((b"cICP", codes)))
    assert in_srgb(info_of(pixels.metadata)["icc_profile"])
    for deep in (False, True):
        if deep:
            pytest.importorskip("imagecodecs")
            pixels = Pixels(pixels.samples.astype(np.uint16) * 257, metadata=pixels.metadata)
        buffer = io.BytesIO()
        write_image(buffer, pixels, info_of(pixels.metadata), "PNG")
        assert b"cICP" + codes in buffer.getvalue()


def test_srgb_needs_no_profile() -> None:
    assert not profile_of(png((b"cICP", bytes([1, 13, 0, 1]))))
    assert not profile_of(png((b"gAMA", struct.pack(">I", 45455))))
    assert not profile_of(png((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))))


def test_gamma_and_chromaticities() -> None:
    linear = png((b"gAMA", struct.pack(">I", 100000)))
    assert in_srgb(profile_of(linear))[0] == pytest.approx(229, abs=1)  # of 200 / 255, linear
    points = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)  # Adobe RGB
    wide = png((b"gAMA", struct.pack(">I", 45470)), (b"cHRM", struct.pack(">8I", *points)))
    assert in_srgb(profile_of(wide))[0] > 215
    grey = Image.new("L", (8, 8), 55)
    profile = profile_of(png((b"gAMA", struct.pack(">I", 100000)), image=grey))
    assert in_srgb(profile, grey)[0] == pytest.approx(128, abs=1)


def test_colours_that_no_profile_stands_for_are_named() -> None:
    with pytest.warns(LeftOut, match="primaries 9 and transfer 9"):
        assert not profile_of(png((b"cICP", bytes([9, 9, 0, 1]))))
    with pytest.warns(LeftOut, match="narrow range"):
        assert not profile_of(png((b"cICP", bytes([9, 16, 0, 0]))))


@pytest.mark.parametrize(
    "chunk",
    [(b"cHRM", bytes(32)), (b"cHRM", struct.pack(">8I", *[30000] * 8)), (b"gAMA", b"\0\0\0\1")],
    ids=["zeros", "one point for all", "gamma"],
)
def test_numbers_that_stand_for_no_colours_are_named(chunk: tuple[bytes, bytes]) -> None:
    with pytest.warns(LeftOut, match="gAMA and cHRM"):
        assert not profile_of(png(chunk))


def test_a_profile_of_other_colours_than_the_pixels_is_named() -> None:
    grey_profile = profile_of(png((b"gAMA", b"\0\1\x86\xa0"), image=Image.new("L", (2, 2))))
    image = PICTURE.copy()
    image.info["icc_profile"] = grey_profile
    with pytest.warns(LeftOut, match="ICC profile .of GRAY, not of the pixels"):
        assert not profile_of(image)
    inks = PICTURE.convert("CMYK")
    inks.info["icc_profile"] = ImageCms.ImageCmsProfile(SRGB).tobytes()
    with pytest.warns(LeftOut, match="ICC profile"):
        assert not profile_of(inks)


def test_colours_of_avif() -> None:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "AVIF", quality=90)
    data = bytearray(buffer.getvalue())
    at = data.index(b"colrnclx") + 8
    assert not profile_of(Image.open(io.BytesIO(data)))
    data[at : at + 4] = struct.pack(">HH", 12, 13)
    assert codes_of(profile_of(Image.open(io.BytesIO(data)))) == bytes([12, 13, 0, 1])


def test_adobe_rgb_of_a_camera_outlives_its_exif() -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: "R03"}}
    PICTURE.save(buffer, "JPEG", exif=exif)
    metadata = info_of(to_pixels(Image.open(buffer), strip=True).metadata)
    assert np.abs(np.subtract(in_srgb(metadata["icc_profile"]), (227, 100, 42))).max() <= 2


def test_cut_boxes_are_no_fault_of_ours() -> None:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "AVIF")
    for cut in range(0, len(buffer.getvalue()), 3):
        file = buffer.getvalue()[:cut]
        assert boxes.bits_of(file) == 8
        for look in (boxes.nclx_of, boxes.auxiliaries_of, boxes.jp2_profile, boxes.jp2_bits):
            look(file)
        header_of(file)
