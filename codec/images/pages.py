"""Which of a file's pictures is the one that its owner means: no thumbnail, no reduced copy.

Pillow opens a raw photograph of TIFF's kind as the thumbnail in its first directory, and lists a
page beside its own reduced copy as two pictures.
"""

from __future__ import annotations

import itertools
import os
from pathlib import PurePath
from typing import Any

from PIL import Image, TiffImagePlugin

from ..errors import ImageError
from .limits import check_size

# Tags of TIFF (TIFF 6.0, TIFF/EP, DNG).
_SUBFILE_TYPE, _WIDTH, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 254, 256, 262, 330, 50706
_DEPTH = 32997  # planes of a volume, which Pillow does not know
_REDUCED, _MASK = 1, 4
_MOST_DIRECTORIES = 64
"""That are looked at; each costs time, and a small file may list one a hundred thousand times."""

_SENSOR = {32803, 34892}
"""Photometric interpretations of samples that are to be developed yet: CFA and LinearRaw."""

_RAW_SUFFIXES = {
    ".3fr", ".ari", ".arw", ".bay", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr",
    ".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw",
    ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
}  # fmt: skip
RAW_PHOTOGRAPH = "a raw photograph, of which only a preview could be read; develop it first"

_DRAWINGS = {"EPS", "WMF"}
"""Formats that Pillow hands to a program of its own (Ghostscript), whoever wrote the file."""

_SMALLER_COPY = {"PCD"}
"""Formats of which Pillow reads a smaller copy than they hold."""


def is_raw_name(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> bool:
    """Tell by its suffix whether a file is a raw photograph."""
    return PurePath(os.fsdecode(path)).suffix.lower() in _RAW_SUFFIXES


def _refuse_previews(image: Image.Image) -> None:
    """Refuse what stands for another picture than the one that Pillow reads.

    Raises:
        ImageError: it is a raw photograph, or Pillow reads a smaller copy of it.
    """
    if image.format in _DRAWINGS:
        raise ImageError(f"{image.format} is a drawing, which a program would have to run")
    if image.format in _SMALLER_COPY:
        raise ImageError(f"of {image.format}, only a smaller copy can be read; convert it first")
    name = getattr(image, "filename", "")
    if image.format and name and is_raw_name(name):
        raise ImageError(RAW_PHOTOGRAPH)
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return
    if _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR or _is_canon(image):
        raise ImageError(RAW_PHOTOGRAPH)
    kind = tags.get(_SUBFILE_TYPE, 0)
    for directory in _sub_directories(image):
        is_whole = not directory.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK)
        larger = directory.get(_WIDTH, 0) > image.width
        if directory.get(_PHOTOMETRIC) in _SENSOR or (is_whole and (larger or kind & _REDUCED)):
            raise ImageError(RAW_PHOTOGRAPH)
    if kind & _REDUCED and getattr(image, "n_frames", 1) == 1:
        raise ImageError("its only page is marked as the reduced copy of another picture")


def choose_page(image: Image.Image, page: int | None) -> list[str]:
    """Stand at the picture that is to be coded; nothing is loaded.

    Args:
        image: of one picture or several.
        page: its number from 1 on; None where the file is to have one, beside reduced copies of it
            and what a camera adds to its photograph.

    Returns:
        What stays behind, as a person names it.

    Raises:
        ImageError: the file has no such page, several and none was chosen; the page is a volume,
            or Pillow reads another picture than the one that is meant.
        DecompressionBombError: the page is larger than Pillow's limit.
    """
    _refuse_previews(image)
    left_out = _choose(image, page)
    refuse_volume(getattr(image, "tag_v2", {}).get(_DEPTH))
    if image.tell():  # of the first one Pillow asks when it opens the file
        check_size(image.width, image.height)
    return left_out


def _choose(image: Image.Image, page: int | None) -> list[str]:
    pages = getattr(image, "n_frames", 1)
    if page is not None:
        if not 1 <= page <= pages:
            raise ImageError(f"page {page} is outside 1...{pages}")
        if pages > 1:
            image.seek(int(page) - 1)
        return _more("picture", pages - 1)
    if pages == 1:
        sizes = image.info["sizes"] if image.format in ("ICO", "ICNS") else ()
        return _more("picture", max(1, len(sizes)) - 1)
    if image.format == "MPO":
        return _more("picture", pages - 1)
    whole = _whole_pages(image, pages) if image.format == "TIFF" else []
    if len(whole) != 1:
        raise ImageError(
            f"the file has {pages} pictures, of which one can be kept; choose a page (--page N)"
        )
    image.seek(whole[0])
    return _more("reduced copy", pages - 1)


def refuse_volume(planes: object) -> None:
    """Refuse a TIFF of several planes, of which Pillow reads one.

    Args:
        planes: what its tag of them says, where it has one.

    Raises:
        ImageError: there are several.
    """
    if isinstance(planes, int) and planes > 1:
        raise ImageError(f"a volume of {planes} planes, of which one can be kept; save it alone")


def _more(noun: str, count: int) -> list[str]:
    plural = {"picture": "more pictures", "reduced copy": "reduced copies"}[noun]
    one = {"picture": "1 more picture", "reduced copy": "its reduced copy"}[noun]
    return [one if count == 1 else f"{count} {plural}"] if count else []


def _whole_pages(image: Image.Image, pages: int) -> list[int]:
    """Return the pages of a TIFF that are no reduced copies or masks of others, two at most."""
    at, found = image.tell(), []
    for number in range(pages):
        image.seek(number)
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        if not tags.get(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK):
            found.append(number)
            if len(found) == 2:
                break
    image.seek(at)
    return found


def _is_canon(image: Image.Image) -> bool:
    """Tell whether a TIFF is Canon's CR2, which marks itself behind the header."""
    stream = getattr(image, "fp", None)
    if stream is None:
        return False
    at = stream.tell()
    stream.seek(8)
    mark = stream.read(2)
    stream.seek(at)
    return mark == b"CR"


def _sub_directories(image: Image.Image) -> list[Any]:
    """Read the directories that a TIFF keeps beside its pages; none where its file is closed."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    stream = getattr(image, "fp", None)
    offsets = tags.get(_SUB_DIRECTORIES, ())
    if stream is None:
        return []
    found, at = [], stream.tell()
    places = dict.fromkeys(offsets if isinstance(offsets, tuple) else (offsets,))
    for offset in itertools.islice(places, _MOST_DIRECTORIES):
        stream.seek(0)
        header = stream.read(8)
        header += stream.read(8) if 43 in header[2:4] else b""  # BigTIFF
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(offset)
        directory.load(stream)
        found.append(directory)
    stream.seek(at)
    return found
