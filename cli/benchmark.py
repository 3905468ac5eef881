"""`hvae-codec benchmark`: this codec and its peers over a folder of images."""

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from . import console, options


def _integers(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(item) for item in text.split(",")}))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list like 5,15,25") from None
    for number in numbers:
        if not 0 <= number <= 100:
            raise click.BadParameter(f"quality {number} is outside 0…100")
    return numbers


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    default="results",
    show_default=True,
    help="Folder for the files, tables and plots.",
)
@click.option(
    "--qualities",
    default="5,15,25,35,45,55,65,75,85,95",
    callback=_integers,
    show_default=True,
    help="Qualities of this codec.",
)
@click.option("--peers", default="jpeg,webp,avif", show_default=True, help="'' for none.")
@options.json_option
def benchmark(
    folder: Path, out: Path, qualities: tuple[int, ...], peers: str, as_json: bool
) -> None:
    """Compare this codec with its peers on FOLDER.

    Bits per pixel and PSNR of every image, from files on disk; BD-rates, tables and plots.
    """
    if find_spec("bjontegaard") is None or find_spec("matplotlib") is None:
        raise click.ClickException("this command needs: python -m pip install 'hvae-codec[bench]'")
    with console.blame(str(folder)):
        from ..benchmarks import peers as known
        from ..benchmarks import report, run, summary

        names = [name.strip() for name in peers.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known.PEERS]:
            raise click.UsageError(f"peer '{unknown[0]}' is not one of {', '.join(known.PEERS)}")
        codecs = [run.ours(qualities)]
        for name in names:
            if absent := known.why_absent(known.PEERS[name]):
                console.note(absent)
            else:
                codecs.append(known.PEERS[name])
        records = run.run(folder, codecs, out, progress=sys.stderr.isatty())
        found = summary.summarise(records)
        report.write(out, records, found)
    if as_json:
        console.result_json(report.as_json(found))
    else:
        console.result(report.table(found))
    console.note(f"wrote {click.format_filename(out)}")
