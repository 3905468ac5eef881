"""The tables of a report: made once, shown on a terminal, in Markdown and on a page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..codec.errors import one_line
from . import whole
from .codecs import OURS, OURS_EYE, PROGRAM
from .metrics import BUTTERAUGLI, MS_SSIM_MIN_PX, SSIM_MIN_PX, SSIMULACRA2_MIN_PX
from .speed import ENOUGH_S
from .summary import WINDOW_SSIMULACRA2, CodecSummary, Comparison, Seconds, Summary


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column names, the others hold figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Lay the table out for a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.header))]
        laid = [
            "  ".join(
                [line[0].ljust(widths[0])]
                + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *laid, *self.notes])

    def markdown(self) -> str:
        """Write the table in Markdown, with a heading."""
        rule = ("---", *["---:"] * (len(self.header) - 1))
        lines = ["| " + " | ".join(line) + " |" for line in (self.header, rule, *self.rows)]
        return "\n\n".join([f"## {self.title}", "\n".join(lines), *self.notes])


def all_tables(summary: Summary, processor: str) -> list[Table]:
    """Make the tables of a report; without what was not measured."""
    tables = [rate_distortion(summary)] if summary.comparisons else []
    if any(codec.waiting for codec in summary.codecs):
        tables.append(waiting(summary, processor))
    if summary.rounds:
        tables.append(speed(summary))
    return [*tables, points(summary)]


def rate_distortion(summary: Summary) -> Table:
    """Compare every codec with the anchor, and this codec with every codec."""
    low, high = summary.window_db
    measured = {codec.name for codec in summary.codecs}
    header = (
        "codec",
        f"BD-rate to {summary.anchor}",
        "BD-PSNR",
        f"BD-rate of {OURS} to it",
        "BD-PSNR",
        "range dB",
        "BD-rate in MS-SSIM",
        "in SSIMULACRA2",
        "in Butteraugli",
    )
    least, most = WINDOW_SSIMULACRA2
    return Table(
        "Bits at equal quality",
        header,
        tuple(_comparison_row(row) for row in summary.comparisons),
        (
            f"Means over {counted_images(summary.images)}; bits are those of files on disk."
            f" PSNR in RGB.{_exact(summary)}{_missing(summary)}"
            f" Piecewise cubic over {low:g} to {high:g} dB, or what both curves cover of it (the"
            f" range of {OURS} and the codec stands in its column); BD-rate below 0 and BD-PSNR"
            " above 0 are better. The last three columns are BD-rates to the codec, too: that of"
            f" {OURS} in MS-SSIM, and those of {OURS_EYE if OURS_EYE in measured else OURS} in"
            " SSIMULACRA2 and Butteraugli, over all that both curves cover, of SSIMULACRA2 over"
            f" {least:g} to {most:g}.",
            "Published curves are their authors'; all others were measured in this run.",
        )[: 2 if any(row.published for row in summary.comparisons) else 1],
    )


def waiting(summary: Summary, processor: str) -> Table:
    """Compare what a person waits for: whole processes."""
    header = ("codec", "encode s", "encode peak MiB", "decode s", "decode peak MiB")
    return Table(
        "What a person waits for",
        header,
        tuple(_waiting_row(codec) for codec in summary.codecs if codec.waiting),
        tuple(
            filter(
                None,
                (
                    f"On {processor or 'an unknown processor'}: whole processes, from start to end,"
                    " for the first image (as PNG, RGB), each codec at its middle setting; taking"
                    f" turns, medians of {whole.RUNS} (fewer for what has taken"
                    f" {whole.ENOUGH_S:g} s). Ours is `{PROGRAM} encode` and `{PROGRAM} decode`;"
                    " a peer's is a fresh Python process that imports only what the codec needs."
                    " Decoded pixels are written uncompressed. Peak is the process's resident"
                    " memory at its highest (VmHWM).",
                    _of_our_program(summary),
                ),
            )
        ),
    )


def _of_our_program(summary: Summary) -> str:
    """Say what this codec's other commands take, and its size on disk."""
    said = [
        f"`{PROGRAM} {process}` takes {found.seconds:.2f} s and {found.peak_mib:.0f} MiB."
        for codec in summary.codecs
        if codec.name == OURS
        for process, found in codec.waiting.items()
        if process not in ("encode", "decode")
    ]
    if summary.installed_mib is not None:
        said.append(
            f"A plain install, {PROGRAM} and what it requires without extras, takes"
            f" {summary.installed_mib:.0f} MiB of site-packages."
        )
    return " ".join(said)


def speed(summary: Summary) -> Table:
    """Compare times and memory."""
    header = (
        "codec",
        "encode s",
        "encode MP/s",
        "decode s",
        "decode MP/s",
        "cores busy",
        "start-up s",
        "peak MiB",
    )
    rows = tuple(_speed_row(codec) for codec in summary.codecs)
    return Table(
        "Warm calls",
        header,
        rows,
        (
            "Each codec in a process of its own, taking turns, one call at a time; medians over"
            f" {summary.rounds} round{'s' * (summary.rounds != 1)} at all settings, another image"
            " each round (no further round"
            f" for what has taken {ENOUGH_S:g} s). Threads are as each library sets them:"
            " cores busy is CPU time over wall time, median."
            " From pixels in memory to bytes and back. Start-up of the process (interpreter,"
            " imports, weights, one small image) is not in the seconds of a call. Peak is the"
            " whole process, Python included.",
            "Random weights: only the times mean something. They depend little on weights in"
            " the networks, but somewhat in the entropy coder.",
        )[: 2 if any(not codec.points for codec in summary.codecs) else 1],
    )


def points(summary: Summary) -> Table:
    """List every codec at every setting."""
    header = ("codec", "setting", "bpp", "PSNR dB", "luma dB", "MS-SSIM", "in dB", "SSIM",
              "SSIMULACRA2", "worst tenth", "Butteraugli")  # fmt: skip
    times = ("encode s", "decode s") if summary.rounds else ()
    rows = tuple(
        (
            codec.name,
            str(point.setting),
            _number(point.bpp, 3),
            _number(point.psnr_db, 2),
            _number(point.psnr_luma_db, 2),
            _number(point.ms_ssim, 4),
            _number(point.ms_ssim_db, 2),
            _number(point.ssim, 4),
            _number(point.ssimulacra2, 1),
            _number(point.ssimulacra2_worst, 1),
            _number(point.butteraugli_3norm, 2),
            _number(point.seconds.encode_s, 3),
            _number(point.seconds.decode_s, 3),
        )[: len(header) + len(times)]
        for codec in summary.codecs
        for point in codec.points
    )
    return Table(
        "All points",
        header + times,
        rows,
        (
            f"Means over {counted_images(summary.images)}.{_exact(summary)}{_missing(summary)}"
            " Luma is BT.601; SSIM is that of luma, MS-SSIM that of RGB, averaged before it is"
            " turned into dB (as in CompressAI). The worst tenth is the tenth percentile of the"
            " images' SSIMULACRA2. Butteraugli is the 3-norm of an image's distances, by libjxl's"
            f" `{BUTTERAUGLI}` where that is installed; the lower the better.",
        ),
    )


def counted_images(number: int) -> str:
    """Say how many images there are: '1 image', '24 images'."""
    return f"{number} image{'' if number == 1 else 's'}"


def _exact(summary: Summary) -> str:
    """Say which images PSNR leaves out, and where it does not exist."""
    if summary.exact:
        names = ", ".join(map(one_line, summary.exact))
        return (
            f" PSNR, and the bits that it is held against, leave out {names}:"
            " some codec keeps every pixel there, which makes PSNR infinite."
        )
    if any(math.isinf(point.psnr_db) for codec in summary.codecs for point in codec.points):
        return (
            " Where a codec keeps every pixel, PSNR is infinite (inf): BD-rate passes over such"
            " points, and is not there (–) where too few others are left."
        )
    return ""


def _missing(summary: Summary) -> str:
    """Say which means do not exist because an image is too small."""
    smallest_px = {
        "MS-SSIM": ("ms_ssim", MS_SSIM_MIN_PX),
        "SSIM": ("ssim", SSIM_MIN_PX),
        "SSIMULACRA2 and Butteraugli": ("ssimulacra2", SSIMULACRA2_MIN_PX),
    }
    points = [point for codec in summary.codecs for point in codec.points]
    needs = [
        f"{side} for {name}"
        for name, (field, side) in smallest_px.items()
        if any(math.isnan(getattr(point, field)) for point in points)
    ]
    if not needs:
        return ""
    return (
        " Means that are not there (–) need longer sides than some image has, in pixels:"
        f" {', '.join(needs)}."
    )


def label(name: str, published: bool) -> str:
    """Name a codec so that nobody takes a published curve for a measured one."""
    return f"{name} (published)" if published else name


def _comparison_row(row: Comparison) -> tuple[str, ...]:
    ours = row.codec == OURS
    ms_ssim, ssimulacra2, butteraugli = (
        found.rate_percent if found else math.nan
        for found in (
            None if ours else row.ours_ms_ssim,
            row.ours_ssimulacra2,
            row.ours_butteraugli,
        )
    )
    covered = "–"
    if row.ours.range_db and not ours:
        covered = "{:.1f}…{:.1f}".format(*row.ours.range_db)
    return (
        label(row.codec, row.published),
        _signed(row.against_anchor.rate_percent, "%", 1),
        _signed(row.against_anchor.db, "dB", 2),
        _signed(math.nan if ours else row.ours.rate_percent, "%", 1),
        _signed(math.nan if ours else row.ours.db, "dB", 2),
        covered,
        _signed(ms_ssim, "%", 1),
        _signed(ssimulacra2, "%", 1),
        _signed(butteraugli, "%", 1),
    )


def _waiting_row(codec: CodecSummary) -> tuple[str, ...]:
    cells = []
    for process in ("encode", "decode"):
        found = codec.waiting.get(process)
        cells.append(_number(found.seconds if found else math.nan, 2))
        cells.append(_number(found.peak_mib if found else math.nan, 0))
    return (_name(codec), *cells)


def _name(codec: CodecSummary) -> str:
    return codec.name if codec.points else f"{codec.name} (random weights)"


def _speed_row(codec: CodecSummary) -> tuple[str, ...]:
    seconds: Seconds = codec.seconds
    peak = codec.process.peak_mib if codec.process else None
    return (
        _name(codec),
        _number(seconds.encode_s, 3),
        _number(seconds.encode_mps, 2),
        _number(seconds.decode_s, 3),
        _number(seconds.decode_mps, 2),
        _number(seconds.cores, 1),
        _number(codec.process.startup_s if codec.process else math.nan, 1),
        _number(peak if peak is not None else math.nan, 0),
    )


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _signed(value: float, unit: str, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:+.{digits}f} {unit}"
