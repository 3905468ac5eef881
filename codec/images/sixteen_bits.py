"""16 bits a channel: PNG and TIFF, whose colours Pillow would cut to 8 bits without a word.

imagecodecs and tifffile read and write them (`pip install 'hvae-codec[deep]'`). Pillow has a mode
for grey of 16 bits alone, I;16.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin

from ..errors import ImageError
from .exif import ORIENTATION, exif_orientation, is_bounded
from .limits import check_size
from .metadata import NO_EXIF, XMP_TAG, png_text, upright
from .pages import refuse_volume
from .profiles import codes_of
from .segments import critical_chunks, with_all_pixels

# Tags of TIFF, and their values.
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_ASSOCIATED, _UNASSOCIATED = 1, 2  # premultiplied alpha, and alpha


def read_sixteen_bits(image: Image.Image) -> tuple[np.ndarray, Image.Image] | None:
    """Read the samples of an image that has 16 bits a channel.

    Where Pillow would cut the samples, this function reads the image's file anew. It does not load
    the given image then.

    Args:
        image: not loaded yet; a loaded one has lost what Pillow cuts.

    Returns:
        The samples, uint16 (H, W, 1...4), and a loaded image of the same metadata. None for an
        image of 8 bits a channel, which is loaded then.

    Raises:
        ImageError: the image is of a kind that is not supported, its file is closed, or the
            library that reads it is not installed.
    """
    if _is_cut_by_pillow(image):
        data = _file_of(image)
        if image.format == "PNG" and image.tell():
            raise ImageError("of an animated PNG of 16 bits only the first picture can be read")
        loaded = Image.open(io.BytesIO(data), formats=[image.format or ""])
        loaded.seek(image.tell())
        loaded.load()  # Pillow would cut the samples of the given image
        if image.format == "TIFF":
            return _read_tiff(data, image.tell()), loaded
        tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
        pixels = with_all_pixels(data) if tolerant else critical_chunks(data)
        samples = _imagecodecs().png_decode(pixels)
        samples = samples[..., None] if samples.ndim == 2 else samples
        return _with_transparency(samples, image.info.get("transparency")), loaded
    image.load()
    if not image.mode.startswith("I;16"):
        return None
    samples = np.asarray(image).astype(np.uint16)[..., None]
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        samples = 65535 - samples  # Pillow inverts 8 bits alone
    return _with_transparency(samples, image.info.get("transparency")), image


def _is_cut_by_pillow(image: Image.Image) -> bool:
    """Tell whether loading the image would cut its samples to 8 bits.

    Raises:
        ImageError: the image has more than 8 bits a channel, and no library here reads it.
    """
    tiles = getattr(image, "tile", ())  # empty once the image is loaded
    arguments = [a if isinstance(a, tuple | list) else (a,) for a in (tile[3] for tile in tiles)]
    rawmodes = [part for parts in arguments for part in parts if isinstance(part, str)]
    odd = [raw for raw in rawmodes if ";12" in raw or (";16" in raw and raw.endswith("S"))]
    maxima = [tile[3][1] for tile in tiles if tile[0] in ("ppm", "ppm_plain")]
    if odd or max(maxima, default=0) > 255:
        raise ImageError("only 8 and 16 bits a channel of PNG and TIFF are supported; convert it")
    cut = _has_sixteen_bits(image, rawmodes) and not image.mode.startswith("I;16")
    if cut and (image.format not in ("PNG", "TIFF") or image.mode == "CMYK"):
        raise ImageError(
            f"{image.format} of 16 bits a channel and mode {image.mode} is not supported; "
            "convert it to RGB in PNG or TIFF, or to 8 bits"
        )
    return cut


def _has_sixteen_bits(image: Image.Image, rawmodes: list[str]) -> bool:
    if image.format == "TIFF" and rawmodes:  # which do not tell where channels lie apart
        return 16 in getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return any(";16" in raw and raw != "BGR;16" for raw in rawmodes)  # that has 16 bits a pixel


def _file_of(image: Image.Image) -> bytes:
    stream: Any = getattr(image, "fp", None)
    if stream is None:
        raise ImageError("the image's file is closed: its 16 bits cannot be read")
    stream.seek(0)
    return stream.read()


def _with_transparency(samples: np.ndarray, color: int | tuple[int, ...] | None) -> np.ndarray:
    """Add alpha that makes one colour transparent, as PNG has it: uint16 (H, W, C) -> C + 1."""
    if color is None or samples.shape[2] in (2, 4):
        return samples
    opaque = (samples != np.array(color, np.uint16)).any(axis=2, keepdims=True)
    return np.concatenate([samples, opaque * np.uint16(65535)], axis=2, dtype=np.uint16)


def _read_tiff(data: bytes, page_number: int) -> np.ndarray:
    """Read samples of a page and turn them upright, as Pillow does when it loads a TIFF."""
    with _tifffile().TiffFile(io.BytesIO(data)) as file:
        page = file.pages[page_number]
        colors = {_BLACK_IS_ZERO: 1, _RGB: 3}.get(int(page.photometric), 0)
        extra = [int(kind) for kind in page.extrasamples or ()]
        if not extra and page.samplesperpixel == colors + 1:
            extra = [_UNASSOCIATED]  # as Pillow takes it
        if not colors or len(extra) > 1 or _ASSOCIATED in extra or page.dtype != np.uint16:
            raise ImageError(
                "TIFF of 16 bits must be unsigned grey or RGB, with no more than one alpha that "
                "is not premultiplied"
            )
        refuse_volume(page.imagedepth)
        width, height = page.imagewidth, page.imagelength
        check_size(width, height * -(-page.samplesperpixel // 4))  # up to 4 are expected
        samples = page.asarray()
        samples = np.moveaxis(samples, 0, -1) if int(page.planarconfig) == 2 else samples
        if samples.shape[:2] != (height, width):
            raise ImageError(f"its reader gives other pixels than {width}x{height}")
        orientation = page.tags.valueof("Orientation", 1)
    samples = samples[..., None] if samples.ndim == 2 else samples
    channels = colors + (_UNASSOCIATED in extra)  # an extra sample of no meaning is named
    return upright(samples[..., :channels], int(orientation))


def tiff_as_png(data: bytes) -> bytes | None:
    """Return a TIFF of grey and alpha of 16 bits, which Pillow does not open, as a PNG.

    Args:
        data: a TIFF file.

    Returns:
        None where it is of another kind, damaged, or of several pages.

    Raises:
        ImageError: it is a volume, or the library that reads it is not installed.
        DecompressionBombError: it is larger than Pillow's limit.
    """
    if not is_bounded(data):
        return None
    exif = Image.Exif()
    try:
        exif.load(data)  # EXIF is made as a TIFF is
        if exif.get(_BITS_PER_SAMPLE) != (16, 16):
            return None
        with _tifffile().TiffFile(io.BytesIO(data)) as file:
            if len(file.pages) > 1:
                return None
            profile = file.pages[0].tags.valueof("InterColorProfile")
            xmp = file.pages[0].tags.valueof("XMP")
        samples = np.ascontiguousarray(_read_tiff(data, 0))
    except (ImageError, MemoryError, Image.DecompressionBombError):
        raise
    except Exception:  # readers raise nearly anything on damaged data
        return None
    if samples.shape[2] != 2:
        return None  # its second channel is no alpha
    for tag in NO_EXIF & set(exif):
        del exif[tag]
    found = {"icc_profile": profile, "xmp": xmp, "exif": exif.tobytes() if len(exif) else None}
    return _with_chunks(_imagecodecs().png_encode(samples), found)


def write_sixteen_bits(samples: np.ndarray, format: str, info: Mapping[str, Any]) -> bytes:
    """Write samples of 16 bits as a file.

    Args:
        samples: uint16 (H, W, 1...4).
        format: PNG or TIFF.
        info: `icc_profile`, `exif`, `xmp`, `text` and `dpi`; see `metadata.info_of`. Of EXIF, TIFF
            takes the orientation alone, and no text.

    Returns:
        The whole file.

    Raises:
        ImageError: the format cannot hold them, or the library that writes it is not installed.
    """
    if format == "PNG":
        return _with_chunks(_imagecodecs().png_encode(np.ascontiguousarray(samples)), info)
    if format != "TIFF":
        raise ImageError(f"{format} does not hold 16 bits a channel; write PNG or TIFF, or 8 bits")
    channels, buffer, tags = samples.shape[2], io.BytesIO(), []
    if (orientation := exif_orientation(info.get("exif", b""))) in range(2, 9):
        tags.append((ORIENTATION, "H", 1, orientation, True))
    if xmp := info.get("xmp"):
        tags.append((XMP_TAG, "B", len(xmp), xmp, True))
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
        resolution=info.get("dpi"),
        resolutionunit="INCH" if "dpi" in info else None,
        extratags=tags,
    )
    return buffer.getvalue()


def _with_chunks(png: bytes, info: Mapping[str, Any]) -> bytes:
    """Put metadata behind the signature and the IHDR chunk of a PNG, 33 bytes together."""
    buffer = io.BytesIO()
    if icc := info.get("icc_profile"):
        PngImagePlugin.putchunk(buffer, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if codes := codes_of(icc):
            PngImagePlugin.putchunk(buffer, b"cICP", codes)
    if dpi := info.get("dpi"):
        across, down = (round(value / 0.0254) for value in dpi)
        PngImagePlugin.putchunk(buffer, b"pHYs", struct.pack(">IIB", across, down, 1))
    if exif := info.get("exif"):
        PngImagePlugin.putchunk(buffer, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if xmp := info.get("xmp"):
        PngImagePlugin.putchunk(buffer, b"iTXt", b"XML:com.adobe.xmp" + b"\0" * 5 + xmp)
    for keyword, value in png_text(info.get("text", {})):
        chunk = keyword.encode("latin1") + b"\0" * 5 + value.encode()
        PngImagePlugin.putchunk(buffer, b"iTXt", chunk)
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
