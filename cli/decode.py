"""`hvae-codec decode`: files become images again."""

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import batch, console, files, images, options

if TYPE_CHECKING:
    from ..codec.decode import Decoded
    from ..codec.images import Style
    from ..codec.options import DecodeOptions

_SCALES = {"1": 1, "1/2": 2, "1/4": 4, "1/8": 8, "1/16": 16, "1/32": 32}


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("--region", type=options.Region(), help="Only this rectangle, in pixels.")
@click.option(
    "--scale",
    type=click.Choice(list(_SCALES)),
    default="1",
    help="A smaller picture. 1/8 and smaller decode the context alone, which is fast.",
)
@click.option(
    "--levels",
    type=options.Whole(0),
    help="Decode the context and only so many levels of latents; a cut file will do.",
)
@click.option("--sample", is_flag=True, help="Draw the levels beyond --levels from the model.")
@options.seed_option
@click.option(
    "--format",
    "suffix",
    metavar="SUFFIX",
    default="png",
    show_default=True,
    help="Format of outputs that have no name, and of stdout: png, jpg, webp, tif, ...",
)
@click.option(
    "-q",
    "--quality",
    type=options.Whole(0, 100),
    help="Quality of JPEG, WebP, AVIF and the like (default: 95 of JPEG, else Pillow's).",
)
@click.option(
    "--strip", is_flag=True, help="Leave out EXIF, XMP and text; the EXIF orientation is applied."
)
@click.option(
    "--background", type=options.Colour(), help="Lay alpha on this colour: white, #1e90ff, ..."
)
@click.option("--depth", type=click.Choice(["8"]), help="Bits per channel: 8 rounds 16 to 8.")
@options.device_option
@click.option(
    "--keep-going", is_flag=True, help="Write what is left of a damaged file; the exit code is 1."
)
@options.batch_options
def decode(
    sources: tuple[str, ...],
    region: tuple[int, int, int, int] | None,
    scale: str,
    levels: int | None,
    sample: bool,
    seed: int,
    suffix: str,
    quality: int | None,
    strip: bool,
    background: tuple[int, int, int] | None,
    depth: str | None,
    device: str,
    keep_going: bool,
    **shared: Any,  # noqa: ANN401
) -> None:
    """Decode files; '-' is stdin. FILE.hvae becomes FILE.png.

    The second of two arguments is the output, and must not exist yet, unless it ends in .hvae or
    .bin. The output's suffix names its format (PNG, JPEG, WebP, TIFF, ...).
    JPEG is written with quality 95 and colour in full resolution (4:4:4). What a format cannot
    hold of the metadata is left out and told. Where it cannot hold alpha or 16 bits, it is refused;
    --background removes alpha, --depth 8 the finer bits. A --region is of the pixels as they are
    stored, before EXIF turns them, and carries no thumbnail of the whole.
    """
    if sample and levels is None:
        raise click.UsageError("--sample draws what --levels leaves out: it needs --levels")
    if options.is_given("seed") and not sample:
        raise click.UsageError("--seed is for what --sample draws")
    settings, suffix = batch.Settings(**shared), f".{suffix.removeprefix('.')}"
    images.image_format(f"FILE{suffix}")  # or names could not be made of it
    jobs = batch.plan(sources, settings, suffix, is_output, files.is_coded)
    for job in jobs:
        # a suffix of no format is refused before the work; a folder is refused as one
        if not os.path.isdir(job.target):
            if options.is_given("suffix") and not _has_suffix(job.target, suffix):
                raise click.UsageError("--format is for names that are not given")
            _check_format(images.image_format(job.target, suffix), quality)
    from ..bitstream import ArgumentError
    from ..codec.images import Style
    from ..codec.options import DecodeOptions
    from ..codec.symbols.stack import Sampling

    style = Style(quality, strip, background, int(depth) if depth else None)
    sampling = Sampling(seed) if sample else None
    try:
        wanted = DecodeOptions(region, _SCALES[scale], levels, keep_going, sampling, device)
    except ArgumentError as error:
        raise click.UsageError(str(error)) from error
    batch.run(jobs, partial(decode_file, wanted, style, suffix), settings)


def _check_format(format: str, quality: int | None) -> None:
    from ..codec.images import HAVE_QUALITY

    if quality is not None and format not in HAVE_QUALITY:
        raise click.UsageError(f"--quality is for JPEG, WebP, AVIF and the like: {format} has none")


def _has_suffix(target: str, suffix: str) -> bool:
    is_stream = files.descriptor(target) is not None
    return is_stream or Path(target).suffix.lower() == suffix.lower()


def is_output(path: str) -> bool:
    """Tell by its name whether a file is none of ours."""
    return files.descriptor(path) is not None or not files.is_coded(path)


def decode_file(wanted: "DecodeOptions", style: "Style", suffix: str, job: batch.Job) -> batch.Done:
    """Decode one file.

    Args:
        wanted: what of the file.
        style: how it is written.
        suffix: names the format on stdout.
        job: what to read and write.
    """
    from ..codec import api

    source = files.seekable(job.source)  # a region reads only what it needs
    start = time.perf_counter()
    decoded = api.decode_with(source, wanted)
    seconds = time.perf_counter() - start
    with console.blame(job.target):
        (width, height), left_out = images.write_image(
            job.target, decoded, job.replaces, suffix, style, job.like
        )
    file_bytes = files.size_of(source)
    return batch.Done(
        f"{console.shown(job.source)}  {console.spaced(file_bytes)} bytes"
        f" -> {console.shown(job.target)} {width}x{height}"
        f"  {console.speed(width, height, seconds)}"
        f"{'  without ' if left_out else ''}{', '.join(left_out)}",
        {
            "input": job.source,
            "output": job.target,
            "width": width,
            "height": height,
            "file_bytes": file_bytes,
            "lost_tiles": decoded.lost_tiles,
            "whole_levels": decoded.whole_levels,
            "left_out": left_out,
            "decode_s": seconds,
        },
        _flaw(source, decoded) if wanted.keep_going else None,
    )


def _flaw(source: str | bytes, decoded: "Decoded") -> str | None:
    """Say what a file lacks that was decoded all the same."""
    from ..bitstream import BitstreamError
    from ..codec import api

    found = []
    if lost := decoded.lost_tiles:
        noun = "tile" if len(lost) == 1 else "tiles"
        levels = decoded.whole_levels
        left = f"{console.counted(levels, 'level') if levels else 'no level'} of latents left"
        found.append(f"{noun} {', '.join(map(str, lost))} damaged or missing, {left}")
    try:
        info = api.inspect(source)
    except BitstreamError as error:  # behind the tiles, or the picture would not be there
        found.append(str(error))
    else:
        if info.file_bytes < info.whole_bytes:
            there, whole = console.spaced(info.file_bytes), console.spaced(info.whole_bytes)
            found.append(f"cut, {there} of {whole} bytes are there")
    return "; ".join(found) or None
