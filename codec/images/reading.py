"""From an image as Pillow opens it, or an array, to pixels, and what is not kept of it."""

from __future__ import annotations

import contextlib
import copy
import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile

from ...bitstream import MetadataKind
from ..errors import ImageError, tell_left_out
from .colors import profile_of
from .exif import upright_exif
from .jxl import header_of
from .leftovers import file_of, names_of, with_its_end
from .metadata import UPRIGHT, metadata_of, orientation_of, stripped, upright
from .pages import choose_page
from .pixels import Pixels
from .segments import (
    READ_BY_PILLOW,
    png_damage,
    with_marked_texts,
    without_large_texts,
)
from .signatures import PNG
from .sixteen_bits import read_sixteen_bits

# What each of Pillow's modes is converted to, and what it becomes with a transparent colour.
_TARGETS = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB"}
_TARGETS |= {"CMYK": "RGB", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA", "LA": "LA", "RGBA": "RGBA"}

# By how much Pillow stretches grey of few bits, but not the grey that stands for transparent.
_STRETCH = {"L;2": 85, "L;4": 17}


def to_pixels(
    image: Image.Image | np.ndarray, *, strip: bool = False, page: int | None = None
) -> Pixels:
    """Read the pixels and the metadata of an image.

    Args:
        image: a Pillow image, or a uint8 or uint16 array (H, W) or (H, W, 1...4). What Pillow
            would cut to 8 bits is read anew from the file, if the image is not loaded yet.
        strip: leave out EXIF, XMP and text. An orientation is applied, because nobody could apply
            it later.
        page: which of a file's pictures, from 1 on; None for the only one.

    Raises:
        ImageError: its kind cannot be coded without losing something that was not asked for, or
            its file is damaged.

    Warns:
        LeftOut: of something that the file holds, nothing is kept.
    """
    if isinstance(image, np.ndarray):
        if page not in (None, 1):
            raise ImageError(f"page {page} is outside 1...1")
        return Pixels(_checked(image))
    if not isinstance(image, Image.Image):
        kind = type(image).__name__
        raise ImageError(f"an image is a Pillow image, an array or an image file, not {kind}")
    if image.width < 1 or image.height < 1:
        raise ImageError(f"the image is {image.width}x{image.height}, it has no pixels")
    try:
        left_out = choose_page(image, page)
        pixels, names = _pixels_of(image, strip)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise ImageError(f"the image cannot be read ({error})") from error
    if left_out := left_out + names:
        tell_left_out(str(getattr(image, "filename", "")), left_out)
    return pixels


def _checked(array: np.ndarray) -> np.ndarray:
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (np.uint8, np.uint16):
        raise ImageError(f"the array is {array.dtype}, not uint8 or uint16")
    if np.ma.is_masked(array):
        raise ImageError("the array has samples that are masked; fill them first")
    samples = np.asarray(array, dtype)  # of a matrix, whose parts all have two axes, the array
    samples = samples[..., None] if samples.ndim == 2 else samples
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or not samples.size:
        raise ImageError(f"the array has shape {array.shape}, not (H, W) or (H, W, 1...4)")
    return samples


def _pixels_of(image: Image.Image, strip: bool) -> tuple[Pixels, list[str]]:
    """Read an image that stands at the right page, and the names of what is left out."""
    image, file, left_out = _readable(image, file_of(image))
    if image.format == "JXL" and file:
        if header_of(file).is_animation:
            raise ImageError(
                "the file is an animation, of which its reader gives the first picture"
            )
        image = _as_turned(image, header_of(file).orientation)
    stretch = _stretch_of(image)
    image = with_its_end(image, file)
    wide = read_sixteen_bits(image)
    loaded = image if wide is None else wide[1]
    metadata, orientation = metadata_of(loaded), 1
    if strip:
        metadata, orientation = stripped(metadata), orientation_of(loaded)
    left_out += names_of(loaded, file, strip)
    if wide is not None:
        pixels = Pixels(upright(wide[0], orientation), metadata=metadata)
        pixels, names = _with_profile(pixels, loaded, file)
        return pixels, left_out + names
    if image.mode not in _TARGETS:
        raise ImageError(
            f"images of mode {image.mode} are not supported; convert to 8 or 16 bits of RGB"
        )
    if image.mode == "CMYK":
        image, names = _from_inks(image)
        left_out += names
        metadata = tuple(item for item in metadata if item[0] != MetadataKind.ICC)
    if stretch > 1 and isinstance(image.info.get("transparency"), int):
        image = image.copy()
        image.info["transparency"] *= stretch
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    mode = _TARGETS[image.mode]
    mode = _WITH_ALPHA[mode] if image.has_transparency_data else mode
    pixels, names = _with_profile(Pixels(image, mode, metadata), loaded, file)
    return pixels, left_out + names


def _readable(image: Image.Image, file: bytes) -> tuple[Image.Image, bytes, list[str]]:
    """Return an image, and its file, whose texts Pillow takes for texts and can hold.

    Last are the names of texts that it cannot hold.

    Raises:
        ImageError: a chunk of a PNG that its pixels need is damaged.
    """
    is_png = file.startswith(PNG)
    if is_png and getattr(image, "tile", ()):  # not loaded yet
        marked = with_marked_texts(file)
        if marked != file:
            at, file = image.tell(), marked
            image = Image.open(io.BytesIO(marked))
            image.seek(at)
    clashing = {key for key in READ_BY_PILLOW if isinstance(image.info.get(key), str)}
    if clashing:  # keywords of texts
        info = {key: value for key, value in image.info.items() if key not in clashing}
        image = _with_info(image, info)
    damage = png_damage(file) if is_png else None
    if damage and not ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError(damage)
    if is_png and not image.tell():  # Pillow reads texts behind the pixels with them
        whole, names = without_large_texts(file)
        if names:
            return Image.open(io.BytesIO(whole)), whole, names
    return image, file, []


def _as_turned(image: Image.Image, orientation: int) -> Image.Image:
    """Let EXIF of a JPEG XL say that its reader has applied the orientation of the pixels.

    It does not where the file holds a JPEG, which it gives back as it was.
    """
    exif = image.info.get("exif")
    if orientation == 1 or getattr(image, "jpeg", False) or not isinstance(exif, bytes):
        return image
    return _with_info(image, image.info | {"exif": upright_exif(exif)})


def _with_info(image: Image.Image, info: dict[Any, Any]) -> Image.Image:
    """Give an image other metadata; one that the caller has loaded stays as it is."""
    if not getattr(image, "tile", ()):
        image = copy.copy(image)
    image.info = info
    return image


def _with_profile(pixels: Pixels, image: Image.Image, file: bytes) -> tuple[Pixels, list[str]]:
    """Give pixels the profile that their file tells in some way, and name what is left out."""
    others = dict(pixels.metadata)
    own = others.pop(MetadataKind.ICC, b"")
    profile, names = profile_of(image, own, file, pixels.color)
    if profile:
        others[MetadataKind.ICC] = profile
    return replace(pixels, metadata=tuple(sorted(others.items()))), names


def _stretch_of(image: Image.Image) -> int:
    """Return by how much Pillow stretches the grey of a PNG; known until the image is loaded."""
    rawmodes = [tile[3] for tile in getattr(image, "tile", ())]
    return next((_STRETCH[raw] for raw in rawmodes if isinstance(raw, str) and raw in _STRETCH), 1)


def _from_inks(cmyk: Image.Image) -> tuple[Image.Image, list[str]]:
    """Convert to sRGB by the image's own profile, which the pixels then no longer have.

    Also return the names of what is left out.
    """
    rgb, left_out = None, ["inks (RGB in their place)"]
    if profile := cmyk.info.get("icc_profile"):
        with contextlib.suppress(OSError, ImageCms.PyCMSError):  # not a profile after all
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            rgb = ImageCms.profileToProfile(cmyk, source, srgb, outputMode="RGB")
        if rgb is None:
            left_out.insert(0, "ICC profile (none of inks)")
    rgb = rgb or cmyk.convert("RGB")
    rgb.info = {key: value for key, value in cmyk.info.items() if key != "icc_profile"}
    return rgb, left_out
