"""A part of a picture carries no thumbnail of the whole."""

import io
import time

import pytest
from PIL import Image

from hvae_codec.codec.images import without_previews

EXIF, MAKER_NOTE = 0x8769, 0x927C
SOI = b"\xff\xd8\xff"


def with_thumbnail(order: str, notes: bytes = b"") -> bytes:
    """EXIF of a camera, whose second directory has a thumbnail."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    exif[EXIF] = {MAKER_NOTE: notes} if notes else {}
    first = exif.tobytes()[6:]
    thumbnail = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(thumbnail, "JPEG")
    data, kind = thumbnail.getvalue(), {"<": "little", ">": "big"}[order]

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, kind)  # type: ignore[arg-type]

    at = len(first)
    entries = ((0x0201, at + 2 + 24 + 4), (0x0202, len(data)))
    second = number(2, 2) + b"".join(
        number(tag, 2) + number(4, 2) + number(1, 4) + number(value, 4) for tag, value in entries
    )
    (begin,) = (int.from_bytes(first[4:8], kind),)  # type: ignore[arg-type]
    link = begin + 2 + 12 * int.from_bytes(first[begin : begin + 2], kind)  # type: ignore[arg-type]
    whole = first[:link] + number(at, 4) + first[link + 4 :] + second + bytes(4) + data
    return b"Exif\0\0" + whole


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_goes_and_all_else_stays(order: str) -> None:
    exif = with_thumbnail(order)
    cleaned = without_previews({"exif": exif, "icc_profile": b"a"})
    assert SOI in exif
    assert SOI not in cleaned["exif"]
    assert len(cleaned["exif"]) < 150
    assert cleaned["icc_profile"] == b"a"
    found = Image.Exif()
    found.load(cleaned["exif"])
    assert found[0x010F] == "a camera"
    assert not found.get_ifd(1)


def test_previews_in_the_notes_of_makers_are_blanked() -> None:
    notes = b"MAKER" + SOI + bytes(range(100)) + b"\xff\xd9" + b"serial 7"
    exif = with_thumbnail("<", notes)
    cleaned = without_previews({"exif": exif})["exif"]
    assert SOI not in cleaned
    found = Image.Exif()
    found.load(cleaned)
    kept = found.get_ifd(EXIF)[MAKER_NOTE]
    assert (kept[:5], kept[-8:], len(kept)) == (b"MAKER", b"serial 7", len(notes))


def test_thumbnails_of_xmp_are_emptied() -> None:
    xmp = b'<a xmpGImg:image="/9j/4AAQ" b="c"/><xmpGImg:image>/9j/\n4AAQ</xmpGImg:image><d>e</d>'
    cleaned = without_previews({"xmp": xmp})["xmp"]
    assert cleaned == b'<a xmpGImg:image="" b="c"/><xmpGImg:image></xmpGImg:image><d>e</d>'


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08"]
)
def test_damaged_exif_is_left_as_it_is(exif: bytes) -> None:
    assert without_previews({"exif": exif}) == {"exif": exif}


def test_marks_without_an_end_take_no_time() -> None:
    begun = time.process_time()
    picture = b"<xmpGImg:image>"
    cleaned = without_previews({"exif": b"Exif\0\0" + SOI * 100_000, "xmp": picture * 100_000})
    assert time.process_time() - begun < 2
    assert cleaned["xmp"] == picture * 100_000


def test_elements_of_xmp_are_emptied_and_what_is_between_them_stays() -> None:
    xmp = b"<a><xmpGImg:image>/9j/</xmpGImg:image><b/><xmpGImg:image>x</xmpGImg:image></a>"
    empty = b"<xmpGImg:image></xmpGImg:image>"
    assert without_previews({"xmp": xmp})["xmp"] == b"<a>" + empty + b"<b/>" + empty + b"</a>"
