"""What the file of an image tells of its colours: an ICC profile, or what a profile is made of."""

from __future__ import annotations

from PIL import Image

from ...bitstream import Color
from . import boxes, profiles, segments
from .metadata import has_bounded_exif

_ADOBE_RGB = "R03"
_INTEROPERABILITY, _INDEX = 0xA005, 1


def profile_of(
    image: Image.Image, own: bytes, file: bytes, color: Color
) -> tuple[bytes, list[str]]:
    """Return the profile of an image, and what of its colours is left out.

    Args:
        image: loaded.
        own: its ICC profile as Pillow has it, or nothing.
        file: its file, or nothing where it is not at hand.
        color: how its pixels are coded.
    """
    left_out: list[str] = []
    if image.format == "JXL" and (profiles.codes_of(own) or b"")[:2] == profiles.SRGB_CODES:
        own = b""  # made by the decoder
    if not own:
        own = segments.profile_of_bmp(file)
    if segments.has_broken_profile(file, bool(image.info.get("icc_profile"))):
        own, left_out = b"", ["damaged ICC profile"]
    if own and (other := profiles.misfit(own, color)):
        own, left_out = b"", [f"ICC profile (of {other}, not of the pixels)"]
    try:
        found = _told_otherwise(image, own, file, color.is_grey)
    except profiles.UnknownColors as error:
        return own, [*left_out, str(error)]
    if found and own:
        left_out.append("ICC profile (cICP goes before it)")
    return found or own, left_out


def _told_otherwise(image: Image.Image, own: bytes, file: bytes, grey: bool) -> bytes:
    """Return the profile of what goes before the file's own, or stands in for it."""
    if codes := _cicp(file):
        if not codes[3]:
            raise profiles.UnknownColors("narrow range of cICP")
        return profiles.profile_of_codes(codes[0], codes[1], grey)
    if own:
        return b""
    if image.format in ("AVIF", "HEIF") and (nclx := boxes.nclx_of(file)):
        return profiles.profile_of_codes(*nclx, grey)
    if image.format == "JPEG2000" and (profile := boxes.jp2_profile(file)):
        return profile
    gamma, chromaticity = image.info.get("gamma"), image.info.get("chromaticity")
    if "srgb" not in image.info and (gamma or chromaticity):
        return profiles.profile_of_gamma(gamma, chromaticity, grey)
    return profiles.adobe_rgb() if not grey and _is_adobe_rgb(image) else b""


def _cicp(file: bytes) -> bytes:
    """Return the code points of a PNG's primaries, transfer and matrix, and its full range."""
    if not file.startswith(segments.PNG):
        return b""
    chunks = segments.png_chunks(file)
    found = (c.payload for c in chunks if c.kind == b"cICP" and c.is_sound)
    return next((payload for payload in found if len(payload) == 4), b"")


def _is_adobe_rgb(image: Image.Image) -> bool:
    if not has_bounded_exif(image):
        return False
    try:
        index = image.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX, "")
        return str(index).strip("\0 ") == _ADOBE_RGB
    except Exception:  # Pillow's reader of damaged EXIF raises nearly anything
        return False
