"""JPEG XL: what its header tells, before and after its reader has unpacked it."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.codec.errors import noting_leftovers
from hvae_codec.codec.images import info_of, read_image, to_pixels
from hvae_codec.codec.images.boxes import boxes_in
from hvae_codec.codec.images.jxl import header_of

PICTURE = Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), 40).convert("RGB")
SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def packed(*fields: tuple[int, int]) -> bytes:
    """A codestream of fields (value, bits), from the lowest bit on."""
    value = at = 0
    for field, bits in fields:
        value |= field << at
        at += bits
    return b"\xff\x0a" + value.to_bytes(at // 8 + 20, "little")


def pieces(codestream: bytes, size: int = 3) -> bytes:
    """A file whose codestream lies in boxes of a few bytes."""
    parts = [codestream[at : at + size] for at in range(0, len(codestream), size)]
    numbered = (struct.pack(">I", number) + part for number, part in enumerate(parts))
    return SIGNATURE + b"".join(box(b"jxlp", part) for part in numbered)


LARGE = packed((0, 1), (3, 2), (19_999, 30), (1, 3), (1, 1))  # a square of 20,000 pixels a side


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (LARGE, (20_000, 20_000)),
        (packed((1, 1), (3, 5), (2, 3), (1, 1)), (38, 32)),  # 12 to 10
        (packed((0, 1), (0, 2), (99, 9), (0, 3), (1, 2), (299, 13), (1, 1)), (300, 100)),
        (SIGNATURE + box(b"jxlc", LARGE), (20_000, 20_000)),
        (SIGNATURE + struct.pack(">I4sQ", 1, b"jxlc", 1 << 40) + LARGE, (20_000, 20_000)),  # cut
        (pieces(LARGE), (20_000, 20_000)),
    ],
    ids=["bare", "small", "two sides", "in a box", "in a box that is cut", "in pieces"],
)
def test_the_size_is_read_wherever_the_header_lies(file: bytes, size: tuple[int, int]) -> None:
    header = header_of(file)
    assert (header.width, header.height) == size
    assert (header.bits, header.orientation, header.is_animation) == (8, 1, False)


@pytest.mark.parametrize(
    "file",
    [LARGE, SIGNATURE + box(b"jxlc", LARGE), pieces(LARGE)],
    ids=["bare", "in a box", "in pieces"],
)
def test_more_pixels_than_the_limit_are_refused_before_they_are_unpacked(
    file: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(file)
    for source in (file, path):
        with pytest.raises(OSError, match=r"400000000 pixels. exceeds limit"):
            read_image(source)


def test_a_picture_is_turned_once(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    read_image(png()).close()  # which teaches Pillow
    exif = Image.Exif()
    exif[274], exif[271] = 6, "a maker of cameras"
    PICTURE.save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as photo:
        photo.save(tmp_path / "a.jxl", lossless_jpeg=True)
    file = (tmp_path / "a.jxl").read_bytes()
    assert header_of(file).orientation == 6
    with noting_leftovers() as names, read_image(file) as image:  # the JPEG, as it was
        pixels = to_pixels(image)
    assert (pixels.size, names) == ((32, 48), [])
    assert orientation(info_of(pixels.metadata)["exif"]) == 6

    kept = [(kind, payload) for kind, payload in boxes_in(file) if kind not in (b"jbrd", b"brob")]
    kept.insert(2, (b"Exif", bytes(4) + exif.tobytes()[6:]))
    turned = b"".join(box(kind, payload) for kind, payload in kept)
    for strip in (False, True):
        with read_image(turned) as image:
            pixels = to_pixels(image, strip=strip)
        assert pixels.size == (48, 32)
        upright = np.asarray(PICTURE.transpose(Image.Transpose.ROTATE_270)).astype(int)
        assert np.abs(pixels.samples - upright).mean() < 12
        if not strip:
            found = info_of(pixels.metadata)["exif"]
            assert (orientation(found), b"a maker of cameras" in found) == (1, True)


def test_exif_that_is_compressed_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    read_image(png()).close()  # which teaches Pillow
    exif = Image.Exif()
    exif[271] = "a maker of cameras"
    for compressed, left_out in ((True, ["EXIF"]), (False, [])):
        PICTURE.save(tmp_path / "a.jxl", exif=exif.tobytes(), compress_metadata=compressed)
        with noting_leftovers() as names, read_image(tmp_path / "a.jxl") as image:
            metadata = info_of(to_pixels(image).metadata)
        assert names == left_out
        assert ("exif" in metadata) != compressed


def png() -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG")
    return buffer.getvalue()


def orientation(exif: bytes) -> int:
    found = Image.Exif()
    found.load(exif)
    return found[274]
