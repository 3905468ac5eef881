"""From single measurements to curves and BD-rates."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from statistics import fmean

from .metrics import Curve, bd_rate, overlap_db
from .run import OURS, Record

# Where photographs go from visibly coarse to visually lossless, and where all peers have points.
WINDOW_DB = (28.0, 40.0)


@dataclass(frozen=True)
class Point:
    """A codec at one setting: means over the images, each image weighing the same."""

    setting: int
    bpp: float
    psnr_db: float
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class CodecSummary:
    """A codec's points, in the order of their settings."""

    name: str
    description: str
    points: tuple[Point, ...]

    @property
    def curve(self) -> Curve:
        """The points as a rate–distortion curve."""
        return Curve(
            tuple(point.bpp for point in self.points), tuple(point.psnr_db for point in self.points)
        )


@dataclass(frozen=True)
class Comparison:
    """This codec's BD-rate against an anchor.

    Attributes:
        anchor: the codec compared with.
        published: its curve comes from its authors, not from this run.
        source: where its curve comes from.
        curve: its curve.
        bd_rate_percent: over `range_db`, all that both curves cover.
        window_bd_rate_percent: over `window_range_db`, the part of `WINDOW_DB` that they cover.
    """

    anchor: str
    published: bool
    source: str
    curve: Curve
    bd_rate_percent: float
    range_db: tuple[float, float] | None
    window_bd_rate_percent: float
    window_range_db: tuple[float, float] | None


@dataclass(frozen=True)
class Summary:
    """All that a run showed."""

    images: int
    codecs: tuple[CodecSummary, ...]
    comparisons: tuple[Comparison, ...]


def summarise(records: Sequence[Record]) -> Summary:
    """Average over the images and compare this codec with every peer.

    The Kodak images are also compared with published curves.
    """
    names = list(dict.fromkeys(record.codec for record in records))
    codecs = tuple(_codec_summary(name, records) for name in names)
    images = {record.image for record in records}
    own = next((codec.curve for codec in codecs if codec.name == OURS), None)
    comparisons: list[Comparison] = []
    if own is not None:
        comparisons += [
            _compare(codec.name, codec.curve, own, codec.description)
            for codec in codecs
            if codec.name != OURS
        ]
        if is_kodak(images):
            comparisons += [
                _compare(name, curve, own, source, published=True)
                for name, (curve, source) in published_curves().items()
            ]
    return Summary(len(images), codecs, tuple(comparisons))


def is_kodak(images: set[str]) -> bool:
    """Recognise the 24 images of the Kodak suite by their names."""
    return len(images) == 24 and all(re.fullmatch(r"kodim\d\d\.png", name) for name in images)


def published_curves() -> dict[str, tuple[Curve, str]]:
    """Read the curves that others published for Kodak, with their sources."""
    text = (files(__package__ or "") / "published.json").read_text("utf-8")
    return {
        name: (Curve(tuple(entry["bpp"]), tuple(entry["psnr"])), entry["source"])
        for name, entry in json.loads(text).items()
    }


def _codec_summary(name: str, records: Sequence[Record]) -> CodecSummary:
    own = [record for record in records if record.codec == name]
    points = []
    for setting in sorted({record.setting for record in own}):
        group = [record for record in own if record.setting == setting]
        points.append(
            Point(
                setting=setting,
                bpp=fmean(record.bpp for record in group),
                psnr_db=fmean(record.psnr_db for record in group),
                encode_s=fmean(record.encode_s for record in group),
                decode_s=fmean(record.decode_s for record in group),
            )
        )
    return CodecSummary(name, own[0].description, tuple(points))


def _compare(
    name: str, anchor: Curve, own: Curve, source: str, *, published: bool = False
) -> Comparison:
    return Comparison(
        anchor=name,
        published=published,
        source=source,
        curve=anchor,
        bd_rate_percent=bd_rate(anchor, own),
        range_db=overlap_db(anchor, own),
        window_bd_rate_percent=bd_rate(anchor, own, WINDOW_DB),
        window_range_db=overlap_db(anchor, own, WINDOW_DB),
    )
