"""Write what a run showed: tables, JSON, CSV, plots, Markdown and a page."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..codec.numbers import for_json
from . import plots
from .codecs import OURS, OURS_EYE
from .crops import Picture, data_url
from .run import Record
from .speed import Speed, Timing
from .summary import CodecSummary, Summary
from .tables import Table, all_tables, counted_images
from .whole import Run

_NO_UTF_8 = "backslashreplace"
"""How to write what a file's name has that is no UTF-8."""


@dataclass(frozen=True)
class Report:
    """All that a report is made of.

    Attributes:
        machine: title -> text, see `machine.describe`.
        command: what to type for the same.
        pictures: crops for the page; they go nowhere else.
    """

    summary: Summary
    records: Sequence[Record]
    speed: Speed
    machine: Mapping[str, str]
    command: str
    pictures: Sequence[Picture]

    @property
    def tables(self) -> list[Table]:
        """The tables that a person reads."""
        return all_tables(self.summary, self.machine.get("processor", ""))


def write(out: Path, report: Report, markdown: Path | None = None) -> None:
    """Write a report into a folder.

    `<codec>.json` in the schema of CompressAI's results, `summary.json`, `images.csv` with a row
    for every file, `speed.csv` with a row for every timed call and every whole process, the plots,
    `index.html`; Markdown goes where it is asked for.
    """
    out.mkdir(parents=True, exist_ok=True)
    for codec in report.summary.codecs:
        if codec.points:
            _write_json(out / f"{codec.name}.json", compressai_results(codec))
    _write_json(out / "summary.json", as_json(report))
    _write_csv(out / "images.csv", [Record], report.records)
    timed = [*report.speed.timings, *report.speed.runs]
    _write_csv(out / "speed.csv", [Timing, Run], timed)
    plots.draw(report.summary, out)
    _write_text(out / "index.html", page(report, out))
    if markdown:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        _write_text(markdown, as_markdown(report, out, markdown.parent))


def text(report: Report) -> str:
    """Lay the tables out for a terminal."""
    return "\n\n".join(table.text() for table in report.tables)


def compressai_results(codec: CodecSummary) -> dict[str, Any]:
    """Give a codec's means as CompressAI's tools read and write them."""
    points = codec.points
    columns = {
        "bpp": [point.bpp for point in points],
        "psnr-rgb": [p.psnr_db if p.psnr_bpp == p.bpp else math.nan for p in points],
        "ms-ssim-rgb": [point.ms_ssim for point in points],
        "encoding_time": [point.seconds.encode_s for point in points],
        "decoding_time": [point.seconds.decode_s for point in points],
    }
    # a column that was not measured, or not of all images, is left out: CompressAI's tools know
    # no gaps
    results = {name: column for name, column in columns.items() if all(map(math.isfinite, column))}
    return {"name": codec.name, "description": codec.description, "results": results}


def as_json(report: Report) -> dict[str, object]:
    """Give summary and machine as JSON's types; null where a number does not exist."""
    content = {
        "command": report.command,
        "machine": dict(report.machine),
        **asdict(report.summary),
    }
    return for_json(content)


def as_markdown(report: Report, out: Path, folder: Path) -> str:
    """Write the report in Markdown, its plots linked from a folder."""
    link = Path(os.path.relpath(out, folder)).as_posix()
    images = [f"![{plots.TITLES[path.stem]}]({link}/{path.name})" for path in _drawn(out)]
    facts = [f"- {title}: {fact}" for title, fact in report.machine.items()]
    sources = [f"- {name}: {source}" for name, source in _sources(report.summary)]
    curves = [
        f"{link}/{codec.name}.json"
        for codec in report.summary.codecs
        if "psnr-rgb" in compressai_results(codec)["results"]
    ]
    drawing = [
        "CompressAI's plot draws the curves:",
        f"```sh\npython -m compressai.utils.plot -f {' '.join(curves)}\n```",
    ]
    return (
        "\n\n".join(
            [
                "# Benchmark",
                "Made by this command, which does all of it anew (files that it finds measured"
                f" are not measured again, times always are). {OURS} is tuned for PSNR, {OURS_EYE}"
                " for the eye, which is the default of `encode`.",
                f"```sh\n{report.command}\n```",
                "\n".join(facts),
                *images,
                *(table.markdown() for table in report.tables),
                "## Encoders and sources",
                "\n".join(sources),
                f"Every file: [images.csv]({link}/images.csv). Every timed call and whole"
                f" process: [speed.csv]({link}/speed.csv).",
                *(drawing if curves else ()),
            ]
        )
        + "\n"
    )


def page(report: Report, out: Path) -> str:
    """Write the report as one page of HTML that needs no other file."""
    from jinja2 import Environment

    template = (files(__package__ or "") / "page.html").read_text("utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            report=report,
            summary=report.summary,
            images=counted_images(report.summary.images),
            sources=_sources(report.summary),
            plots=[
                (path.stem, plots.TITLES[path.stem], data_url(path.read_bytes(), "image/svg+xml"))
                for path in _drawn(out)
            ],
        )
    )


def _drawn(out: Path) -> list[Path]:
    """Return the plots that `plots.draw` had data for."""
    return [path for name in plots.TITLES if (path := out / f"{name}.svg").is_file()]


def _sources(summary: Summary) -> list[tuple[str, str]]:
    """Say what each codec is, or where its curve was published."""
    measured = [(codec.name, codec.description) for codec in summary.codecs]
    published = [
        (f"{row.codec} (published)", row.source) for row in summary.comparisons if row.published
    ]
    return measured + published


def _write_csv(path: Path, kinds: Sequence[type], rows: Sequence[Any]) -> None:
    """Write rows of some kinds; a cell is empty where its kind has no such field."""
    every = [field.name for kind in kinds for field in fields(kind)]
    names = [name for name in dict.fromkeys(every) if name not in ("description", "scorers")]
    with path.open("w", newline="", encoding="utf-8", errors=_NO_UTF_8) as stream:
        writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _write_json(path: Path, value: object) -> None:
    _write_text(path, json.dumps(value, indent=1) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors=_NO_UTF_8)
