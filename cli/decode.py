"""`hvae-codec decode`: a file becomes an image again."""

import time

import click

from . import console, files, options


@click.command()
@click.argument("source", metavar="INPUT")
@options.output_argument
@options.output_option
@options.overwrite_option
@options.quiet_option
def decode(
    source: str, output: str | None, output_option: str | None, overwrite: bool, quiet: bool
) -> None:
    """Decode a file; '-' reads stdin. The output's suffix names its format (default: PNG)."""
    with console.blame(source):
        path = files.target(source, output, output_option, ".png")
        files.image_format(path)  # a suffix that no format has is refused before the work
        files.check_target(path, overwrite)
        data = files.read_bytes(source)

        from ..codec import api

        start = time.perf_counter()
        image = api.decode(data)
        seconds = time.perf_counter() - start
    with console.blame(path):
        files.write_image(path, image)

    if not quiet:
        console.note(
            f"{console.shown(source)}  {console.spaced(len(data))} bytes"
            f" -> {console.shown(path)} {image.width}x{image.height}"
            f"  {console.speed(image.width, image.height, seconds)}"
        )
