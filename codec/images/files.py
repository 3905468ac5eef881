"""Image files: which format holds what, and what each of Pillow's writers needs to be told."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..errors import ImageError
from .metadata import TIFF_LAYOUT, XMP_TAG, orientation_of
from .pixels import Pixels, to_image
from .sixteen_bits import write_sixteen_bits

# What Pillow's writers hold, by reading back what they wrote. The other formats drop it, and most
# of their writers say nothing.
_HOLD_METADATA = {"PNG", "TIFF", "JPEG", "MPO", "WEBP", "AVIF"}
_HOLD_ALPHA = {
    "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "TGA", "DDS", "IM", "QOI",
}  # fmt: skip
_HOLD_16_BITS = {"PNG", "TIFF", "JPEG2000", "PPM"}  # of grey; Pillow writes no colour of 16 bits

# Formats that would make another picture of it, and say nothing.
_SMALL = {"ICO", "ICNS"}
_FEW_COLOURS = {"GIF"}

_NAMES = {"icc_profile": "ICC profile", "exif": "EXIF", "xmp": "XMP"}


def read_image(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Open an image file in any format that Pillow knows.

    The image is not loaded: `to_pixels` reads its samples, also those that Pillow would cut to
    8 bits. Close it, or use it in a `with` statement.

    Args:
        source: the path of the file, or its bytes.

    Raises:
        OSError: the file is absent, no image, damaged, or larger than Pillow's limit.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from half of its limit on; the limit itself is enough.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        raise OSError("not an image in a format that Pillow knows") from None
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"cannot be read as an image ({error})") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise OSError(f"cannot be read as an image ({error})") from error


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Tell by its suffix whether a file would be an image that Pillow opens or saves."""
    return Path(path).suffix.lower() in Image.registered_extensions()


def format_of(suffix: str) -> str:
    """Return Pillow's name of the format that a suffix such as `.png` stands for.

    Raises:
        ImageError: Pillow writes no format with this suffix.
    """
    suffix = suffix.lower()
    name = Image.registered_extensions().get(suffix)
    if name is None or name.upper() not in Image.SAVE:
        raise ImageError(f"no image format is known for '{suffix}'")
    return name


def write_image(
    target: str | os.PathLike[str] | BinaryIO,
    pixels: Pixels,
    metadata: Mapping[str, bytes],
    format: str,
) -> list[str]:
    """Write a picture and its metadata as an image file.

    JPEG is written with quality 95 and 4:4:4. A picture is written upright where the format holds
    no EXIF that tells of its orientation.

    Args:
        target: a path, or a file that is open for writing. Nothing is written to it
            where the format cannot hold the picture.
        pixels: the picture.
        metadata: `icc_profile`, `exif` and `xmp`, bytes each, as Pillow's `info` names them.
        format: Pillow's name of the format; see `format_of`.

    Returns:
        The metadata that the format cannot hold, as a person names it: ICC profile, EXIF, XMP.

    Raises:
        ImageError: the format would drop alpha, cut 16 bits to 8, or make another picture of it;
            or the library that writes 16 bits is not installed.
        OSError: Pillow's writer refuses the picture, or the file cannot be written.
    """
    _refuse_losses(format, pixels)
    if pixels.bit_depth == 16 and pixels.color.channels > 1:
        data = write_sixteen_bits(pixels.samples, format, metadata)
        if isinstance(target, str | os.PathLike):
            Path(target).write_bytes(data)
        else:
            target.write(data)
        return [_NAMES["exif"]] if format == "TIFF" and "exif" in metadata else []
    try:
        image = _shown(to_image(pixels, metadata), format)
        image.save(target, format, **_save_options(format, metadata))
    except MemoryError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk, not of the format
        raise OSError(f"cannot be written as {format} ({error})") from error
    except Exception as error:  # as many kinds as there are formats
        raise OSError(f"cannot be written as {format} ({error})") from error
    return [] if format in _HOLD_METADATA else [_NAMES[key] for key in metadata]


def _refuse_losses(format: str, pixels: Pixels) -> None:
    color = pixels.color
    if color.has_alpha and format not in _HOLD_ALPHA:
        raise ImageError(f"{format} does not hold alpha; write PNG, TIFF or WebP")
    if format in _SMALL:
        raise ImageError(f"{format} holds icons, of other sizes; write PNG or TIFF")
    if format in _FEW_COLOURS and color.channels > 1:
        raise ImageError(f"{format} holds 256 colours; write PNG, TIFF or WebP")
    if pixels.bit_depth == 16 and color.channels == 1 and format not in _HOLD_16_BITS:
        raise ImageError(f"{format} does not hold 16 bits a channel; write PNG or TIFF")


def _shown(image: Image.Image, format: str) -> Image.Image:
    """Return the picture upright where the format cannot tell that it is to be turned."""
    upright = format in _HOLD_METADATA or orientation_of(image) == 1
    return image if upright else ImageOps.exif_transpose(image)


def _save_options(format: str, metadata: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the options of Pillow's writer of a format; not every writer takes `xmp`."""
    options: dict[str, Any] = dict(metadata)
    if format in ("JPEG", "MPO"):
        if exif := metadata.get("exif"):  # of a WebP without the prefix that makes it EXIF here
            options["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
        # Pillow's own choice, 75 and 4:2:0, would lose more than most files of ours have lost.
        options |= {"quality": 95, "subsampling": 0}
    xmp = metadata.get("xmp")
    if xmp and format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", cast(str, xmp))  # bytes, too, and verbatim
        options["pnginfo"] = chunks
    if format == "TIFF":
        exif = Image.Exif()
        exif.load(metadata.get("exif", b""))
        # Cameras write some of these of their own file; Pillow would take them for the new one's.
        for tag in TIFF_LAYOUT & set(exif):
            del exif[tag]
        if xmp:
            exif[XMP_TAG] = xmp
        options["exif"] = exif
    return options
