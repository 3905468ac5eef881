"""Every kind of image that Pillow opens: what is kept of it, and what is refused."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from hvae_codec.bitstream import Color, MetadataKind
from hvae_codec.codec.errors import ImageError, LeftOut
from hvae_codec.codec.images import Pixels, grey_picture, info_of, to_image, to_pixels
from tests.pngs import SIGNATURE, chunk

RAMP = Image.linear_gradient("L").resize((20, 12))
PICTURE = Image.merge("RGB", (RAMP, RAMP.rotate(180), RAMP))
ORIENTATION = 0x0112


def saved(image: Image.Image, format: str, **options: Any) -> Image.Image:  # noqa: ANN401
    """The image, written and opened again, not loaded."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return Image.open(buffer)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *more: Any) -> Image.Image:  # noqa: ANN401
    """Open a PNG of packed rows, each of which begins with its filter."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)), *more]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return Image.open(io.BytesIO(SIGNATURE + b"".join(chunk(*each) for each in chunks)))


@pytest.mark.parametrize(
    ("mode", "target"),
    [
        *[("1", "L"), ("L", "L"), ("LA", "LA"), ("La", "LA"), ("PA", "RGBA"), ("RGBa", "RGBA")],
        *[("RGB", "RGB"), ("RGBX", "RGB"), ("P", "RGB"), ("YCbCr", "RGB"), ("CMYK", "RGB")],
        ("RGBA", "RGBA"),
    ],
)
def test_modes(mode: str, target: str) -> None:
    image = PICTURE.convert("RGBA")
    image.putalpha(RAMP)
    steps = {"La": "LA", "RGBa": "RGBA", "PA": "P", "YCbCr": "RGB", "CMYK": "RGB", "P": "RGB"}
    for step in filter(None, [steps.get(mode), mode]):
        image = image.convert(step)
    pixels = to_pixels(image)
    assert np.array_equal(pixels.samples.squeeze(), np.asarray(image.convert(target)))
    assert pixels.color.channels == len(target)
    assert to_image(Pixels(pixels.samples), {}).mode == target


def test_a_part_is_cut_and_converted_alone() -> None:
    image = PICTURE.quantize(16)
    part = to_pixels(image).crop(slice(3, 7), slice(5, 100))
    assert np.array_equal(part, np.asarray(image.convert("RGB"))[3:7, 5:])


@pytest.mark.parametrize(("mode", "black"), [("L", 0), ("RGB", (0, 0, 0)), ("P", 0)])
def test_a_transparent_colour_becomes_alpha(mode: str, black: Any) -> None:  # noqa: ANN401
    image = Image.new("RGB", (4, 4))
    image.paste((255, 255, 255), (0, 0, 2, 4))
    image = image.convert(mode) if mode != "P" else image.quantize(2)
    black = image.getpixel((3, 3)) if mode == "P" else black
    opened = saved(image, "PNG", transparency=black)
    pixels = to_pixels(opened)
    assert pixels.color == (Color.GREY_ALPHA if mode == "L" else Color.RGB_ALPHA)
    assert (pixels.samples[..., -1] == np.array([255, 255, 0, 0])).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("transparent", [None, 0, 1])
def test_grey_of_few_bits(depth: int, transparent: int | None) -> None:
    top = 2**depth - 1
    levels = [1, 0, top, 1 % (top + 1), 0, 1, top, top]
    packed = int("".join(f"{level:0{depth}b}" for level in levels), 2).to_bytes(depth, "big")
    more = [] if transparent is None else [(b"tRNS", struct.pack(">H", transparent))]
    found = to_pixels(png(8, 1, depth, 0, b"\0" + packed, *more)).samples
    assert found[0, :, 0].tolist() == [level * 255 // top for level in levels]
    if transparent is not None:
        assert found[0, :, 1].tolist() == [255 * (level != transparent) for level in levels]


def test_palette_with_partial_transparency() -> None:
    more = [(b"PLTE", bytes(range(12))), (b"tRNS", bytes([0, 100, 255]))]
    found = to_pixels(png(4, 1, 8, 3, b"\0\0\1\2\3", *more)).samples
    assert found.tolist() == [[[0, 1, 2, 0], [3, 4, 5, 100], [6, 7, 8, 255], [9, 10, 11, 255]]]


def test_interlaced_and_tiny_files() -> None:
    # Pillow writes no interlaced PNG; of one pixel, the first pass is all
    data = bytearray(png(1, 1, 8, 2, b"\0\x11\x22\x33").fp.getvalue())  # type: ignore[union-attr]
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert to_pixels(Image.open(io.BytesIO(data))).samples.tolist() == [[[0x11, 0x22, 0x33]]]
    assert to_pixels(saved(Image.new("L", (1, 1), 7), "PNG")).samples.tolist() == [[[7]]]


@pytest.mark.parametrize("mode", ["I", "F", "LAB", "HSV"])
@pytest.mark.parametrize("transparency", [False, True])
def test_modes_that_would_lose_something_are_refused(mode: str, transparency: bool) -> None:
    image = Image.new(mode, (4, 4))
    if transparency:
        image.info["transparency"] = 0
    with pytest.raises(ImageError, match=f"mode {mode} are not supported"):
        to_pixels(image)


def test_animations_are_refused() -> None:
    frames = saved(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)])
    with pytest.raises(ImageError, match="the file has 2 pictures"):
        to_pixels(frames)
    with pytest.raises(ImageError, match="the file has 2 pictures"):
        to_pixels(frames, strip=True)
    assert to_pixels(frames.copy()).samples.shape == (12, 20, 3)


def test_of_a_cameras_file_the_first_picture_is_kept_and_the_others_named() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    opened = saved(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)], exif=exif)
    with pytest.warns(LeftOut, match="is encoded without 1 more picture"):
        pixels = to_pixels(opened)
    assert np.abs(pixels.samples.astype(int) - np.asarray(PICTURE)).mean() < 10  # JPEG
    assert b"a camera" in info_of(pixels.metadata)["exif"]


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="0x5"):
        to_pixels(Image.new("RGB", (0, 5)))


def test_a_damaged_file_is_refused_in_one_line() -> None:
    buffer = io.BytesIO()
    PICTURE.resize((300, 300)).save(buffer, "PNG")
    with pytest.raises(ImageError, match="cannot be read") as caught:
        to_pixels(Image.open(io.BytesIO(buffer.getvalue()[:-300])))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 2), (5, 4, 3), (5, 4, 4)])
def test_arrays(shape: tuple[int, ...], dtype: type) -> None:
    array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    pixels = to_pixels(array)
    assert pixels.bit_depth == np.dtype(dtype).itemsize * 8
    assert np.array_equal(pixels.samples, array.reshape(5, 4, -1))


def test_arrays_of_other_kinds_are_taken_for_what_they_hold() -> None:
    array = np.arange(20, dtype=np.uint16).reshape(5, 4) * 1000
    matrix, masked = np.matrix(array), np.ma.array(array)
    for other in (array.astype(">u2"), matrix, masked):
        pixels = to_pixels(other)
        assert type(pixels.source) is np.ndarray
        assert pixels.source.dtype.isnative
        assert np.array_equal(pixels.samples, array[..., None])
    masked[0, 0] = np.ma.masked
    with pytest.raises(ImageError, match="masked"):
        to_pixels(masked)


def test_an_array_has_one_page() -> None:
    array = np.zeros((5, 4), np.uint8)
    assert to_pixels(array, page=1).size == (5, 4)
    with pytest.raises(ImageError, match=r"page 2 is outside 1\.\.\.1"):
        to_pixels(array, page=2)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 3), np.int16),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="the array"):
        to_pixels(array)


def test_metadata_is_kept_verbatim_or_stripped() -> None:
    info = {"icc_profile": b"\0profile", "exif": b"Exif\0\0MM\0*", "xmp": b"<x:xmpmeta/>"}
    image = PICTURE.copy()
    image.info.update(info, dpi=(72, 72))
    pixels = to_pixels(image)
    kinds = [MetadataKind.ICC, MetadataKind.EXIF, MetadataKind.XMP, MetadataKind.DPI]
    assert [kind for kind, _ in pixels.metadata] == kinds
    assert info_of(pixels.metadata) == info | {"dpi": (72, 72)}
    assert to_image(Pixels(pixels.samples), info).info == info
    assert info_of(to_pixels(image, strip=True).metadata) == {
        "icc_profile": b"\0profile",
        "dpi": (72, 72),
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_metadata_of_real_files_is_kept(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    opened = saved(PICTURE, format, exif=exif, icc_profile=b"p" * 200, xmp=b"<x/>")
    info = info_of(to_pixels(opened).metadata)
    back = to_image(Pixels(np.zeros((1, 1, 3), np.uint8)), info)
    assert back.getexif()[0x010E] == "a description"
    assert 0x0100 not in back.getexif()  # what TIFF says of its pixels is no EXIF
    assert back.info["icc_profile"] == b"p" * 200
    if format not in ("PNG", "TIFF"):  # to which Pillow writes no XMP; see test_sixteen_bits.py
        assert back.info["xmp"] == b"<x/>"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_orientation_is_applied_once(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    options |= {"lossless": True} if format == "WEBP" else {}
    file = io.BytesIO()
    PICTURE.save(file, format, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file))).astype(int)
    kept, stripped = to_pixels(Image.open(file)), to_pixels(Image.open(file), strip=True)
    shown = ImageOps.exif_transpose(to_image(Pixels(kept.samples), info_of(kept.metadata)))
    assert np.array_equal(np.asarray(shown), upright)
    assert np.array_equal(stripped.samples, upright)
    assert not stripped.metadata


def test_exif_of_a_png_from_before_it_had_a_chunk_for_it() -> None:
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010E] = 6, "a description"
    text = PngImagePlugin.PngInfo()
    data = exif.tobytes()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8d}\n{data.hex()}\n", zip=True)
    found = info_of(to_pixels(saved(PICTURE, "PNG", pnginfo=text)).metadata)
    back = to_image(Pixels(np.zeros((1, 1, 3), np.uint8)), found).getexif()
    assert (back[ORIENTATION], back[0x010E]) == (6, "a description")


def test_how_a_tiff_was_compressed_is_no_exif() -> None:
    opened = saved(PICTURE, "TIFF", compression="jpeg")
    assert opened.tag_v2[347]  # type: ignore[attr-defined]
    assert not to_pixels(opened).metadata


def test_exif_of_a_bigtiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    PICTURE.save(tmp_path / "big.tif", "TIFF", exif=exif, big_tiff=True)
    with Image.open(tmp_path / "big.tif") as image:
        found = info_of(to_pixels(image).metadata)
    back = Image.Exif()
    back.load(found["exif"])
    assert dict(back) == {0x010E: "a description"}


def test_a_file_that_lies_there_by_now_is_not_the_images(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PICTURE.save(path)
    image = Image.open(path)
    image.load()
    noted = PngImagePlugin.PngInfo()
    noted.add(b"cICP", bytes([9, 16, 0, 1]))  # Rec. 2100 PQ
    PICTURE.transpose(Image.Transpose.ROTATE_180).save(path, pnginfo=noted)
    assert not to_pixels(image).metadata
    PICTURE.save(path, pnginfo=noted)  # the same pixels: its own file, as far as one can tell
    assert to_pixels(image).metadata


def test_drawings_are_not_run() -> None:
    begin = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    with pytest.raises(ImageError, match="EPS is a drawing"):
        to_pixels(Image.open(io.BytesIO(begin)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_mask_is_grey_upright_and_of_eight_bits(tmp_path: Path, orientation: int) -> None:
    ramp = np.linspace(0, 65535, 12 * 8).astype(np.uint16).reshape(12, 8)
    wanted = (ramp.astype(np.uint32) + 128) // 257
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = wanted.astype(np.uint8) if orientation == 1 else np.rot90(wanted.astype(np.uint8))
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "8.png", exif=exif)
    assert np.array_equal(np.asarray(grey_picture(tmp_path / "8.png")), wanted)
    assert np.array_equal(np.asarray(grey_picture(ramp)), wanted)
    Image.fromarray(ramp).save(tmp_path / "16.png")
    assert np.array_equal(np.asarray(grey_picture(tmp_path / "16.png")), wanted)


def test_cmyk_is_converted_and_its_profile_dropped() -> None:
    image = PICTURE.convert("CMYK")
    image.info["icc_profile"] = b"a profile of inks"
    with pytest.warns(LeftOut, match="ICC profile"):  # it is none
        pixels = to_pixels(image)
    assert not pixels.metadata
    opened = saved(PICTURE.convert("CMYK"), "JPEG", quality=95)
    assert opened.mode == "CMYK"
    assert np.abs(to_pixels(opened).samples - np.asarray(PICTURE).astype(int)).mean() < 10  # JPEG


def test_the_image_that_is_encoded_stays_as_it_is() -> None:
    image = Image.new("RGB", (4, 4))
    image.info = {"dpi": "a text", "Title": "kept"}
    assert to_pixels(image).size == (4, 4)
    assert image.info == {"dpi": "a text", "Title": "kept"}
