"""Curves that others published for Kodak, and the names of all that a run compares."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

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


def curve_names(codecs: Sequence[Codec], images: Iterable[str]) -> list[str]:
    """Name all curves that a run over images will compare: those measured, then published ones.

    The Kodak images are also compared with published curves, where the codec itself did not run.
    """
    measured = [codec.name for codec in codecs if not codec.times_only]
    return [*measured, *published_beside(measured, set(images))]


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


def published_beside(measured: Container[str], images: set[str]) -> dict[str, Published]:
    """Return the published curves of the Kodak images, but for codecs that were measured."""
    curves = published_curves() if is_kodak(images) else {}
    return {name: curve for name, curve in curves.items() if name not in measured}


def is_kodak(images: set[str]) -> bool:
    """Recognise the 24 images of the Kodak suite by their names."""
    return images == set(KODAK)


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
