"""The file behind an image: what Pillow leaves of it, and what is not kept."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ..errors import ImageError
from . import boxes, jxl, scans, segments, signatures
from .metadata import RAW_TEXT

_SAMPLES_PER_PIXEL = 277  # the tag of TIFF

_MOST_SCANS = 500
"""Of a JPEG; programs write a dozen, and each takes a pass over the picture."""

_BEGINNINGS = {
    "PNG": (signatures.PNG,),
    "JPEG": (signatures.JPEG,),
    "MPO": (signatures.JPEG,),
    "WEBP": (b"RIFF",),
    "AVIF": (b"\0\0",),
    "HEIF": (b"\0\0",),
    "JPEG2000": signatures.JPEG2000,
    "BMP": (signatures.BMP,),
    "JXL": signatures.JXL,
}
"""Formats whose files hold more than Pillow tells of, and how they begin."""


def file_of(image: Image.Image) -> bytes:
    """Return the file that an image comes from; nothing where it is not at hand, or not needed.

    A file that was closed when its pixels were loaded is read again, and taken for its file where
    it holds the same pixels: another one may lie there by now.
    """
    begins = _BEGINNINGS.get(image.format or "")
    stream: Any = getattr(image, "fp", None)
    name = getattr(image, "filename", "")
    data = b""
    if begins and stream is not None and not getattr(stream, "closed", False):
        at = stream.tell()
        stream.seek(0)
        data = stream.read()
        stream.seek(at)
    elif begins and name and os.path.isfile(name):
        with open(name, "rb") as file:
            data = file.read()
        data = data if _holds(data, image) else b""
    return data if begins and data.startswith(begins) else b""


def _holds(data: bytes, image: Image.Image) -> bool:
    """Tell whether a file holds a loaded image."""
    try:
        with Image.open(io.BytesIO(data), formats=[image.format or ""]) as other:
            if getattr(other, "n_frames", 1) > 1:
                other.seek(image.tell())
            same = other.size == image.size and other.info == image.info
            return same and np.array_equal(np.asarray(other), np.asarray(image))
    except Exception:  # Pillow's readers raise nearly anything on damaged data
        return False


def with_its_end(image: Image.Image, file: bytes) -> Image.Image:
    """Load a JPEG; one that lacks nothing but its end marker is read with a new one.

    Where damaged images are taken, one that ends within a segment is read without it.

    Raises:
        OSError: pixels are missing.
        ImageError: it has so many scans that it is none of a camera.
    """
    if image.format not in ("JPEG", "MPO"):
        return image
    begin = getattr(image, "offset", 0) if image.tell() else 0  # of a page of an MPO
    count = scans.count_of_scans(file[begin:])
    if count > _MOST_SCANS:
        raise ImageError(f"more than {_MOST_SCANS} scans, of which each takes the time of a JPEG")
    if image.tell():
        return image
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        left = scans.without_cut_segment(file)
        return image if left == file else _jpeg(left)
    try:
        image.load()
    except OSError:
        if not scans.has_all_scans(file):
            raise
        mended = map(_jpeg, scans.with_other_ends(file, count))
        found = next(mended)
        samples = np.asarray(found)
        if not all(np.array_equal(samples, np.asarray(other)) for other in mended):
            raise
        return found
    return image


def _jpeg(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file), formats=["JPEG"])


def names_of(image: Image.Image, file: bytes, strip: bool) -> list[str]:
    """Name what an image's file holds of which nothing is kept.

    Args:
        image: loaded.
        file: what `file_of` gave.
        strip: metadata are not wanted, and not named.
    """
    depth = _bits_of(image.format, file) if file else 8
    kept = 16 if image.mode.startswith("I;16") else 8
    names = [f"bits beyond {kept} (of {depth})"] if depth > kept else []
    if image.format in ("AVIF", "HEIF"):
        names += boxes.auxiliaries_of(file)
    names += _extra_channels(image) + _pixel_aspect(image)
    if not strip:
        names += _raw_profiles(image)
        if image.format == "JPEG2000":
            names += boxes.jp2_metadata_of(file)
        if image.format == "JXL":
            names += jxl.leftovers_of(file, bool(image.info.get("exif")))
        else:
            names += segments.not_kept(file)
    return list(dict.fromkeys(names))


def _extra_channels(image: Image.Image) -> list[str]:
    """Name the channels of a TIFF beyond its colours and alpha."""
    count = getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1) - len(image.getbands())
    if image.format != "TIFF" or count < 1:
        return []
    return ["1 extra channel" if count == 1 else f"{count} extra channels"]


def _pixel_aspect(image: Image.Image) -> list[str]:
    """Name the shape of pixels that are not square, where no resolution in dpi tells it."""
    key = "jfif_density" if image.info.get("jfif_unit") == 0 else "aspect"
    shape = image.info.get(key)
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(shape):
        return []
    return ["pixel aspect ratio"] if shape[0] != shape[1] else []


def _raw_profiles(image: Image.Image) -> list[str]:
    """Name the texts of a PNG in which ImageMagick keeps metadata; of these EXIF is read."""
    texts = [str(key) for key in image.info if str(key).startswith(RAW_TEXT)]
    kinds = (text.removeprefix(RAW_TEXT) for text in texts)
    return [kind.upper() for kind in kinds if kind != "exif"]


def _bits_of(format: str | None, file: bytes) -> int:
    if format == "JXL":
        return jxl.header_of(file).bits
    if format in ("AVIF", "HEIF"):
        return boxes.bits_of(file)
    return boxes.jp2_bits(file) if format == "JPEG2000" else 8
