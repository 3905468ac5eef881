"""Between images as people have them and the pixels that are coded."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from ..bitstream import Color, Metadata, MetadataKind
from .errors import ImageError

_GREY_MODES = {"1", "L"}
_COLOR_MODES = {"RGB", "RGBX", "P", "YCbCr", "CMYK"}
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa"}
_INFO_KEYS = {MetadataKind.ICC: "icc_profile", MetadataKind.EXIF: "exif", MetadataKind.XMP: "xmp"}


@dataclass(frozen=True)
class Pixels:
    """What is coded of an image: uint8 (H, W, 3), grey ones with three equal channels."""

    rgb: np.ndarray
    color: Color
    metadata: Metadata = ()


def to_pixels(image: Image.Image | np.ndarray) -> Pixels:
    """Take an image apart.

    Args:
        image: a Pillow image, or a uint8 array (H, W), (H, W, 1) or (H, W, 3).

    Raises:
        ImageError: its kind cannot be coded without losing something that was not asked for.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if image.width < 1 or image.height < 1:
        raise ImageError(f"the image is {image.width}x{image.height}, it has no pixels")
    refuse_deep(image)
    image.load()  # some formats tell of their metadata only then
    if image.mode not in _GREY_MODES | _COLOR_MODES | _ALPHA_MODES:
        raise ImageError(f"images of mode {image.mode} are not supported; convert to 8-bit RGB")
    if image.mode == "CMYK":
        image = _from_inks(image)
    if image.mode in _ALPHA_MODES or image.has_transparency_data:
        image = _without_alpha(image.convert("RGBA"), image)
    grey = image.mode in _GREY_MODES
    metadata = tuple(
        (kind, value) for kind, key in _INFO_KEYS.items() if (value := _metadata(image, key))
    )
    color = Color.GREY if grey else Color.RGB
    return Pixels(np.asarray(image.convert("L" if grey else "RGB").convert("RGB")), color, metadata)


def _from_inks(cmyk: Image.Image) -> Image.Image:
    """Convert to sRGB by the image's own profile, which the pixels then no longer have."""
    rgb = None
    if profile := cmyk.info.get("icc_profile"):
        with contextlib.suppress(OSError, ImageCms.PyCMSError):  # not a profile after all
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            rgb = ImageCms.profileToProfile(cmyk, source, srgb, outputMode="RGB")
    rgb = rgb or cmyk.convert("RGB")
    rgb.info = {key: value for key, value in cmyk.info.items() if key != "icc_profile"}
    return rgb


def refuse_deep(image: Image.Image) -> None:
    """Refuse 16 bits a channel, which Pillow cuts to 8 in silence; call it before the image loads.

    Raises:
        ImageError: the file has more than 8 bits a channel.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(argument, str) and ";16" in argument for argument in arguments):
            raise ImageError("images of 16 bits a channel are not supported; convert to 8 bits")


def _metadata(image: Image.Image, key: str) -> bytes:
    value = image.info.get(key, b"")
    if key == "exif" and not value and len(exif := image.getexif()):
        value = exif.tobytes()  # TIFF has it among its own tags
    return value.encode() if isinstance(value, str) else bytes(value)


def _from_array(array: np.ndarray) -> Pixels:
    if array.dtype != np.uint8:
        raise ImageError(f"the array is {array.dtype}, not uint8")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not array.size:
        raise ImageError(f"the array has shape {array.shape}, not (H, W), (H, W, 1) or (H, W, 3)")
    if array.ndim == 2:
        return Pixels(np.repeat(array[..., None], 3, axis=2), Color.GREY)
    return Pixels(array, Color.RGB)


def _without_alpha(rgba: Image.Image, original: Image.Image) -> Image.Image:
    """Drop an alpha channel that says nothing; refuse one that does."""
    low, _ = rgba.getchannel("A").getextrema()
    if low != 255:
        raise ImageError("the image has transparent pixels, which are not supported yet")
    opaque = rgba.convert("L" if original.mode in ("LA", "La", "L", "1") else "RGB")
    opaque.info = {k: v for k, v in original.info.items() if k != "transparency"}
    return opaque


def from_pixels(pixels: Pixels) -> Image.Image:
    """Put an image together again, metadata in `info` where Pillow's writers look for it."""
    image = Image.fromarray(pixels.rgb)
    if pixels.color == Color.GREY:
        image = image.convert("L")
    for kind, value in pixels.metadata:
        image.info[_INFO_KEYS[kind]] = value
    return image
