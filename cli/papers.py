"""`hvae-codec papers`: the experiments of the papers."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from . import console, files, options


@click.command()
@click.argument("names", nargs=-1, metavar="[TABLE]...")
@click.option("--list", "listing", is_flag=True, help="Name all tables and what they claim.")
@click.option(
    "--scale",
    "size",
    type=click.Choice(["tiny", "short", "small", "paper"]),
    default="small",
    show_default=True,
    help="tiny tests the commands on drawn strokes; a table takes minutes of a core at short, "
    "hours at small.",
)
@click.option("--seeds", type=options.Whole(1), help="Runs of each job, in place of the table's.")
@click.option(
    "--minutes",
    type=options.PositiveNumber(or_zero=True),
    help="Stop after this time; the same command resumes.",
)
@click.option(
    "--data",
    type=options.Folder(exists=True),
    help="Folder of the sets that `dataset` fetched; tiny without it draws strokes.",
)
@click.option(
    "--out",
    type=options.Folder(),
    default=Path("runs/papers"),
    show_default=True,
    help="Folder of runs, results and the report.",
)
@click.option(
    "--markdown",
    type=options.File(),
    help="Write the report of all tables to this file too, its figures and results into a folder "
    "of its name beside it. Results that lie there count as measured. A table that is not run at "
    "this scale is shown at another.",
)
def papers(
    names: tuple[str, ...],
    listing: bool,
    size: str,
    seeds: int | None,
    minutes: float | None,
    data: Path | None,
    out: Path,
    markdown: Path | None,
) -> None:
    """Run experiments of the papers.

    TABLE is all, a paper (dct-vae, ou-vae, dvp-vae, notes), or a table that --list names. What was
    measured before is not measured again, and a run that was stopped goes on.
    """
    with console.blame(str(out)):
        from ..benchmarks.papers import data as image_sets
        from ..benchmarks.papers import report, runner, scales, store, tables

        if listing:
            for table in tables.TABLES.values():
                console.result(f"{table.name:18} {table.source}. {table.claim}")
            return
        if not names:
            raise click.UsageError("name a table, a paper or all; --list names them")
        try:
            chosen = tables.named(names)
        except KeyError as error:
            raise click.UsageError(f"no table is called {error.args[0]}; see --list") from error
        scale = scales.SCALES[size]
        if data is None and not scale.tiny:
            raise click.UsageError("--data is needed: only tiny draws its images")
        if markdown:
            if not markdown.suffix:  # figures and results go into a folder of its name without
                raise click.UsageError(f"--markdown {markdown}: name a file with a suffix, .md")
            files.prepare(markdown)
        until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
        sets = image_sets.Sets(data, scale.train_images)
        published = markdown.with_suffix("") if markdown else None
        work = runner.Runner(store.Store(out, published), sets, scale, seeds, until, *_shown())
        work.run(chosen)
        page = out / "report" / "papers.md"
        verdicts = report.write([work], chosen, page)
        if markdown:
            report.publish(work, list(tables.TABLES.values()), markdown)
    for name, verdict in verdicts.items():
        console.result(f"{name:18} {verdict.outcome}: {verdict.reason}")
    console.note(f"report: {click.format_filename(page)}")
    if work.is_late:
        console.note("not all is run: the same command goes on")
    if work.missing:
        raise click.exceptions.Exit(1)


def _shown() -> tuple[Callable[[str], None], Callable[[str], None]]:
    """Return what shows jobs and progress: one line that changes, or without a terminal jobs."""
    if not sys.stderr.isatty():
        return console.note, lambda line: None

    def change(line: str) -> None:
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)

    return change, change
