"""Image files, written: what each of Pillow's writers needs to be told, and what it cannot hold."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import ImageError
from .exif import exif_orientation, is_bounded
from .metadata import (
    COMMENT,
    TIFF_LAYOUT,
    UPRIGHT,
    XMP_TAG,
    png_text,
    upright,
)
from .pixels import Pixels, in_eight_bits, to_image
from .profiles import codes_of, misfit
from .segments import with_code_points
from .sixteen_bits import write_sixteen_bits

_PNG_LEVEL = 4
"""Of zlib: half the time of level 6, Pillow's choice, for 4 % more bytes of a photograph."""

# What Pillow's writers hold, by reading back what they wrote. The other formats drop it, and most
# of their writers say nothing.
_HOLD_METADATA = {"PNG", "TIFF", "JPEG", "MPO", "WEBP", "AVIF", "HEIF"}
_HOLD_DPI = {"PNG", "TIFF", "JPEG", "MPO", "BMP"}
_HOLD_COMMENT = {"JPEG", "MPO", "GIF"}
_HOLD_ALPHA = {
    "PNG", "TIFF", "WEBP", "AVIF", "HEIF", "JXL", "JPEG2000", "TGA", "DDS", "IM", "QOI",
}  # fmt: skip
_HOLD_16_BITS = {"PNG", "TIFF", "JPEG2000", "PPM"}  # of grey; Pillow writes no colour of 16 bits

HAVE_QUALITY = {"JPEG", "MPO", "PDF", "WEBP", "AVIF", "HEIF", "JXL"}
"""Formats whose writers take a quality."""

# Formats that would make another picture of it, and say nothing.
_SMALL = {"ICO", "ICNS"}
_FEW_COLOURS = {"GIF"}

# What Pillow's writers hold, and its readers read again: an AVIF of more is written, not read.
_LARGEST_SIDE = dict.fromkeys(("JPEG", "MPO", "PDF"), 65500) | {"WEBP": 16383, "AVIF": 32768}
_LARGEST_SIDE |= {"GIF": 65535, "TGA": 65535, "SGI": 65535, "MSP": 65535, "PCX": 65534}

_NAMES = {"icc_profile": "ICC profile", "exif": "EXIF", "xmp": "XMP"}
_NAMES |= {"text": "text", "dpi": "resolution"}


@dataclass(frozen=True)
class Style:
    """How a picture is written.

    Attributes:
        quality: of the formats that have one (`HAVE_QUALITY`), as Pillow's writers count it; None
            for 95 of JPEG and Pillow's own choice of the others.
        strip: leave EXIF, XMP and text out; an orientation is applied first.
        background: red, green and blue, 0...255, that alpha is laid on; None keeps alpha.
        depth: 8 rounds 16 bits a channel to 8; None keeps them.
    """

    quality: int | None = None
    strip: bool = False
    background: tuple[int, int, int] | None = None
    depth: int | None = None


class Written(NamedTuple):
    """What was written.

    Attributes:
        size: width and height, which are turned where the picture is written upright.
        left_out: the metadata that the format cannot hold, as a person names it: ICC profile,
            EXIF, XMP, text, resolution.
    """

    size: tuple[int, int]
    left_out: list[str]


def write_image(
    target: str | os.PathLike[str] | BinaryIO,
    pixels: Pixels,
    metadata: Mapping[str, Any],
    format: str,
    style: Style | None = None,
) -> Written:
    """Write a picture and its metadata as an image file.

    JPEG is written with quality 95 and 4:4:4. A picture is written upright where the format holds
    no EXIF that tells of its orientation.

    Args:
        target: a path, or a file that is open for writing. Nothing is written to it
            where the format cannot hold the picture.
        pixels: the picture.
        metadata: `icc_profile`, `exif`, `xmp`, `text` and `dpi`; see `metadata.info_of`.
        format: Pillow's name of the format; see `format_of`.
        style: how.

    Raises:
        ImageError: the format would drop alpha, cut 16 bits to 8, or make another picture of it;
            the picture is too large for it; or the library that writes 16 bits is not installed.
        OSError: Pillow's writer refuses the picture, or the file cannot be written.
    """
    style, left_out = style or Style(), list[str]()
    if style.background and pixels.color.has_alpha:
        pixels = _laid_on(pixels, style.background)
        if misfit(metadata.get("icc_profile", b""), pixels.color):
            metadata = {key: value for key, value in metadata.items() if key != "icc_profile"}
            left_out.append(_NAMES["icc_profile"])
    if style.depth == 8 and pixels.bit_depth == 16:
        pixels = Pixels(in_eight_bits(pixels.samples))
    if style.strip:
        pixels, metadata = _stripped(pixels, metadata)
    _refuse_losses(format, pixels)
    if pixels.bit_depth == 16 and pixels.color.channels > 1:
        data, (height, width) = write_sixteen_bits(pixels.samples, format, metadata), pixels.size
        lost = {"exif", "text"} if format == "TIFF" else set()
        left_out += [name for key, name in _NAMES.items() if key in lost & set(metadata)]
    else:
        data, (width, height), others = _written(to_image(pixels, {}), metadata, format, style)
        left_out += others
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(data)
    else:
        target.write(data)
    return Written((width, height), left_out)


def _refuse_losses(format: str, pixels: Pixels) -> None:
    color, side = pixels.color, max(pixels.size)
    if side > (limit := _LARGEST_SIDE.get(format, side)):
        raise ImageError(
            f"{format} holds at most {limit} pixels a side, and the picture has {side}; "
            "write PNG or TIFF"
        )
    if color.has_alpha and format not in _HOLD_ALPHA:
        raise ImageError(
            f"{format} does not hold alpha; write PNG, TIFF or WebP, or name a background"
        )
    if format in _SMALL:
        raise ImageError(f"{format} holds icons, of other sizes; write PNG or TIFF")
    if format in _FEW_COLOURS and color.channels > 1:
        raise ImageError(f"{format} holds 256 colours; write PNG, TIFF or WebP")
    if pixels.bit_depth == 16 and color.channels == 1 and format not in _HOLD_16_BITS:
        raise ImageError(f"{format} does not hold 16 bits a channel; write PNG or TIFF, or depth 8")


def _laid_on(pixels: Pixels, background: tuple[int, int, int]) -> Pixels:
    """Mix a picture with one colour by its alpha, and drop alpha."""
    samples, largest = pixels.samples, pixels.largest_sample
    alpha = samples[..., -1:].astype(np.float32) / largest
    grey = pixels.color.is_grey and len(set(background)) == 1
    behind = np.array(background[:1] if grey else background, np.float32) * (largest // 255)
    mixed = samples[..., :-1] * alpha + behind * (1 - alpha)
    return Pixels(np.round(mixed).astype(samples.dtype))


def _stripped(pixels: Pixels, info: Mapping[str, Any]) -> tuple[Pixels, dict[str, Any]]:
    kept = {key: info[key] for key in ("icc_profile", "dpi") if key in info}
    orientation = exif_orientation(info.get("exif", b""))
    if orientation not in UPRIGHT:
        return pixels, kept
    return Pixels(np.ascontiguousarray(upright(pixels.samples, orientation))), kept


def _written(
    image: Image.Image, metadata: Mapping[str, Any], format: str, style: Style
) -> tuple[bytes, tuple[int, int], list[str]]:
    """Return the file with the metadata that its format takes, its size, and names of the others.

    Limits of a format, such as the 64 KiB of a JPEG's EXIF, never refuse a picture.
    """
    orientation = exif_orientation(metadata.get("exif", b""))
    held = {key: value for key, value in metadata.items() if _holds(format, key, value)}
    try:
        turned = _turned(image, held, orientation)
        data = _saved(turned, format, held, style)
    except OSError:
        held = {key: value for key, value in held.items() if _takes(format, key, value)}
        turned = _turned(image, held, orientation)
        data = _saved(turned, format, held, style)
    cut = {"text"} if format in _HOLD_COMMENT and len(metadata.get("text", {})) > 1 else set()
    whole = held.keys() - cut
    left_out = [name for key, name in _NAMES.items() if key in metadata.keys() - whole]
    return data, turned.size, left_out


def _turned(image: Image.Image, held: Mapping[str, Any], orientation: int) -> Image.Image:
    """Return the picture upright where no EXIF in the file tells that it is to be turned."""
    if orientation not in UPRIGHT or "exif" in held:
        return image
    return image.transpose(UPRIGHT[orientation])


def _holds(format: str, key: str, value: Any) -> bool:  # noqa: ANN401
    if key == "exif" and not is_bounded(value):
        return False  # several writers read it
    if key == "dpi":
        return format in _HOLD_DPI
    if key == "text":
        return format == "PNG" or (format in _HOLD_COMMENT and COMMENT in value)
    return format in _HOLD_METADATA


def _takes(format: str, key: str, value: Any) -> bool:  # noqa: ANN401
    """Tell whether a format's writer takes an item."""
    try:
        _saved(Image.new("L", (1, 1)), format, {key: value}, Style())
    except Exception:
        return False
    return True


def _saved(image: Image.Image, format: str, metadata: Mapping[str, Any], style: Style) -> bytes:
    """Let Pillow write a file.

    Raises:
        OSError: the writer refuses it.
    """
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **_save_options(format, metadata, style))
    except MemoryError:
        raise
    except Exception as error:  # as many kinds as there are formats
        raise OSError(f"cannot be written as {format} ({error})") from error
    codes = codes_of(metadata.get("icc_profile", b"")) if format == "PNG" else None
    return with_code_points(buffer.getvalue(), codes) if codes else buffer.getvalue()


def _save_options(format: str, metadata: Mapping[str, Any], style: Style) -> dict[str, Any]:
    """Return the options of Pillow's writer of a format; not every writer takes `xmp`."""
    options: dict[str, Any] = {k: v for k, v in metadata.items() if k != "text"}
    text = metadata.get("text", {})
    if format in ("JPEG", "MPO", "PDF"):  # of which the last holds a JPEG
        if exif := metadata.get("exif"):  # of a WebP without the prefix that makes it EXIF here
            options["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
        # Pillow's own choice, 75 and 4:2:0, would lose more than most files of ours have lost.
        options |= {"quality": 95, "subsampling": 0}
    if style.quality is not None:
        options["quality"] = style.quality
    if format in _HOLD_COMMENT and COMMENT in text:
        options["comment"] = text[COMMENT].encode()
    if format == "PNG":
        options["pnginfo"] = _chunks(metadata)
        options["compress_level"] = _PNG_LEVEL
    if format == "TIFF":
        options["exif"] = _tags(metadata)
    return options


def _chunks(metadata: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if xmp := metadata.get("xmp"):
        chunks.add_itxt("XML:com.adobe.xmp", cast(str, xmp))  # bytes, too, and verbatim
    for keyword, value in png_text(metadata.get("text", {})):
        chunks.add_text(keyword, value)  # as iTXt where it is not Latin
    return chunks


def _tags(metadata: Mapping[str, Any]) -> Image.Exif:
    exif = Image.Exif()
    exif.load(metadata.get("exif", b""))
    # Cameras write some of these of their own file; Pillow would take them for the new one's.
    for tag in TIFF_LAYOUT & set(exif):
        del exif[tag]
    if xmp := metadata.get("xmp"):
        exif[XMP_TAG] = xmp
    return exif
