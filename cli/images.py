"""Image files in and out: Pillow's formats, and those of 16 bits that Pillow does not write."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from . import console, files

if TYPE_CHECKING:
    from PIL import Image

    from ..codec.api import Decoded

# What Pillow's writers hold, by reading back what they wrote. Those that are not named drop it, and
# most of them say nothing.
_HOLD_METADATA = {"PNG", "TIFF", "JPEG", "MPO", "WEBP", "AVIF"}
_HOLD_ALPHA = {
    "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "TGA", "DDS", "IM", "QOI",
}  # fmt: skip
_HOLD_16_BITS = {"PNG", "TIFF", "JPEG2000", "PPM"}  # of grey; colour is written by codec.deep

# Formats that would make another picture of it, and say nothing.
_SMALL = {"ICO", "ICNS"}
_FEW_COLOURS = {"GIF"}

_NAMES = {"icc_profile": "ICC profile", "exif": "EXIF", "xmp": "XMP"}
_XMP_TAG = 700


def open_image(path: str) -> "Image.Image":
    """Open an image in any format that Pillow knows; the encoder reads the pixels.

    Raises:
        OSError: the file is absent, no image, damaged, or larger than Pillow's limit.
    """
    from PIL import Image, UnidentifiedImageError

    source = files.seekable(path)
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


def is_image(path: str) -> bool:
    """Tell by its name whether a file would be an image of Pillow's."""
    from PIL import Image

    return Path(path).suffix.lower() in Image.registered_extensions()


def image_format(path: str, on_stdout: str = ".png") -> str:
    """Name Pillow's format for a file that is to be written, or for a suffix on stdout.

    Raises:
        click.UsageError: Pillow writes no format with this suffix.
    """
    from PIL import Image

    suffix = (on_stdout if path == console.STDIO else Path(path).suffix).lower()
    name = Image.registered_extensions().get(suffix)
    if name is None or name.upper() not in Image.SAVE:
        raise click.UsageError(
            f"{click.format_filename(path)}: no image format is known for '{suffix}'"
        )
    return name


def write_image(
    path: str, decoded: "Decoded", replaces: bool = True, on_stdout: str = ".png"
) -> list[str]:
    """Write what was decoded in the format that the path's suffix names, with its metadata.

    Args:
        path: of the file; '-' is stdout.
        decoded: the picture.
        replaces: see `files.writing`.
        on_stdout: the suffix where there is no name.

    Returns:
        What the format cannot hold of the metadata, as a person says it.

    Raises:
        OSError: the format cannot hold the image, or the file cannot be written.
        ImageError: the format would drop alpha, or cut 16 bits to 8.
    """
    name = image_format(path, on_stdout)
    _refuse_losses(name, decoded)
    if decoded.picture.bit_depth == 16 and decoded.picture.color.channels > 1:
        from ..codec import deep

        data = deep.write(decoded.pixels, name, decoded.metadata)
        files.write_bytes(path, data, replaces)
        return [_NAMES["exif"]] if name == "TIFF" and "exif" in decoded.metadata else []
    with files.writing(path, replaces) as stream:
        try:
            _shown(decoded.image, name).save(stream, name, **_save_options(name, decoded.metadata))
        except MemoryError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise  # of the disk, not of the format
            raise OSError(f"cannot be written as {name} ({error})") from error
        except Exception as error:  # as many kinds as there are formats
            raise OSError(f"cannot be written as {name} ({error})") from error
    return [] if name in _HOLD_METADATA else [_NAMES[key] for key in decoded.metadata]


def _shown(image: "Image.Image", name: str) -> "Image.Image":
    """Return the picture upright where the format cannot tell that it is to be turned."""
    from PIL import ImageOps

    from ..codec.deep import orientation_of

    upright = name in _HOLD_METADATA or orientation_of(image) == 1
    return image if upright else ImageOps.exif_transpose(image)


def _refuse_losses(name: str, decoded: "Decoded") -> None:
    from ..codec.errors import ImageError

    color = decoded.picture.color
    if color.has_alpha and name not in _HOLD_ALPHA:
        raise ImageError(f"{name} does not hold alpha; write PNG, TIFF or WebP")
    if name in _SMALL:
        raise ImageError(f"{name} holds icons, of other sizes; write PNG or TIFF")
    if name in _FEW_COLOURS and color.channels > 1:
        raise ImageError(f"{name} holds 256 colours; write PNG, TIFF or WebP")
    if decoded.picture.bit_depth == 16 and color.channels == 1 and name not in _HOLD_16_BITS:
        raise ImageError(f"{name} does not hold 16 bits a channel; write PNG or TIFF")


def _save_options(name: str, metadata: dict[str, bytes]) -> dict[str, Any]:
    """Return what Pillow's writer of a format needs to be told; `xmp` it takes not everywhere."""
    from PIL import Image, PngImagePlugin

    from ..codec.image import TIFF_LAYOUT

    options: dict[str, Any] = dict(metadata)
    if name in ("JPEG", "MPO"):
        if exif := metadata.get("exif"):  # of a WebP without the prefix that makes it EXIF here
            options["exif"] = b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")
        # Pillow's own choice, 75 and 4:2:0, would lose more than most files of ours have lost.
        options |= {"quality": 95, "subsampling": 0}
    xmp = metadata.get("xmp")
    if xmp and name == "PNG":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", cast(str, xmp))  # bytes, too, and verbatim
        options["pnginfo"] = chunks
    if name == "TIFF":
        exif = Image.Exif()
        exif.load(metadata.get("exif", b""))
        # Cameras write some of these of their own file; Pillow would take them for the new one's.
        for tag in TIFF_LAYOUT & set(exif):
            del exif[tag]
        if xmp:
            exif[_XMP_TAG] = xmp
        options["exif"] = exif
    return options
