"""Between images as people have them and the samples that are coded."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

from ..bitstream import Color, InvalidField, Metadata, MetadataKind
from . import deep
from .errors import ImageError

_TARGETS = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB"}
_TARGETS |= {"CMYK": "RGB", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA", "LA": "LA", "RGBA": "RGBA"}
_KEYS = {MetadataKind.ICC: "icc_profile", MetadataKind.EXIF: "exif", MetadataKind.XMP: "xmp"}
METADATA_KEYS = tuple(_KEYS.values())
"""Names of metadata in the `info` of a Pillow image."""

MODES = {Color.GREY: "L", Color.GREY_ALPHA: "LA", Color.RGB: "RGB", Color.RGB_ALPHA: "RGBA"}
"""What Pillow calls 8 bits a channel of each kind."""

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
RAW_EXIF = "Raw profile type exif"  # where ImageMagick put it before PNG had a chunk for it
TIFF_LAYOUT = {254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 284}
TIFF_LAYOUT |= {292, 293, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, *range(512, 522)}
TIFF_LAYOUT |= {529, 530, 532}
"""Tags of how the pixels of a TIFF lie; EXIF may hold them, but they are not of the image."""

# Neither is what it says of its orientation, its profile and its XMP: these are kept elsewhere.
_TIFF_STRUCTURE = TIFF_LAYOUT | {deep.ORIENTATION, 700, 34675}
# By how much Pillow stretches grey of few bits, but not the grey that stands for transparent.
_STRETCH = {"L;2": 85, "L;4": 17}


@dataclass(frozen=True, eq=False)
class Pixels:
    """What is coded of an image, or what was decoded.

    A Pillow image is converted where it is cut, not as a whole: copies of large pictures count.

    Args:
        source: uint8 or uint16 (H, W, C) of 1 to 4 channels, or a loaded image.
        mode: what the image is converted to: L, LA, RGB or RGBA.
        metadata: (kind, bytes) of ascending kinds.
    """

    source: np.ndarray | Image.Image
    mode: str = ""
    metadata: Metadata = ()

    @classmethod
    def blank(cls, size: tuple[int, int], color: Color, bit_depth: int) -> Pixels:
        """Return pixels (height, width) that are to be pasted.

        Those of 8 bits lie in a Pillow image, for most are wanted as one.
        """
        height, width = size
        if bit_depth == 8:
            return cls(Image.new(MODES[color], (width, height)), MODES[color])
        return cls(np.zeros((height, width, color.channels), np.uint16))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        if isinstance(self.source, np.ndarray):
            return self.source.shape[0], self.source.shape[1]
        return self.source.height, self.source.width

    @property
    def color(self) -> Color:
        """Channels of the image."""
        if isinstance(self.source, np.ndarray):
            return (Color.GREY, Color.GREY_ALPHA, Color.RGB, Color.RGB_ALPHA)[
                self.source.shape[2] - 1
            ]
        return next(color for color, mode in MODES.items() if mode == self.mode)

    @property
    def bit_depth(self) -> int:
        """Bits of a channel, 8 or 16."""
        deep = isinstance(self.source, np.ndarray) and self.source.dtype == np.uint16
        return 16 if deep else 8

    @property
    def largest_sample(self) -> int:
        """What a channel can be at most: 255 or 65535."""
        return 2**self.bit_depth - 1

    def cut(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the samples of a rectangle, as far as the image reaches: (h, w, C)."""
        if isinstance(self.source, np.ndarray):
            return self.source[rows, columns]
        height, width = self.size
        box = (columns.start, rows.start, min(columns.stop, width), min(rows.stop, height))
        part = np.asarray(self.source.crop(box).convert(self.mode))
        return part[..., None] if part.ndim == 2 else part

    def paste(self, top: int, left: int, samples: np.ndarray) -> None:
        """Lay samples (h, w, C), which must fit, over the rectangle that begins at a place."""
        if isinstance(self.source, np.ndarray):
            self.source[top : top + samples.shape[0], left : left + samples.shape[1]] = samples
        else:
            self.source.paste(_image_of(samples), (left, top))

    @property
    def samples(self) -> np.ndarray:
        """All samples (H, W, C); of a Pillow image, a copy."""
        height, width = self.size
        return self.cut(slice(0, height), slice(0, width))


def to_pixels(image: Image.Image | np.ndarray, *, strip: bool = False) -> Pixels:
    """Take an image apart.

    Args:
        image: a Pillow image, or a uint8 or uint16 array (H, W) or (H, W, 1...4). What Pillow
            would cut to 8 bits is read anew from the file, if the image is not loaded yet.
        strip: leave out EXIF and XMP, and what a file has beside its first picture. An
            orientation is applied, because nobody could apply it later.

    Raises:
        ImageError: its kind cannot be coded without losing something that was not asked for, or
            its file is damaged.
    """
    if isinstance(image, np.ndarray):
        return Pixels(_checked(image))
    if not isinstance(image, Image.Image):
        kind = type(image).__name__
        raise ImageError(f"an image is a Pillow image or an array, not {kind} (see Image.open)")
    if image.width < 1 or image.height < 1:
        raise ImageError(f"the image is {image.width}x{image.height}, it has no pixels")
    try:
        _refuse_frames(image, strip)
        pixels = _take_apart(image, strip)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise ImageError(f"the image cannot be read ({error})") from error
    return pixels


def _take_apart(image: Image.Image, strip: bool) -> Pixels:
    rawmodes = deep.rawmodes(image)
    if deep.is_cut_by_pillow(image):
        data = deep.file_of(image)
        with Image.open(io.BytesIO(data), formats=[image.format or ""]) as other:
            other.load()  # not the caller's image, which would be cut by it
            metadata = metadata_of(other)
            # a TIFF's orientation is applied already, as Pillow does when it loads one
            turn = 1 if image.format == "TIFF" else deep.orientation_of(other)
        samples = deep.read(data, image.format, image.info.get("transparency"))
        return _array_pixels(samples, metadata, strip, turn)
    image.load()  # some formats tell of their metadata only then
    metadata = metadata_of(image)
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)[..., None]
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            samples = 65535 - samples  # which Pillow does for 8 bits alone
        samples = deep.with_transparency(samples, image.info.get("transparency"))
        return _array_pixels(samples, metadata, strip, deep.orientation_of(image))
    if image.mode not in _TARGETS:
        raise ImageError(
            f"images of mode {image.mode} are not supported; convert to 8 or 16 bits of RGB"
        )
    if image.mode == "CMYK":
        image = _from_inks(image)
        metadata = tuple(item for item in metadata if item[0] != MetadataKind.ICC)
    stretch = next((_STRETCH[raw] for raw in rawmodes if raw in _STRETCH), 1)
    if stretch > 1 and isinstance(image.info.get("transparency"), int):
        image = image.copy()
        image.info["transparency"] *= stretch
    if strip:
        image = ImageOps.exif_transpose(image) if deep.orientation_of(image) != 1 else image
        metadata = _stripped(metadata)
    mode = _TARGETS[image.mode]
    return Pixels(image, _WITH_ALPHA[mode] if image.has_transparency_data else mode, metadata)


def _array_pixels(samples: np.ndarray, metadata: Metadata, strip: bool, orientation: int) -> Pixels:
    if not strip:
        return Pixels(samples, metadata=metadata)
    return Pixels(deep.oriented(samples, orientation), metadata=_stripped(metadata))


def _stripped(metadata: Metadata) -> Metadata:
    """Leave the profile alone, without which colours would be others."""
    return tuple(item for item in metadata if item[0] == MetadataKind.ICC)


def _refuse_frames(image: Image.Image, strip: bool) -> None:
    """Refuse what has several pictures; of a camera's MPO, `strip` keeps the first."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and not (strip and image.format == "MPO"):
        way = "strip to keep the first" if image.format == "MPO" else "encode them one by one"
        raise ImageError(f"the file has {frames} pictures, of which one can be kept; {way}")


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


def metadata_of(image: Image.Image) -> Metadata:
    """Return the ICC profile, EXIF and XMP of an image that is loaded."""
    found = ((kind, _item(image, key)) for kind, key in _KEYS.items())
    return tuple((kind, value) for kind, value in found if value)


def _item(image: Image.Image, key: str) -> bytes:
    value = image.info.get(key) or b""
    if key == "exif" and not value:
        value = _exif_elsewhere(image)
    return value.encode() if isinstance(value, str) else bytes(value)


def _exif_elsewhere(image: Image.Image) -> bytes:
    """Return EXIF that stands in the text of an old PNG, or among the own tags of a TIFF."""
    found = image.getexif()
    if RAW_EXIF in image.info or not len(found):
        return found.tobytes() if len(found) else b""
    exif = Image.Exif()
    exif.load(found.tobytes())
    for tag in _TIFF_STRUCTURE & set(exif):
        del exif[tag]
    return exif.tobytes() if len(exif) else b""


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"the array is {array.dtype}, not uint8 or uint16")
    samples = array[..., None] if array.ndim == 2 else array
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or not samples.size:
        raise ImageError(f"the array has shape {array.shape}, not (H, W) or (H, W, 1...4)")
    return samples


def info_of(metadata: Metadata) -> dict[str, bytes]:
    """Name metadata as Pillow's `info` does, where its writers look for it."""
    return {_KEYS[kind]: value for kind, value in metadata}


def metadata_from(info: Mapping[str, bytes]) -> Metadata:
    """Return metadata that is named as Pillow's `info` names it.

    Raises:
        InvalidField: a name is none of these.
    """
    if unknown := sorted(set(info) - set(METADATA_KEYS)):
        raise InvalidField(f"metadata {unknown[0]} is not one of {', '.join(METADATA_KEYS)}")
    return tuple((kind, bytes(info[key])) for kind, key in _KEYS.items() if info.get(key))


def to_image(pixels: Pixels, info: dict[str, bytes]) -> Image.Image:
    """Return pixels as a Pillow image, their own where they lie in one.

    Args:
        pixels: 16-bit grey becomes I;16; 16-bit colour, for which Pillow has no mode, 8 bits.
        info: what its `info` gets.
    """
    own = pixels.source
    image = _image_of(own) if isinstance(own, np.ndarray) else own
    image.info.update(info)
    return image


def _image_of(samples: np.ndarray) -> Image.Image:
    grey = samples.shape[2] == 1
    if samples.dtype == np.uint16 and not grey:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(samples[..., 0] if grey else samples))
