"""The bytes that image files begin with."""

from __future__ import annotations

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
BMP = b"BM"
TIFF = b"II*\0", b"MM\0*"
_BIG_TIFF = b"II+\0", b"MM\0+"
JXL = b"\xff\x0a", b"\0\0\0\x0cJXL "
"""Of a JPEG XL codestream, and of one in boxes."""
JPEG2000 = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
"""Of a JPEG 2000 codestream, and of one in boxes."""

_SUFFIXES = {
    PNG: "png", JPEG: "jpg", BMP: "bmp", b"GIF8": "gif",
    **dict.fromkeys((*TIFF, *_BIG_TIFF), "tif"), **dict.fromkeys(JXL, "jxl"),
    **dict.fromkeys(JPEG2000, "jp2"),
}  # fmt: skip
_BRANDS = {b"avif": "avif", b"avis": "avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "heic")


def is_webp(data: bytes) -> bool:
    """Tell whether a file begins as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def suffix_of(data: bytes) -> str | None:
    """Return the suffix that an image file would have, by its beginning; None of other files.

    Opening the file would be work, and may be a trap.
    """
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    if is_webp(data):
        return "webp"
    return next((suffix for begin, suffix in _SUFFIXES.items() if data.startswith(begin)), None)
