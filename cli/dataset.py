"""`hvae-codec dataset`: test images from their public homes."""

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from . import console


@click.command()
@click.argument("name", type=click.Choice(["kodak"]))
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the images. Those that lie there complete are not fetched again.",
)
def dataset(name: str, folder: Path) -> None:
    """Fetch test images: the 24 of the Kodak suite, 15 MB, from r0k.us.

    Every file is checked by its sha256.
    """
    if find_spec("pooch") is None:
        raise click.ClickException("this command needs: python -m pip install 'hvae-codec[bench]'")
    with console.blame(str(folder)):
        from ..benchmarks import datasets

        fetched = datasets.fetch_kodak(folder, progress=sys.stderr.isatty())
        total = len(datasets.KODAK)
    there = click.format_filename(folder)
    console.note(f"{there}: {total} images of {name}, {fetched} fetched now")
