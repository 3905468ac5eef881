"""`hvae-codec verify`: does a file decode to the same symbols whatever computes them?"""

import click

from . import console, files


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
def verify(sources: tuple[str, ...]) -> None:
    """Check that files decode alike however computed.

    Every file is decoded under two configurations, and the symbols are compared. One of exact tiles
    alone, which no network computes, is decoded once.
    """

    def show(source: str) -> bool:
        from ..codec import api

        report = api.verify(files.seekable(source))
        differing = console.spaced(report.differing)
        verdict = f"{differing} differ"
        if not report.differing:
            verdict = (
                f"identical  (pixels within {report.max_pixel_difference}"
                f" of {report.largest_sample})"
            )
        console.result(
            f"{console.shown(source)}  {console.counted(report.tiles, 'tile')}"
            f"  {console.spaced(report.symbols)} symbols  {verdict}"
        )
        return report.differing == 0

    console.for_each(sources, show)
