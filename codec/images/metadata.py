"""ICC profile, EXIF, XMP, text and resolution, as Pillow has them, and EXIF's orientation."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from ...bitstream import ArgumentError, InvalidField, Metadata, MetadataKind
from .exif import ORIENTATION, exif_orientation, is_bounded
from .segments import MARK

_KEYS = {MetadataKind.ICC: "icc_profile", MetadataKind.EXIF: "exif", MetadataKind.XMP: "xmp"}
METADATA_KEYS = (*_KEYS.values(), "text", "dpi")
"""The names of metadata in the `info` of a Pillow image."""

COMMENT = "Comment"
"""The keyword of PNG's text that is the comment of a JPEG or a GIF."""

_XMP_TEXT = "XML:com.adobe.xmp"
RAW_TEXT = "Raw profile type "
_DPI = struct.Struct("<II")
_DPI_UNIT = 10_000

RAW_EXIF = "Raw profile type exif"
"""The text chunk in which ImageMagick stored EXIF before PNG had a chunk for it."""

XMP_TAG = 700
"""The tag of XMP in TIFF."""

TIFF_LAYOUT = {254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 280, 281, 284}
TIFF_LAYOUT |= {292, 293, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, *range(512, 522)}
TIFF_LAYOUT |= {529, 530, 532}
"""Tags of how the pixels of a TIFF are stored. EXIF may hold them; they do not describe the image.
"""

_ICC_TAG = 34675
_DIRECTORIES = {34665, 34853}  # EXIF's own, and that of GPS
NO_EXIF = TIFF_LAYOUT | {ORIENTATION, XMP_TAG, _ICC_TAG}
"""Tags of a TIFF that are no EXIF: of its layout, or kept elsewhere."""


def metadata_of(image: Image.Image) -> Metadata:
    """Return what an image tells of itself beside its pixels.

    Args:
        image: loaded, because some formats tell of their metadata only then.

    Returns:
        (kind, bytes) of ascending kinds, without the kinds that the image lacks.
    """
    info: dict[str, Any] = {key: _item(image, key) for key in _KEYS.values()}
    return metadata_from(info | {"text": _text_of(image), "dpi": _dpi_of(image)})


def stripped(metadata: Metadata) -> Metadata:
    """Leave out all but the ICC profile, without which the colours would be others, and DPI."""
    return tuple(item for item in metadata if item[0] in (MetadataKind.ICC, MetadataKind.DPI))


def info_of(metadata: Metadata) -> dict[str, Any]:
    """Name metadata as Pillow's `info` does, where its writers look for it.

    Returns:
        `icc_profile`, `exif` and `xmp`, bytes each, `text`, a dict of strings, and `dpi`, two
        numbers; without those that are not there.

    Raises:
        InvalidField: text or resolution are none.
    """
    found = dict(metadata)
    info: dict[str, Any] = {key: found[kind] for kind, key in _KEYS.items() if kind in found}
    if (item := found.get(MetadataKind.TEXT)) is not None:
        info["text"] = _unpack_text(item)
    if (item := found.get(MetadataKind.DPI)) is not None:
        if len(item) != _DPI.size:
            raise InvalidField(f"the resolution has {len(item)} bytes, not {_DPI.size}")
        across, down = _DPI.unpack(item)
        info["dpi"] = across / _DPI_UNIT, down / _DPI_UNIT
    return info


def metadata_from(info: Mapping[str, Any]) -> Metadata:
    """Return metadata that is named as Pillow's `info` names it; the reverse of `info_of`.

    Raises:
        ArgumentError: it is no mapping, a name is none of `METADATA_KEYS`, or a value is of
            another kind.
    """
    if not isinstance(info, Mapping):
        raise ArgumentError(f"metadata is {info!r}, not a dict")
    if unknown := sorted(map(str, set(info) - set(METADATA_KEYS))):
        raise ArgumentError(f"metadata {unknown[0]} is not one of {', '.join(METADATA_KEYS)}")
    given = {key: value for key, value in info.items() if _is_given(value)}
    found = [(kind, _bytes(key, given[key])) for kind, key in _KEYS.items() if key in given]
    if "text" in given:
        found.append((MetadataKind.TEXT, _pack_text(given["text"])))
    if "dpi" in given:
        found.append((MetadataKind.DPI, _pack_dpi(given["dpi"])))
    return tuple(found)


def _is_given(value: Any) -> bool:  # noqa: ANN401
    try:
        return bool(value)
    except ValueError:  # an array of several numbers
        return True


def _bytes(key: str, value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, Image.Exif):
        return value.tobytes()
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ArgumentError(f"metadata {key} is of type {type(value).__name__}, not bytes")
    return bytes(value)


def _pack_text(text: Any) -> bytes:  # noqa: ANN401
    if not isinstance(text, Mapping) or not all(
        isinstance(part, str) for item in text.items() for part in item
    ):
        raise ArgumentError("metadata text is no dict of strings")
    return json.dumps(dict(text), ensure_ascii=False).encode("utf-8", "replace")


def _pack_dpi(dpi: Any) -> bytes:  # noqa: ANN401
    try:
        across, down = (float(value) for value in dpi)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"metadata dpi is {dpi!r}, not two numbers") from error
    if not all(0 < value < math.inf for value in (across, down)):
        raise ArgumentError(f"metadata dpi is {dpi!r}, not two numbers above 0")
    units = (round(value * _DPI_UNIT) for value in (across, down))
    return _DPI.pack(*(min(max(1, unit), 2**32 - 1) for unit in units))


def _unpack_text(item: bytes) -> dict[str, str]:
    try:
        text = json.loads(item.decode())  # of bytes it takes UTF-16 as well
    except (ValueError, RecursionError):
        text = None
    if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
        raise InvalidField("the text is no JSON object of strings")
    try:
        "".join(part for item in text.items() for part in item).encode()
    except UnicodeEncodeError as error:  # JSON may hold half of a character
        raise InvalidField("the text holds what is no Unicode") from error
    return text


def png_text(text: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield keywords and texts as PNG takes them: 1 to 79 Latin letters, and no NUL in either."""
    for key, value in text.items():
        keyword = key.replace("\0", " ").strip().encode("latin1", "replace")[:79].decode("latin1")
        yield keyword.strip() or COMMENT, value.replace("\0", " ")


def _text_of(image: Image.Image) -> dict[str, str]:
    """Return the text of a PNG, of which EXIF and XMP are kept as such, or a comment."""
    found = getattr(image, "text", None) or image.info.get("text")
    text = dict(found) if isinstance(found, dict) else {}
    comment = image.info.get("comment") if image.format != "JPEG2000" else None
    if comment and "comment" not in text:  # which is a text of its own
        text.setdefault(COMMENT, comment_text(comment))
    return {
        str(key).removeprefix(MARK): str(value)
        for key, value in text.items()
        if key != _XMP_TEXT and not str(key).startswith(RAW_TEXT)
    }


def comment_text(comment: Any) -> Any:  # noqa: ANN401
    """Return the comment of a file as text; what is not bytes, as it is."""
    if not isinstance(comment, bytes):
        return comment
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin1")


def _dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution, where the file tells it and no EXIF of it does.

    Pillow makes one up for a JPEG with EXIF and for a TIFF that do not tell any.
    """
    dpi = image.info.get("dpi")
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit", 0) not in (1, 2):
        return None
    if image.format == "TIFF" or not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    return dpi if all(0 < value < 1e5 for value in dpi) else None


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1...8; 1 where there is none or EXIF is damaged."""
    exif = _exif_at_hand(image)
    if (found := exif_orientation(exif)) != 1 or not is_bounded(exif):
        return found
    try:
        return int(image.getexif().get(ORIENTATION, 1))  # which a TIFF or XMP may tell
    except Exception:  # Pillow's reader of damaged EXIF raises nearly anything
        return 1


def has_bounded_exif(image: Image.Image) -> bool:
    """Tell whether the EXIF of an image can be left to Pillow: see `exif.is_bounded`."""
    return is_bounded(_exif_at_hand(image))


def _exif_at_hand(image: Image.Image) -> bytes:
    """Return EXIF from where it belongs, or from the text of an old PNG; nothing of a TIFF."""
    found = image.info.get("exif")
    if found is None and RAW_EXIF in image.info:
        with contextlib.suppress(ValueError):  # no hexadecimal digits
            return bytes.fromhex("".join(str(image.info[RAW_EXIF]).split("\n")[3:]))
    return bytes(found) if isinstance(found, bytes | bytearray) else b""


_T = Image.Transpose
UPRIGHT = {
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE,
    6: _T.ROTATE_270, 7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip
"""What turns a picture upright, by its orientation."""


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


def _item(image: Image.Image, key: str) -> Any:  # noqa: ANN401
    found = image.info.get(key)
    return _exif_elsewhere(image) if key == "exif" and not found else found


def _exif_elsewhere(image: Image.Image) -> bytes:
    """Return EXIF from the text of an old PNG, or from the tags of a TIFF."""
    if not has_bounded_exif(image):
        return _exif_at_hand(image)
    found = image.getexif()
    if RAW_EXIF in image.info or not len(found):
        return found.tobytes() if len(found) else b""
    exif = Image.Exif()
    if found.bigtiff:  # as which Pillow would write it, and read nothing of it
        for tag, value in found.items():
            exif[tag] = dict(found.get_ifd(tag)) if tag in _DIRECTORIES else value
    else:
        exif.load(found.tobytes())
    for tag in NO_EXIF & set(exif):
        del exif[tag]
    return exif.tobytes() if len(exif) else b""
