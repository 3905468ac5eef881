"""Curves that others published for Kodak, and the names of all that a run compares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

from .bjontegaard_delta import Curve
from .codecs import Codec
from .datasets import KODAK
from .metrics import ms_ssim_db


class UnknownAnchor(ValueError):
    """The anchor is neither measured nor published."""


@dataclass(frozen=True)
class Published:
    """Curves that others published for Kodak."""

    psnr_curve: Curve
    ms_ssim_curve: Curve | None
    source: str
    ssimulacra2_curve: None = None


def curve_names(codecs: Sequence[Codec], published: Iterable[str]) -> list[str]:
    """Name all curves that a run compares: those it measures, then published ones."""
    return [*(codec.name for codec in codecs if not codec.times_only), *published]


def choose_anchor(asked: str | None, names: Sequence[str]) -> str:
    """Take the anchor that was asked for; else JPEG, or the first of the others.

    Raises:
        UnknownAnchor: none of the curves has this name.
    """
    if asked is None:
        return "jpeg" if "jpeg" in names else [*names[1:], *names][0]
    if asked not in names:
        raise UnknownAnchor(f"anchor '{asked}' is not one of {', '.join(names)}")
    return asked


def published_beside(codecs: Sequence[Codec], paths: Sequence[Path]) -> dict[str, Published]:
    """Return the published curves of the Kodak images, but for codecs that are measured.

    Raises:
        OSError: an image of Kodak's names cannot be read.
    """
    curves = published_curves() if is_kodak(paths) else {}
    measured = {codec.name for codec in codecs if not codec.times_only}
    return {name: curve for name, curve in curves.items() if name not in measured}


def is_kodak(paths: Sequence[Path]) -> bool:
    """Recognise the 24 images of the Kodak suite by names and sizes; their parts are others."""
    if {path.name for path in paths} != set(KODAK):
        return False
    for path in paths:
        with Image.open(path) as image:
            if sorted(image.size) != [512, 768]:
                return False
    return True


def published_curves() -> dict[str, Published]:
    """Read the curves that others published for Kodak, with their sources."""
    text = (files(__package__ or "") / "published.json").read_text("utf-8")
    return {
        name: Published(
            Curve(tuple(entry["bpp"]), tuple(entry["psnr"])),
            Curve(tuple(entry["bpp"]), tuple(map(ms_ssim_db, entry["ms_ssim"])))
            if "ms_ssim" in entry
            else None,
            entry["source"],
        )
        for name, entry in json.loads(text).items()
    }
