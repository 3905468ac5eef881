"""`hvae-codec benchmark`: this codec and its peers over a folder of images."""

import math
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import console, files, options

if TYPE_CHECKING:
    from ..benchmarks.codecs import Codec

_LIBRARIES = ("bjontegaard", "jinja2", "matplotlib", "pytorch_msssim", "skimage", "ssimulacra2")


def _qualities(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(item) for item in text.split(",")}))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list like 10,20,30") from None
    for number in numbers:
        if not 0 <= number <= 100:
            raise click.BadParameter(f"quality {number} is outside 0…100")
    return numbers


def _window(context: click.Context, option: click.Parameter, text: str) -> tuple[float, float]:
    try:
        low, high = (float(item) for item in text.split(","))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a range like 28,40") from None
    if not -math.inf < low < high < math.inf:
        raise click.BadParameter(f"{low:g} to {high:g} is no range")
    return low, high


@click.command()
@click.argument("folder", type=options.Folder())
@click.option(
    "-o",
    "--output",
    "out",
    type=options.Folder(),
    default="results",
    show_default=True,
    help="Folder for the files, tables, plots and the page. What was measured there is kept.",
)
@click.option(
    "--qualities",
    default="5,15,25,35,45,55,65,75,85,95",
    callback=_qualities,
    show_default=True,
    help="Qualities of this codec.",
)
@options.effort_option("Measure this codec with so much effort as well.")
@click.option(
    "--eye",
    is_flag=True,
    help="Measure --tune eye, the encoder's default, as well; without it --tune psnr alone.",
)
@click.option(
    "--peers", help="Their names in a report, with commas between; '' for none.  [default: all]"
)
@click.option("--anchor", help="What BD-rates are against.  [default: jpeg, or the first peer]")
@click.option(
    "--window",
    default="28,40",
    callback=_window,
    show_default=True,
    help="dB of PSNR over which BD-rates are averaged.",
)
@click.option(
    "-j", "--jobs", type=options.Whole(1), help="Processes.  [default: one per processor]"
)
@click.option(
    "--rounds",
    type=options.Whole(0),
    default=3,
    show_default=True,
    help="How often each setting is timed; 0 for no times.",
)
@click.option(
    "--markdown",
    type=options.File(),
    help="Write the report also as Markdown, here.",
)
@options.json_option
def benchmark(
    folder: Path,
    out: Path,
    qualities: tuple[int, ...],
    effort: int,
    eye: bool,
    peers: str | None,
    anchor: str | None,
    window: tuple[float, float],
    jobs: int | None,
    rounds: int,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Compare this codec with its peers on FOLDER.

    Bits of files on disk, PSNR, MS-SSIM, SSIM, SSIMULACRA2 and Butteraugli (by libjxl's
    butteraugli_main, where that is installed) of every image; BD-rates, times and memory; tables,
    plots, and a page with pictures (index.html). A second run measures only new files; times and
    pictures are made again.
    """
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise click.ClickException(
            f"{missing[0]} is missing: python -m pip install 'hvae-codec[bench]'"
        )
    if files.identity(out) == files.identity(folder):
        raise click.UsageError("the folder of the images would take the plots: name another -o")
    progress = sys.stderr.isatty()
    with console.blame(str(folder)):
        from ..benchmarks import crops, machine, published, report, run, speed, summary
        from ..codec.files import find_images

        paths = find_images(folder)
        codecs, absent = _codecs(qualities, effort, eye, peers)
        beside = published.published_beside(codecs, paths)
        names = published.curve_names(codecs, beside)
        try:
            anchor = published.choose_anchor(anchor, names)
        except published.UnknownAnchor as error:
            raise click.UsageError(str(error)) from error
        for target in (out / "index.html", markdown):
            if target:
                files.prepare(target)
        described, jobs = machine.describe(), jobs or machine.processors()
        if absent:
            described["left out"] = "; ".join(f"{name} ({why})" for name, why in absent.items())
        records = run.run(paths, codecs, out, jobs=jobs, progress=progress)
        timed = speed.measure(paths, codecs, rounds, progress=progress)
        found = summary.summarise(
            records, codecs, timed, anchor=anchor, published=beside, window_db=window
        )
        written = report.Report(
            found, records, timed, described, _command(), crops.make(paths, codecs, records, jobs)
        )
        report.write(out, written, markdown)
    if as_json:
        console.result_json(report.as_json(written))
    else:
        console.result(report.text(written))
    console.note(f"wrote {console.named(out)}")


def _codecs(
    qualities: tuple[int, ...], effort: int, eye: bool, peers: str | None
) -> tuple[list["Codec"], dict[str, str]]:
    """Make the codecs: this one, also as asked for, and peers; say which are absent, and why."""
    from ..benchmarks.codecs import Absent, ours
    from ..benchmarks.peers import PEERS

    names = list(PEERS)
    if peers is not None:
        names = list(dict.fromkeys(name.strip() for name in peers.split(",") if name.strip()))
    if unknown := [name for name in names if name not in PEERS]:
        raise click.UsageError(f"peer '{unknown[0]}' is not one of {', '.join(PEERS)}")
    codecs = [ours(qualities, number) for number in sorted({0, effort})]
    if eye:
        codecs.append(ours(qualities, tune="eye"))
    absent = {}
    for name in names:
        try:
            codecs.append(PEERS[name]())
        except Absent as error:
            absent[name] = str(error)
            console.note(f"{name} is left out: {error}")
    return codecs, absent


def _command() -> str:
    """Repeat what was typed; of the images' folder only its name, the rest is this machine's."""
    context = click.get_current_context()
    words = ["hvae-codec", "benchmark", context.params["folder"].resolve().name]
    for option in context.command.params:
        name = option.name or ""
        typed = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if not typed or not isinstance(option, click.Option):
            continue
        words.append(option.opts[0])
        if not option.is_flag:
            value = context.params[name]
            value = ",".join(map("{:g}".format, value)) if isinstance(value, tuple) else value
            value = value.name if isinstance(value, Path) and value.is_absolute() else value
            words.append(str(value))
    return shlex.join(words)
