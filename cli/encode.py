"""`hvae-codec encode`: an image becomes a file."""

import time

import click

from . import console, files, options


@click.command()
@click.argument("source", metavar="INPUT")
@options.output_argument
@options.output_option
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(0, 100),
    default=60,
    show_default=True,
    help="The larger, the better the image and the larger the file.",
)
@click.option("--verify", is_flag=True, help="Decode again and compare before writing.")
@options.overwrite_option
@options.quiet_option
@options.json_option
def encode(
    source: str,
    output: str | None,
    output_option: str | None,
    quality: int,
    verify: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Encode an image; '-' reads stdin. The output is INPUT with the suffix .hvae."""
    with console.blame(source):
        path = files.target(source, output, output_option, ".hvae")
        if as_json and path == console.STDIO:
            raise click.UsageError("--json and the file itself cannot both go to stdout")
        files.check_target(path, overwrite)
        image = files.read_image(source)

        from ..codec import api

        start = time.perf_counter()
        data = api.encode(image, quality, verify=verify)
        seconds = time.perf_counter() - start
        files.write_bytes(path, data)
        info = api.inspect(data)

    if not quiet:
        console.note(
            f"{console.shown(source)} {info.width}x{info.height} -> {console.shown(path)}"
            f"  {console.spaced(info.file_bytes)} bytes  {info.bpp:.3f} bpp"
            f"  {console.speed(info.width, info.height, seconds)}"
        )
    if as_json:
        console.result_json(
            {
                "input": source,
                "output": path,
                "width": info.width,
                "height": info.height,
                "quality": info.quality,
                "file_bytes": info.file_bytes,
                "bpp": info.bpp,
                "encode_s": seconds,
            }
        )
