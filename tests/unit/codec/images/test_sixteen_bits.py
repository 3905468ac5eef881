"""Files of 16 bits a channel, in and out."""

import io
import struct
import tracemalloc
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from hvae_codec.codec.errors import ImageError, LeftOut, noting_leftovers
from hvae_codec.codec.images import info_of, read_image, to_pixels
from hvae_codec.codec.images.segments import png_chunks, with_all_pixels
from hvae_codec.codec.images.signatures import PNG
from hvae_codec.codec.images.sixteen_bits import write_sixteen_bits
from tests.pngs import chunk

imagecodecs: Any = pytest.importorskip("imagecodecs")
tifffile: Any = pytest.importorskip("tifffile")

ALL = slice(0, 1 << 20)


def photo(channels: int) -> np.ndarray:
    """A smooth picture that 8 bits do not hold: (12, 20, C)."""
    rows, columns, channel = np.mgrid[:12, :20, :channels]
    return (1000 + 4097 * rows + 17 * columns + 3001 * channel).astype(np.uint16)


def read(data: bytes) -> np.ndarray:
    return to_pixels(Image.open(io.BytesIO(data))).crop(ALL, ALL)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_what_is_written_is_read(format: str, channels: int) -> None:
    info = {"icc_profile": b"profile", "xmp": b"<x/>"}
    data = write_sixteen_bits(photo(channels), format, info)
    image = read_image(data)
    is_unknown_to_pillow = (format, channels) == ("TIFF", 2)
    assert (image.format, image.size) == ("PNG" if is_unknown_to_pillow else format, (20, 12))
    assert np.array_equal(to_pixels(image).samples, photo(channels))
    kept = info_of(to_pixels(image).metadata)  # of TIFF also resolution and software, as EXIF
    assert kept | info == kept


def test_tags_of_a_tiff_that_pillow_does_not_open_are_kept() -> None:
    buffer = io.BytesIO()
    tags = [(0x010E, "s", 0, "a description", True), (0x0112, "H", 1, 6, True)]
    options: dict[str, Any] = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(buffer, photo(2), **options, metadata=None, extratags=tags)
    pixels = to_pixels(read_image(buffer.getvalue()))
    assert np.array_equal(pixels.samples, np.rot90(photo(2), -1))
    exif = Image.Exif()
    exif.load(info_of(pixels.metadata)["exif"])
    assert (exif[0x010E], exif.get(0x0112)) == ("a description", None)
    no_alpha = io.BytesIO()
    tifffile.imwrite(no_alpha, photo(2), photometric="minisblack", extrasamples=["unspecified"])
    for other in (buffer.getvalue()[:100], buffer.getvalue()[:-100], no_alpha.getvalue()):
        with pytest.raises(OSError, match="TIFF of a kind that Pillow does not know"):
            read_image(other)


def test_exif_goes_into_png() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = write_sixteen_bits(photo(3), "PNG", {"exif": exif.tobytes()})
    assert Image.open(io.BytesIO(data)).getexif()[0x010E] == "a description"
    with pytest.raises(ImageError, match="JPEG does not hold 16 bits"):
        write_sixteen_bits(photo(3), "JPEG", {})


def test_of_an_animation_only_the_first_picture_is_read() -> None:
    still = write_sixteen_bits(photo(3), "PNG", {})
    begin, at = still[:33], still.index(b"IDAT")
    (size,) = struct.unpack(">I", still[at - 4 : at])
    pixels = still[at + 4 : at + 4 + size]
    frames = [struct.pack(">IIIIIHHBB", n, 20, 12, 0, 0, 1, 10, 0, 0) for n in (0, 1)]
    data = begin + chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frames[0])
    data += chunk(b"IDAT", pixels) + chunk(b"fcTL", frames[1])
    data += chunk(b"fdAT", struct.pack(">I", 2) + pixels) + chunk(b"IEND", b"")
    with pytest.warns(LeftOut, match="1 more picture"):
        first = to_pixels(Image.open(io.BytesIO(data)), page=1)
    assert np.array_equal(first.samples, photo(3))
    with pytest.raises(ImageError, match="only the first picture"):
        to_pixels(Image.open(io.BytesIO(data)), page=2)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [3, 4])
def test_planes_that_lie_apart(
    channels: int, compression: str | None, byteorder: Literal["<", ">"]
) -> None:
    buffer, planes = io.BytesIO(), np.moveaxis(photo(channels), -1, 0)
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(
        buffer, planes, photometric="rgb", planarconfig="separate", compression=compression,
        byteorder=byteorder, metadata=None, **options,
    )  # fmt: skip
    assert np.array_equal(read(buffer.getvalue()), photo(channels))


def test_planes_of_inks_that_lie_apart_are_refused() -> None:
    buffer, planes = io.BytesIO(), np.moveaxis(photo(4), -1, 0)
    tifffile.imwrite(buffer, planes, photometric="separated", planarconfig="separate")
    with pytest.raises(ImageError, match="CMYK"):
        read(buffer.getvalue())


def test_grey_whose_zero_is_white() -> None:
    buffer, grey = io.BytesIO(), photo(1)
    tifffile.imwrite(buffer, 65535 - grey[..., 0], photometric="miniswhite", metadata=None)
    assert np.array_equal(read(buffer.getvalue()), grey)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_becomes_alpha(channels: int) -> None:
    samples = photo(channels)
    data = write_sixteen_bits(samples, "PNG", {})
    color = samples[3, 4].astype(">u2").tobytes()
    chunk = io.BytesIO()
    PngImagePlugin.putchunk(chunk, b"tRNS", color)
    found = read(data[:33] + chunk.getvalue() + data[33:])
    assert np.array_equal(found[..., :channels], samples)
    assert found[3, 4, channels] == 0
    assert np.count_nonzero(found[..., channels] == 65535) == 12 * 20 - 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright_as_pillow_does(orientation: int) -> None:
    found = {}
    for channels in (1, 3):
        buffer = io.BytesIO()
        tags = [(274, "H", 1, orientation, True)]
        picture = photo(channels) if channels > 1 else photo(1)[..., 0]
        kind = "rgb" if channels > 1 else "minisblack"
        tifffile.imwrite(buffer, picture, photometric=kind, extratags=tags, metadata=None)
        found[channels] = read(buffer.getvalue())
        stripped = to_pixels(Image.open(buffer), strip=True)
        assert np.array_equal(stripped.crop(ALL, ALL), found[channels])
    assert np.array_equal(found[1][..., 0], found[3][..., 0])  # Pillow turns grey ones


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stripping_turns_a_png_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = Image.fromarray((photo(3) >> 8).astype(np.uint8))
    buffer = io.BytesIO()
    shallow.save(buffer, "PNG", exif=exif)
    expected = to_pixels(Image.open(buffer), strip=True).crop(ALL, ALL)
    data = write_sixteen_bits(photo(3), "PNG", {"exif": exif.tobytes()})
    kept, stripped = (to_pixels(Image.open(io.BytesIO(data)), strip=s) for s in (False, True))
    assert np.array_equal(kept.crop(ALL, ALL), photo(3))
    assert np.array_equal(stripped.crop(ALL, ALL) >> 8, expected)
    assert kept.metadata
    assert not stripped.metadata


@pytest.mark.parametrize(
    ("options", "dtype", "channels"),
    [
        ({"photometric": "rgb", "extrasamples": ["assocalpha"]}, np.uint16, 4),
        ({"photometric": "separated"}, np.uint16, 4),
        ({"photometric": "rgb"}, np.float32, 3),
        ({"photometric": "minisblack"}, np.int16, 1),
    ],
    ids=str,
)
def test_kinds_of_tiff_that_would_lose_something_are_refused(
    options: dict[str, Any], dtype: type, channels: int
) -> None:
    buffer = io.BytesIO()
    picture = photo(channels).astype(dtype)
    tifffile.imwrite(buffer, picture[..., 0] if channels == 1 else picture, **options)
    with pytest.raises((ImageError, OSError)), read_image(buffer.getvalue()) as image:
        to_pixels(image)


@pytest.mark.parametrize(
    ("dtype", "channels", "extra", "kept", "name"),
    [
        (np.uint8, 4, ["unspecified"], 3, "1 extra channel"),
        (np.uint8, 5, ["unspecified"] * 2, 3, "2 extra channels"),
        (np.uint8, 5, ["unassalpha", "unspecified"], 4, "1 extra channel"),
        (np.uint8, 2, ["unspecified"], 1, "1 extra channel"),
        (np.uint16, 4, ["unspecified"], 3, "1 extra channel"),
        (np.uint16, 4, ["unassalpha"], 4, None),
    ],
)
def test_extra_channels_of_a_tiff_are_named(
    dtype: type, channels: int, extra: list[str], kept: int, name: str | None
) -> None:
    buffer = io.BytesIO()
    picture = (photo(channels) >> 8).astype(dtype)
    kind = "rgb" if channels > 3 else "minisblack"
    tifffile.imwrite(buffer, picture, photometric=kind, extrasamples=extra)
    for strip in (False, True):
        with noting_leftovers() as names:
            pixels = to_pixels(Image.open(buffer), strip=strip)
        assert np.array_equal(pixels.samples, picture[..., :kept])
        assert names == ([name] if name else [])


def test_a_fourth_channel_of_no_name_is_alpha() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(4), photometric="rgb", extrasamples=["unassalpha"])
    data = buffer.getvalue()
    tag = data.index(struct.pack("<HHI", 338, 3, 1))
    nameless = data[:tag] + struct.pack("<HH", 337, 3) + data[tag + 4 :]
    assert np.array_equal(read(nameless), photo(4))


@pytest.mark.parametrize(
    "data",
    [
        b"P6 2 1 65535\n" + bytes(12),
        b"P6 2 1 1023\n" + bytes(12),
        b"P5 2 1 65535\n" + bytes(4),
        b"P3 2 1 65535\n0 0 0 0 0 0\n",
    ],
)
def test_deep_ppm_is_refused_and_not_cut(data: bytes) -> None:
    with pytest.raises(ImageError, match="supported"):
        read(data)


def test_16_bits_a_pixel_are_not_16_a_channel() -> None:
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    info = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 2835, 2835, 0, 0) + masks
    head = struct.pack("<2sIHHI", b"BM", 14 + len(info) + 4, 0, 0, 14 + len(info))
    samples = read(head + info + struct.pack("<HH", 0xF800, 0x001F))
    assert samples.dtype == np.uint8
    assert samples.tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_the_image_that_is_given_stays_as_it_is() -> None:
    image = Image.open(io.BytesIO(write_sixteen_bits(photo(3), "PNG", {})))
    first, second = to_pixels(image), to_pixels(image)
    assert first.bit_depth == second.bit_depth == 16


def test_metadata_behind_the_pixels_is_found() -> None:
    data, chunk = write_sixteen_bits(photo(3), "PNG", {}), io.BytesIO()
    PngImagePlugin.putchunk(chunk, b"iTXt", b"XML:com.adobe.xmp" + b"\0" * 5 + b"<x/>")
    end = data.index(b"IEND") - 4
    pixels = to_pixels(Image.open(io.BytesIO(data[:end] + chunk.getvalue() + data[end:])))
    assert info_of(pixels.metadata) == {"xmp": b"<x/>"}


def interlaced(samples: np.ndarray) -> bytes:
    """Return a PNG of seven passes, of 16-bit RGB."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    rows = b""
    for left, top, across, down in (*passes, (0, 1, 1, 2)):
        for row in samples[top::down, left::across]:
            rows += b"\0" + row.astype(">u2").tobytes()
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, 2, 0, 0, 1)
    pieces = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


@pytest.mark.parametrize("is_interlaced", [False, True])
def test_what_is_left_of_a_damaged_png_keeps_its_16_bits(
    is_interlaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).integers(1, 1 << 16, (64, 48, 3)).astype(np.uint16)
    data = interlaced(samples) if is_interlaced else write_sixteen_bits(samples, "PNG", {})
    cut = data[: len(data) // 2]
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    for damaged in (cut, bytes(flipped)):
        with pytest.raises(ImageError):
            read(damaged)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(read(data), samples)
    for damaged in (cut, bytes(flipped)):
        found = read(damaged)
        assert found.dtype == np.uint16
        assert 0.4 < (found == samples).mean() < 1


def test_without_its_library_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = write_sixteen_bits(photo(3), "PNG", {})
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(ImageError, match="hvae-codec\\[deep\\]"):
        read(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_volume_is_refused(channels: int, dtype: type) -> None:
    samples = np.zeros((16, 32, 32, channels), dtype)
    kinds: dict[int, dict[str, Any]] = {
        1: {"photometric": "minisblack"},
        2: {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
        3: {"photometric": "rgb"},
    }
    options, buffer = kinds[channels], io.BytesIO()
    options |= {"planarconfig": "contig"} if channels > 1 else {}
    samples = samples[..., 0] if channels == 1 else samples
    tifffile.imwrite(buffer, samples, volumetric=True, metadata=None, **options)
    with (
        pytest.raises((OSError, ImageError), match="a volume of 16 planes"),
        read_image(buffer.getvalue()) as image,
    ):
        to_pixels(image)


@pytest.mark.parametrize("channels", [2, 3])
def test_a_tiff_of_too_many_pixels_is_refused_before_it_is_unpacked(
    channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_sixteen_bits(np.zeros((12, 20, channels), np.uint16), "TIFF", {})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda *arguments, **options: pytest.fail("unpacked")
    )
    with pytest.raises(OSError, match=r"240 pixels. exceeds limit of 200 pixels"):
        read_image(data)


def test_channels_that_nobody_expects_count_as_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sixteen_bits(photo(2), "TIFF", {})
    of_two, of_many = (struct.pack("<HHII", 277, 3, 1, count) for count in (2, 60_000))
    assert data.count(of_two) == 1
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda *arguments, **options: pytest.fail("unpacked")
    )
    with pytest.raises(OSError, match="exceeds limit of 2000 pixels"):
        read_image(data.replace(of_two, of_many))


def test_damaged_pixels_are_unpacked_up_to_their_number() -> None:
    """What a damaged PNG packs may be a thousand times as much."""
    png, packed = (
        write_sixteen_bits(np.zeros((8, 8, 3), np.uint16), "PNG", {}),
        zlib.compress(bytes(1 << 28), 9),
    )
    kept = [(c.kind, c.payload) for c in png_chunks(png)]
    bomb = b"".join(chunk(k, packed if k == b"IDAT" else p) for k, p in kept)
    tracemalloc.start()
    whole = with_all_pixels(PNG + bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 21
    assert [c.kind for c in png_chunks(whole)] == [b"IHDR", b"IDAT", b"IEND"]
