"""16 bits a channel: PNG and TIFF files whose colours Pillow would cut to 8 bits in silence.

imagecodecs and tifffile read and write them (`pip install 'hvae-codec[deep]'`).
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from .errors import ImageError

_BITS_PER_SAMPLE = 258  # a tag of TIFF
_MINISBLACK, _RGB = 1, 2
ORIENTATION = 274
"""The tag of TIFF and of EXIF."""

_ASSOCIATED, _UNASSOCIATED = 1, 2  # what TIFF calls premultiplied alpha, and alpha


def rawmodes(image: Image.Image) -> list[str]:
    """Return how the samples of an image lie in its file; nothing once it is loaded."""
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    every = [a if isinstance(a, tuple | list) else (a,) for a in arguments]
    return [part for parts in every for part in parts if isinstance(part, str)]


def is_cut_by_pillow(image: Image.Image) -> bool:
    """Tell whether loading the image would cut its samples to 8 bits.

    Raises:
        ImageError: it has more than 8 bits a channel, of a kind that cannot be read otherwise.
    """
    found = rawmodes(image)
    odd = [raw for raw in found if ";12" in raw or (";16" in raw and raw.endswith("S"))]
    maxima = [t[3][1] for t in getattr(image, "tile", ()) if t[0] in ("ppm", "ppm_plain")]
    if odd or max(maxima, default=0) > 255:
        raise ImageError("only 8 and 16 bits a channel of PNG and TIFF are supported; convert it")
    cut = _is_deep(image, found) and not image.mode.startswith("I;16")
    if cut and (image.format not in ("PNG", "TIFF") or image.mode == "CMYK"):
        raise ImageError(
            f"{image.format} of 16 bits a channel and mode {image.mode} is not supported; "
            "convert it to RGB in PNG or TIFF, or to 8 bits"
        )
    return cut


def _is_deep(image: Image.Image, rawmodes: list[str]) -> bool:
    if image.format == "TIFF" and rawmodes:  # which do not tell where channels lie apart
        return 16 in getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return any(";16" in raw and raw != "BGR;16" for raw in rawmodes)  # that has 16 bits a pixel


def file_of(image: Image.Image) -> bytes:
    """Return the bytes of the file that an image was opened from and not yet loaded.

    Raises:
        ImageError: it is closed.
    """
    stream: Any = getattr(image, "fp", None)
    if stream is None:
        raise ImageError("the image's file is closed: its 16 bits cannot be read")
    stream.seek(0)
    return stream.read()


def read(
    data: bytes, format: str | None, transparency: int | tuple[int, ...] | None = None
) -> np.ndarray:
    """Read the samples of a PNG or TIFF of 16 bits: uint16 (H, W, 1...4).

    Args:
        data: the file.
        format: PNG or TIFF.
        transparency: the colour that a PNG makes transparent.

    Raises:
        ImageError: what reads it is not installed, or it is of a kind that is not supported.
    """
    if format == "TIFF":
        return _read_tiff(data)
    samples = _imagecodecs().png_decode(data)
    samples = samples[..., None] if samples.ndim == 2 else samples
    return with_transparency(samples, transparency)


def with_transparency(samples: np.ndarray, color: int | tuple[int, ...] | None) -> np.ndarray:
    """Add alpha that makes one colour transparent, as PNG has it: uint16 (H, W, C) -> C + 1."""
    if color is None or samples.shape[2] in (2, 4):
        return samples
    opaque = (samples != np.array(color, np.uint16)).any(axis=2, keepdims=True)
    return np.concatenate([samples, opaque * np.uint16(65535)], axis=2, dtype=np.uint16)


def _read_tiff(data: bytes) -> np.ndarray:
    with _tifffile().TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        colors = {_MINISBLACK: 1, _RGB: 3}.get(int(page.photometric), 0)
        extra = [int(kind) for kind in page.extrasamples or ()]
        if not colors or len(extra) > 1 or _ASSOCIATED in extra or page.dtype != np.uint16:
            raise ImageError(
                "TIFF of 16 bits must be unsigned grey or RGB, with no more than one alpha that "
                "is not premultiplied"
            )
        samples = page.asarray()
        samples = np.moveaxis(samples, 0, -1) if int(page.planarconfig) == 2 else samples
        orientation = page.tags.valueof("Orientation", 1)
    samples = samples[..., None] if samples.ndim == 2 else samples
    channels = colors + (_UNASSOCIATED in extra)  # an extra sample of no meaning is padding
    return oriented(samples[..., :channels], int(orientation))


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none or EXIF is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow's reader of damaged EXIF raises nearly anything
        return 1


def oriented(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1...8, to samples (H, W, C)."""
    if orientation in (5, 6, 7, 8):
        samples = samples.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples


def write(samples: np.ndarray, format: str, info: dict[str, bytes]) -> bytes:
    """Write samples of 16 bits as a file.

    Args:
        samples: uint16 (H, W, 1...4).
        format: PNG or TIFF.
        info: `icc_profile`, `exif` and `xmp`, as Pillow has them. TIFF takes no more of EXIF than
            the orientation.

    Raises:
        ImageError: the format cannot hold them, or what writes it is not installed.
    """
    if format == "PNG":
        return _with_chunks(_imagecodecs().png_encode(np.ascontiguousarray(samples)), info)
    if format != "TIFF":
        raise ImageError(f"{format} does not hold 16 bits a channel; write PNG or TIFF")
    channels, buffer, tags = samples.shape[2], io.BytesIO(), []
    teller = Image.new("L", (1, 1))
    teller.info["exif"] = info.get("exif", b"")
    if (turn := orientation_of(teller)) in range(2, 9):
        tags.append((ORIENTATION, "H", 1, turn, True))
    if xmp := info.get("xmp"):
        tags.append((700, "B", len(xmp), xmp, True))
    _tifffile().imwrite(
        buffer,
        samples[..., 0] if channels == 1 else samples,
        photometric="minisblack" if channels < 3 else "rgb",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        planarconfig="contig" if channels > 1 else None,
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=info.get("icc_profile"),
        extratags=tags,
    )
    return buffer.getvalue()


def _with_chunks(png: bytes, info: dict[str, bytes]) -> bytes:
    """Put metadata behind the signature and the IHDR chunk of a PNG, 33 bytes together."""
    buffer = io.BytesIO()
    if icc := info.get("icc_profile"):
        PngImagePlugin.putchunk(buffer, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if exif := info.get("exif"):
        PngImagePlugin.putchunk(buffer, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if xmp := info.get("xmp"):
        PngImagePlugin.putchunk(buffer, b"iTXt", b"XML:com.adobe.xmp" + b"\0" * 5 + xmp)
    assert struct.unpack_from(">I4s", png, 8) == (13, b"IHDR")
    return png[:33] + buffer.getvalue() + png[33:]


def _imagecodecs() -> Any:  # noqa: ANN401
    try:
        import imagecodecs
    except ImportError:
        raise _missing() from None
    return imagecodecs


def _tifffile() -> Any:  # noqa: ANN401
    _imagecodecs()  # which unpacks for it
    try:
        import tifffile
    except ImportError:
        raise _missing() from None
    return tifffile


def _missing() -> ImageError:
    return ImageError("16 bits a channel need another package: pip install 'hvae-codec[deep]'")
