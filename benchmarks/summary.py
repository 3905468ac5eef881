"""From single measurements to curves, BD-rates and speeds."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from .bjontegaard_delta import Curve, Delta, Window, delta
from .codecs import OURS, OURS_EYE, Codec
from .metrics import butteraugli_db, ms_ssim_db
from .published import Published
from .run import Record
from .speed import Process, Speed, Timing
from .whole import Run

# Where photographs go from visibly coarse to visually lossless, and where all peers have points.
WINDOW_DB = (28.0, 40.0)

# From low quality, as people judge it, to hardly told from the original.
WINDOW_SSIMULACRA2 = (30.0, 90.0)

WORST = 0.1
"""Share of the images whose scores people remember: the lowest."""


@dataclass(frozen=True)
class Seconds:
    """Medians over rounds; NaN where nothing was timed.

    Attributes:
        encode_mps, decode_mps: megapixels a second.
        cores: processors that were busy on average, for encoding and decoding together.
    """

    encode_s: float
    decode_s: float
    encode_mps: float
    decode_mps: float
    cores: float


@dataclass(frozen=True)
class Waiting:
    """What one kind of whole process takes: medians over its runs."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Point:
    """A codec at one setting: means over the images, each image weighing the same.

    As in CompressAI, MS-SSIM is averaged first and turned into decibels then, PSNR the other way
    round.

    Attributes:
        psnr_db, psnr_luma_db: without the images of `Summary.exact`.
        psnr_bpp: the rate of those images alone whose PSNR counts.
        ssimulacra2_worst: the quantile `WORST` of the images' scores, between two images linear.
    """

    setting: int
    bpp: float
    psnr_db: float
    psnr_luma_db: float
    psnr_bpp: float
    ms_ssim: float
    ms_ssim_db: float
    ssim: float
    ssimulacra2: float
    ssimulacra2_worst: float
    butteraugli_3norm: float
    seconds: Seconds


@dataclass(frozen=True)
class CodecSummary:
    """A codec's points, from small files to large ones; none where it was there for its times.

    Attributes:
        waiting: by kind of process; see `whole.Run`.
    """

    name: str
    description: str
    points: tuple[Point, ...]
    seconds: Seconds
    process: Process | None
    waiting: dict[str, Waiting]

    @property
    def psnr_curve(self) -> Curve:
        """Rate against PSNR in RGB."""
        return Curve(tuple(p.psnr_bpp for p in self.points), tuple(p.psnr_db for p in self.points))

    @property
    def ms_ssim_curve(self) -> Curve:
        """Rate against MS-SSIM in decibels."""
        return Curve(tuple(p.bpp for p in self.points), tuple(p.ms_ssim_db for p in self.points))

    @property
    def ssimulacra2_curve(self) -> Curve:
        """Rate against SSIMULACRA2."""
        return Curve(tuple(p.bpp for p in self.points), tuple(p.ssimulacra2 for p in self.points))

    @property
    def butteraugli_curve(self) -> Curve:
        """Rate against Butteraugli's 3-norm in decibels."""
        qualities = tuple(butteraugli_db(p.butteraugli_3norm) for p in self.points)
        return Curve(tuple(p.bpp for p in self.points), qualities)


@dataclass(frozen=True)
class Comparison:
    """A codec against the anchor, and this codec against it.

    Attributes:
        published: its curve comes from its authors, not from this run.
        source: where its curve comes from.
        against_anchor: the codec judged by the anchor, within the window.
        ours: this codec judged by it, within the window.
        ours_ms_ssim: the same in MS-SSIM, over all that both cover.
        ours_ssimulacra2: the same in SSIMULACRA2, within `WINDOW_SSIMULACRA2`; of this codec tuned
            for the eye, where that was measured.
        ours_butteraugli: as `ours_ssimulacra2`, in Butteraugli's 3-norm, over all that both cover.
    """

    codec: str
    published: bool
    source: str
    psnr_curve: Curve
    ms_ssim_curve: Curve | None
    against_anchor: Delta
    ours: Delta
    ours_ms_ssim: Delta | None
    ssimulacra2_curve: Curve | None
    ours_ssimulacra2: Delta | None
    ours_butteraugli: Delta | None


@dataclass(frozen=True)
class Summary:
    """All that a run showed.

    Attributes:
        exact: images whose PSNR counts for no codec; see `_exact_images`.
        installed_mib: of a plain install of this codec; None where it cannot be told.
    """

    images: int
    exact: tuple[str, ...]
    anchor: str
    window_db: Window
    rounds: int
    installed_mib: float | None
    codecs: tuple[CodecSummary, ...]
    comparisons: tuple[Comparison, ...]


def summarise(
    records: Sequence[Record],
    codecs: Sequence[Codec],
    speed: Speed,
    *,
    anchor: str,
    published: Mapping[str, Published] | None = None,
    window_db: Window = WINDOW_DB,
) -> Summary:
    """Average over the images and compare all codecs.

    Args:
        records: what was measured, a codec's settings in their order.
        codecs: in the order of the report.
        speed: what was timed.
        anchor: one of the codecs that were measured, or of the published curves.
        published: curves to compare with as well, by name.
        window_db: where BD-rates are averaged.
    """
    exact = _exact_images(records)
    found = tuple(_codec_summary(codec, records, exact, speed) for codec in codecs)
    images = {record.image for record in records}
    curves: dict[str, CodecSummary | Published] = {c.name: c for c in found if c.points}
    curves |= published or {}
    rows = tuple(_compare(name, curves, anchor, window_db) for name in curves)
    rounds = len({timing.round for timing in speed.timings})
    mib = speed.installed_mib
    return Summary(len(images), exact, anchor, window_db, rounds, mib, found, rows)


def _exact_images(records: Sequence[Record]) -> tuple[str, ...]:
    """Name the images that a codec makes exact at a setting at which it does not all.

    One of them alone would make the mean PSNR infinite. None are named if that were all.
    """
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.codec, record.setting), []).append(record)
    found = set()
    for group in groups.values():
        exact = {record.image for record in group if math.isinf(record.psnr_db)}
        if len(exact) < len(group):
            found |= exact
    return tuple(sorted(found)) if found < {record.image for record in records} else ()


def _codec_summary(
    codec: Codec, records: Sequence[Record], exact: Container[str], speed: Speed
) -> CodecSummary:
    own = [record for record in records if record.codec == codec.name]
    timings = [timing for timing in speed.timings if timing.codec == codec.name]
    points = []
    for setting in dict.fromkeys(record.setting for record in own):
        group = [record for record in own if record.setting == setting]
        lossy = [record for record in group if record.image not in exact]
        ms_ssim = fmean(record.ms_ssim for record in group)
        points.append(
            Point(
                setting=setting,
                bpp=fmean(record.bpp for record in group),
                psnr_db=fmean(record.psnr_db for record in lossy),
                psnr_luma_db=fmean(record.psnr_luma_db for record in lossy),
                psnr_bpp=fmean(record.bpp for record in lossy),
                ms_ssim=ms_ssim,
                ms_ssim_db=ms_ssim_db(ms_ssim),
                ssim=fmean(record.ssim for record in group),
                ssimulacra2=fmean(record.ssimulacra2 for record in group),
                ssimulacra2_worst=float(
                    np.quantile([record.ssimulacra2 for record in group], WORST)
                ),
                butteraugli_3norm=fmean(record.butteraugli_3norm for record in group),
                seconds=_seconds(timing for timing in timings if timing.setting == setting),
            )
        )
    return CodecSummary(
        codec.name,
        codec.description,
        tuple(points),
        _seconds(timings),
        speed.processes.get(codec.name),
        _waiting([run for run in speed.runs if run.codec == codec.name]),
    )


def _waiting(runs: Sequence[Run]) -> dict[str, Waiting]:
    kinds = dict.fromkeys(run.process for run in runs)
    groups = {kind: [run for run in runs if run.process == kind] for kind in kinds}
    return {
        kind: Waiting(median(r.seconds for r in group), median(r.peak_mib for r in group))
        for kind, group in groups.items()
    }


def _seconds(timings: Iterable[Timing]) -> Seconds:
    """Take medians: a single call that was disturbed does not count."""
    timings = list(timings)
    if not timings:
        return Seconds(*[math.nan] * 5)
    return Seconds(
        encode_s=median(t.encode_s for t in timings),
        decode_s=median(t.decode_s for t in timings),
        encode_mps=median(t.megapixels / t.encode_s for t in timings),
        decode_mps=median(t.megapixels / t.decode_s for t in timings),
        cores=median(t.cpu_s / (t.encode_s + t.decode_s) for t in timings),
    )


def _compare(
    name: str, curves: dict[str, CodecSummary | Published], anchor: str, window_db: Window
) -> Comparison:
    own, other = curves.get(OURS), curves[name]
    nothing = Delta(math.nan, math.nan, None)
    ours_ms_ssim = ours_ssimulacra2 = ours_butteraugli = None
    if own and own.ms_ssim_curve and other.ms_ssim_curve:
        ours_ms_ssim = delta(other.ms_ssim_curve, own.ms_ssim_curve)
    tuned = curves.get(OURS_EYE, own)
    if isinstance(tuned, CodecSummary) and isinstance(other, CodecSummary) and tuned is not other:
        by_score = other.ssimulacra2_curve, tuned.ssimulacra2_curve
        ours_ssimulacra2 = delta(*by_score, WINDOW_SSIMULACRA2)
        ours_butteraugli = delta(other.butteraugli_curve, tuned.butteraugli_curve)
    published = isinstance(other, Published)
    return Comparison(
        codec=name,
        published=published,
        source=other.source if published else other.description,
        psnr_curve=other.psnr_curve,
        ms_ssim_curve=other.ms_ssim_curve,
        against_anchor=delta(curves[anchor].psnr_curve, other.psnr_curve, window_db),
        ours=delta(other.psnr_curve, own.psnr_curve, window_db) if own else nothing,
        ours_ms_ssim=ours_ms_ssim,
        ssimulacra2_curve=other.ssimulacra2_curve,
        ours_ssimulacra2=ours_ssimulacra2,
        ours_butteraugli=ours_butteraugli,
    )
