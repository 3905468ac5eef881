"""ICC profile, EXIF and XMP, as Pillow has them, and the orientation that EXIF tells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from ...bitstream import InvalidField, Metadata, MetadataKind

_KEYS = {MetadataKind.ICC: "icc_profile", MetadataKind.EXIF: "exif", MetadataKind.XMP: "xmp"}
METADATA_KEYS = tuple(_KEYS.values())
"""The names of metadata in the `info` of a Pillow image."""

RAW_EXIF = "Raw profile type exif"
"""The text chunk in which ImageMagick stored EXIF before PNG had a chunk for it."""

ORIENTATION = 274
"""The tag of the orientation, in TIFF and in EXIF."""

XMP_TAG = 700
"""The tag of XMP in TIFF."""

TIFF_LAYOUT = {254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 284}
TIFF_LAYOUT |= {292, 293, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, *range(512, 522)}
TIFF_LAYOUT |= {529, 530, 532}
"""Tags of how the pixels of a TIFF are stored. EXIF may hold them; they do not describe the image.
"""

_ICC_TAG = 34675
# The orientation, XMP and the profile are tags of a TIFF, but no EXIF: they are kept elsewhere.
_NO_EXIF = TIFF_LAYOUT | {ORIENTATION, XMP_TAG, _ICC_TAG}


def metadata_of(image: Image.Image) -> Metadata:
    """Return the ICC profile, EXIF and XMP of an image.

    Args:
        image: loaded, because some formats tell of their metadata only then.

    Returns:
        (kind, bytes) of ascending kinds, without the kinds that the image lacks.
    """
    found = ((kind, _item(image, key)) for kind, key in _KEYS.items())
    return tuple((kind, value) for kind, value in found if value)


def stripped(metadata: Metadata) -> Metadata:
    """Leave out all but the ICC profile, without which the colours would be others."""
    return tuple(item for item in metadata if item[0] == MetadataKind.ICC)


def info_of(metadata: Metadata) -> dict[str, bytes]:
    """Name metadata as Pillow's `info` does, where its writers look for it."""
    return {_KEYS[kind]: value for kind, value in metadata}


def metadata_from(info: Mapping[str, bytes]) -> Metadata:
    """Return metadata that is named as Pillow's `info` names it; the reverse of `info_of`.

    Raises:
        InvalidField: a name is none of `METADATA_KEYS`.
    """
    if unknown := sorted(set(info) - set(METADATA_KEYS)):
        raise InvalidField(f"metadata {unknown[0]} is not one of {', '.join(METADATA_KEYS)}")
    return tuple((kind, bytes(info[key])) for kind, key in _KEYS.items() if info.get(key))


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1...8; 1 where there is none or EXIF is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow's reader of damaged EXIF raises nearly anything
        return 1


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to samples.

    Args:
        samples: (H, W, C).
        orientation: 1...8; any other number changes nothing.

    Returns:
        A view: (H, W, C), or (W, H, C) where the orientation is 5...8.
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def _item(image: Image.Image, key: str) -> bytes:
    value = image.info.get(key) or b""
    if key == "exif" and not value:
        value = _exif_elsewhere(image)
    return value.encode() if isinstance(value, str) else bytes(value)


def _exif_elsewhere(image: Image.Image) -> bytes:
    """Return EXIF from the text of an old PNG, or from the tags of a TIFF."""
    found = image.getexif()
    if RAW_EXIF in image.info or not len(found):
        return found.tobytes() if len(found) else b""
    exif = Image.Exif()
    exif.load(found.tobytes())
    for tag in _NO_EXIF & set(exif):
        del exif[tag]
    return exif.tobytes() if len(exif) else b""
