"""`hvae-codec dataset`: images from their public homes."""

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from . import console, options

PAPERS = ("mnist", "mnist-static", "omniglot", "cifar10")
"""Sets that the papers train on; of each becomes one .npz of uint8 `train` and `test`."""


@click.command()
@click.argument("name", type=click.Choice(["kodak", *PAPERS]))
@click.option(
    "--to",
    "folder",
    type=options.Folder(),
    required=True,
    help="Folder for the images. Those that lie there complete are not fetched again.",
)
def dataset(name: str, folder: Path) -> None:
    """Fetch the images of Kodak, or of the papers.

    kodak is 24 images, 15 MB, from r0k.us. The others are what `papers` needs. Every file is
    checked by its checksum.
    """
    if find_spec("pooch") is None:
        raise click.ClickException("this command needs: python -m pip install 'hvae-codec[bench]'")
    if name in PAPERS:
        _papers(name, folder)
        return
    with console.blame(str(folder)):
        from ..benchmarks import datasets

        fetched = datasets.fetch_kodak(folder, progress=sys.stderr.isatty())
        total = len(datasets.KODAK)
    there = console.named(folder)
    console.note(f"{there}: {total} images of {name}, {fetched} fetched now")


def _papers(name: str, folder: Path) -> None:
    """Fetch a set that `papers` needs."""
    with console.blame(str(folder)):
        from ..benchmarks.papers import fetch

        counts, fetched = fetch.fetch(name, folder, progress=sys.stderr.isatty())
    images = ", ".join(f"{console.spaced(count)} {part}" for part, count in counts.items())
    there = console.named(folder)
    console.note(f"{there}: {name}, images: {images}; {fetched} files fetched now")
