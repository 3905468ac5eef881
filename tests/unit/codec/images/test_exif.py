"""EXIF that nobody vouches for: read in a few steps, and given to Pillow where it is bounded."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hvae_codec.codec.images import (
    Pixels,
    exif_orientation,
    info_of,
    read_image,
    to_pixels,
    write_image,
)
from hvae_codec.codec.images.exif import is_bounded, upright_exif
from hvae_codec.codec.images.segments import exif_of_jpeg

ORIENTATION = 274


def of_pillow(orientation: int, order: str = ">") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[ORIENTATION], exif[271] = orientation, "a maker of cameras"
    exif.get_ifd(34665)[37510] = b"a comment of some bytes"
    return exif.tobytes()


def bomb(orientation: int) -> bytes:
    """EXIF whose tags all point to the same bytes: 3,000 times 20,000 of them."""
    tags = [(ORIENTATION, 3, 1, orientation << 16)]
    tags += [(40_000 + number, 7, 20_000, 38_000) for number in range(3000)]
    directory = b"".join(struct.pack(">HHII", *tag) for tag in tags)
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", len(tags)) + directory + bytes(4)
    return b"Exif\0\0" + exif.ljust(60_000, b"\1")


LOAD = Image.Exif.load


def load_small(exif: Image.Exif, data: bytes) -> None:
    assert len(data) < 10_000, "Pillow reads it"
    LOAD(exif, data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_the_one_that_was_written(orientation: int, order: str) -> None:
    exif = of_pillow(orientation, order)
    assert exif_orientation(exif) == exif_orientation(exif[6:]) == orientation
    assert is_bounded(exif)
    upright = Image.Exif()
    upright.load(upright_exif(exif))
    assert (upright[ORIENTATION], upright[271]) == (1, "a maker of cameras")
    assert upright.get_ifd(34665)[37510] == b"a comment of some bytes"


def test_what_tells_no_orientation_is_upright() -> None:
    nothing = Image.Exif()
    nothing[271] = "a maker of cameras"
    for exif in (b"", b"Exif\0\0", b"no EXIF", nothing.tobytes(), of_pillow(9), of_pillow(0)):
        assert exif_orientation(exif) == 1
    exif = of_pillow(6)
    for end in range(len(exif)):
        assert exif_orientation(exif[:end]) in (1, 6)
        assert len(upright_exif(exif[:end])) == end
        is_bounded(exif[:end])


def test_directories_that_point_to_each_other_come_to_an_end() -> None:
    exif = bytearray(b"II*\0\x08\0\0\0" + struct.pack("<H", 2000))
    for number in range(2000):
        exif += struct.pack("<HHII", 34665, 4, 1, 8 + number % 100)
    assert not is_bounded(bytes(exif))


def test_a_small_exif_is_not_read_by_pillow_where_it_asks_for_much_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exif = bomb(6)
    assert not is_bounded(exif)

    monkeypatch.setattr(Image.Exif, "load", load_small)
    assert exif_orientation(exif) == 6
    image = Image.new("RGB", (3, 2))
    image.putpixel((0, 0), (255, 0, 0))
    image.info["exif"] = exif
    assert info_of(to_pixels(image).metadata)["exif"] == exif
    stripped = to_pixels(image, strip=True)
    assert stripped.samples.shape[:2] == (3, 2)
    assert np.array_equal(np.argwhere(stripped.samples[..., 0]), [[0, 1]])
    for format in ("PNG", "TIFF", "AVIF"):
        size, names = write_image(
            io.BytesIO(), Pixels(np.zeros((2, 3, 3), np.uint8)), {"exif": exif}, format
        )
        assert (size, names) == ((2, 3), ["EXIF"])


@pytest.mark.parametrize("size", [0, 200_000])
def test_a_jpeg_is_refused_before_pillow_reads_what_its_exif_asks_for(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow looks for a resolution there where JFIF tells none."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data, exif = buffer.getvalue(), bomb(6)[6:].ljust(size)
    parts = (b"Exif\0\0" + exif[at : at + 60_000] for at in range(0, len(exif), 60_000))
    segments = b"".join(struct.pack(">HH", 0xFFE1, len(part) + 2) + part for part in parts)
    monkeypatch.setattr(Image.Exif, "load", load_small)
    with pytest.raises(OSError, match="the same bytes again and again"):
        read_image(data[:2] + segments + data[20:])


@pytest.mark.parametrize("marker", [0xC8, 0xD0, 0xD8, 0xD9, 0xF0, 0xFD])
def test_a_marker_that_stands_alone_hides_no_exif(
    marker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow reads on behind it, also behind the end of a JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data, exif = buffer.getvalue(), bomb(6)
    segments = struct.pack(">HH", 0xFFE1, len(exif) + 2) + exif
    segments += struct.pack(">HH", 0xFFFE, 65_000) + bytes(64_998)  # more than a marker's length
    monkeypatch.setattr(Image.Exif, "load", load_small)
    said = "ends before its pixels" if marker == 0xD9 else "again and again"
    with pytest.raises(OSError, match=said):
        read_image(data[:2] + bytes([0xFF, marker]) + segments + data[20:])


def test_of_a_jpeg_no_more_is_read_than_what_stands_before_its_pixels() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0".ljust(60_000, b"\0")
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (900, 900), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", exif=exif, icc_profile=bytes(300_000), quality=95)
    data = buffer.getvalue()
    file = io.BytesIO(data)
    assert exif_of_jpeg(file) == exif[6:]
    assert file.tell() < len(data) - 200_000


def test_an_old_text_of_a_png_is_no_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = bomb(3)
    monkeypatch.setattr(Image.Exif, "load", load_small)
    image = Image.new("L", (3, 2))
    image.info["Raw profile type exif"] = f"\nexif\n{len(exif)}\n{exif.hex()}"
    assert info_of(to_pixels(image).metadata)["exif"] == exif
    assert to_pixels(image, strip=True).size == (2, 3)
