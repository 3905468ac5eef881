"""Image files: opened, and known by their names."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import warnings
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from ...bitstream import MAGIC
from ..errors import ImageError, one_line, tell_left_out
from ..locks import lock
from . import jxl
from .exif import is_bounded
from .limits import check_size
from .pages import RAW_PHOTOGRAPH, is_raw_name
from .segments import (
    exif_of_jpeg,
    png_chunks,
    png_damage,
    with_checksums,
    without_damaged_chunks,
    without_large_texts,
)
from .signatures import JPEG, JXL, PNG, TIFF, suffix_of
from .sixteen_bits import tiff_as_png

_FORMATS = dict.fromkeys((".heic", ".heif", ".hif"), "HEIC") | {".jxl": "JPEG XL"}
"""Formats that packages teach Pillow."""

_BEGINNING = 64  # bytes, by which formats are told
_MOST_EXIF = 1 << 24
"""Bytes that the EXIF of a JPEG may ask Pillow for, which reads it when it opens the file."""


_FILTERS = lock()
"""Filters of warnings are those of the whole process: threads that change them take turns."""


def _missing(name: str) -> str:
    return f"{name} needs a package that is not installed: pip install 'hvae-codec[formats]'"


@functools.cache
def _register_openers() -> None:
    """Teach Pillow HEIC and JPEG XL, where the packages for them are installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401  (registers)


def read_image(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Open an image file in any format that Pillow knows, and HEIC and JPEG XL.

    The image is not loaded: `to_pixels` reads its samples, also those that Pillow would cut to
    8 bits. Close it, or use it in a `with` statement.

    Args:
        source: the path of the file, or its bytes.

    Raises:
        OSError: the file is absent, no image, damaged, or larger than Pillow's limit.
    """
    try:
        if not isinstance(source, bytes) and not os.path.isfile(source):
            source = Path(source).read_bytes()  # a pipe, for which no other thread is to wait
        return _opened_or_mended(source)
    except MemoryError:
        raise
    except ImageError as refusal:
        raise OSError(str(refusal)) from refusal
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"cannot be read as an image ({one_line(error)})") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise OSError(f"cannot be read as an image ({one_line(error)})") from error


def _opened_or_mended(source: str | os.PathLike[str] | bytes) -> Image.Image:
    try:
        return _opened(source)
    except (UnidentifiedImageError, ValueError) as error:
        is_unknown = isinstance(error, UnidentifiedImageError)
        if is_unknown and not isinstance(source, bytes) and is_raw_name(source):
            raise ImageError(RAW_PHOTOGRAPH) from None
        return _mended(source, error)


def _opened(source: str | os.PathLike[str] | bytes) -> Image.Image:
    _refuse_traps(source)
    with _FILTERS, warnings.catch_warnings():
        # Pillow warns from half of its limit on; the limit itself is enough.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        except UnidentifiedImageError:
            _register_openers()  # only now: they take a while to import
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _refuse_traps(source: str | os.PathLike[str] | bytes) -> None:
    """Refuse what would take time and memory before Pillow has opened it.

    Raises:
        ImageError: EXIF of a JPEG asks for too much, or it has no pixels.
        DecompressionBombError: a JPEG XL, which its opener unpacks at once, has too many pixels.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        begin = file.read(_BEGINNING)
        file.seek(0)
        if begin.startswith(JPEG) and not is_bounded(exif_of_jpeg(file), _MOST_EXIF):
            raise ImageError("its EXIF asks for the same bytes again and again")
        if begin.startswith(JXL):
            header = jxl.header_of(file.read())
            check_size(header.width, header.height)


def _known(suffix: str) -> dict[str, str]:
    """Return Pillow's formats by suffix: more and more of them, until it is among them."""
    Image.preinit()  # the most common ones, fast
    if suffix in Image.EXTENSION:
        return Image.EXTENSION
    if suffix not in Image.registered_extensions():
        _register_openers()
    return Image.registered_extensions()


def _mended(source: str | os.PathLike[str] | bytes, error: ValueError | OSError) -> Image.Image:
    """Open what Pillow does not: a TIFF of grey and alpha of 16 bits, or a PNG with odd chunks.

    Chunks that a PNG can do without are left out: damaged ones, and texts that are too large.

    Args:
        source: of the image.
        error: what Pillow said of it.

    Raises:
        ImageError: it is neither, other chunks are damaged, nothing of that helps, or the library
            that reads 16 bits is not installed.
    """
    data = _whole_if(source, (PNG, *TIFF))
    if data.startswith(PNG):
        damage = png_damage(data)
        if damage and not ImageFile.LOAD_TRUNCATED_IMAGES:
            raise ImageError(damage)
        damaged = [c.kind.decode("latin1") for c in png_chunks(data) if not c.is_sound]
        whole = with_checksums(without_damaged_chunks(data))
        whole, large = without_large_texts(whole)
        with contextlib.suppress(UnidentifiedImageError, ValueError):
            image = _opened(whole)
            name = "" if isinstance(source, bytes) else os.fsdecode(source)
            names = [*(f"damaged chunk {kind}" for kind in damaged), *large]
            tell_left_out(name, names)
            return image
    if data.startswith(TIFF) and (png := tiff_as_png(data)):
        return _opened(png)
    if isinstance(error, UnidentifiedImageError):
        raise ImageError(_what_it_looks_like(data))
    raise error


def _whole_if(source: str | os.PathLike[str] | bytes, beginnings: tuple[bytes, ...]) -> bytes:
    """Return a file of one kind whole, and the beginning of all else, which may be of any size."""
    if isinstance(source, bytes):
        return source
    with Path(source).open("rb") as file:
        begin = file.read(_BEGINNING)
        return begin + file.read() if begin.startswith(beginnings) else begin


def _what_it_looks_like(data: bytes) -> str:
    """Say of a file that Pillow does not open whether it begins like one of a known format."""
    if not data:
        return "the file is empty"
    if data.startswith(MAGIC):
        return "coded already: `decode` makes an image of it"
    suffix = suffix_of(data)
    if suffix == "heic" and "HEIF" not in Image.OPEN:
        return _missing("HEIC")
    if suffix == "jxl" and "JXL" not in Image.OPEN:
        return _missing("JPEG XL")
    for name, (_, accepts) in Image.OPEN.items():
        if accepts and len(data) > 4 and accepts(data[:16]) is True:
            return f"damaged, or a {name} of a kind that Pillow does not know"
    return "not an image in a format that Pillow knows"


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Tell by its suffix whether a file would be an image, of a format that is read or could be."""
    suffix = Path(path).suffix.lower()
    return suffix in _known(suffix) or suffix in _FORMATS


def format_of(suffix: str) -> str:
    """Return Pillow's name of the format that a suffix such as `.png` stands for.

    Raises:
        ImageError: Pillow writes no format with this suffix.
    """
    suffix = suffix.lower()
    name = _known(suffix).get(suffix)
    if name is None and suffix in _FORMATS:
        raise ImageError(_missing(_FORMATS[suffix]))
    if name is None or name.upper() not in Image.SAVE:
        what = f"'{suffix}'" if suffix else "a name without a suffix"
        raise ImageError(f"no image format is known for {what}")
    return name
