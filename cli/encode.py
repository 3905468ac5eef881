"""`hvae-codec encode`: images become files."""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from . import batch, console, files, images, options

if TYPE_CHECKING:
    from ..codec.options import ContentKind, EncodeOptions


@click.command()
@click.argument("sources", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(0, 100),
    help="The larger, the better the image and the larger the file (default: 60).",
)
@click.option("--bpp", type=options.PositiveNumber(), help="At most so many bits a pixel.")
@click.option(
    "--size", "max_bytes", type=options.ByteCount(), help="At most so many bytes; 30k, 1.5M."
)
@click.option("--psnr", type=options.PositiveNumber(), help="At least so many dB in RGB.")
@click.option("--strip", is_flag=True, help="Leave out EXIF and XMP; turns the image upright.")
@click.option("--lossless", is_flag=True, help="Every sample as it was, in place of a quality.")
@click.option(
    "--content",
    type=click.Choice(["auto", "photo", "graphic"]),
    default="auto",
    show_default=True,
    help="What the image shows: auto looks, and codes text and drawings exactly where that pays.",
)
@options.effort_option("Search longer, for fewer bits at the same PSNR.")
@options.prior_option
@options.device_option
@click.option("--verify", is_flag=True, help="Decode again and compare before writing.")
@options.batch_options
def encode(
    sources: tuple[str, ...],
    quality: int | None,
    bpp: float | None,
    max_bytes: int | None,
    psnr: float | None,
    strip: bool,
    lossless: bool,
    content: "ContentKind",
    effort: int,
    prior: str,
    device: str,
    verify: bool,
    **shared: Any,  # noqa: ANN401
) -> None:
    """Encode images; '-' is stdin. IMAGE.png becomes IMAGE.hvae.

    Of two arguments the second is the output if it ends in .hvae or .bin, or is '-'; then it
    must not exist. All other arguments are images.
    """
    from ..codec.images import is_image_name

    aims = [aim is not None for aim in (quality, bpp, max_bytes, psnr)]
    if sum([*aims, lossless]) > 1:
        raise click.UsageError("-q, --bpp, --size, --psnr and --lossless exclude each other")
    if lossless and effort:
        raise click.UsageError("--lossless has no --effort")

    from ..codec.options import EncodeOptions

    settings = batch.Settings(**shared)
    wanted = EncodeOptions(
        quality, max_bytes, bpp, psnr, strip, verify, prior, effort, device, content, lossless
    )
    jobs = batch.plan(sources, settings, ".hvae", files.is_coded)
    for job in jobs:
        # `-o *.jpg` names the first photograph as the output of the second
        if not files.is_coded(job.target) and is_image_name(job.target):
            name = click.format_filename(job.target)
            raise click.UsageError(f"{name} is an image by its name; coded files end in .hvae")
    batch.run(jobs, partial(encode_file, wanted), settings)


def encode_file(wanted: "EncodeOptions", job: batch.Job) -> batch.Done:
    """Encode one image."""
    from ..codec import api

    with images.open_image(job.source) as image:
        start = time.perf_counter()
        data = api.encode_with(image, wanted)
        seconds = time.perf_counter() - start
    files.write_bytes(job.target, data, job.replaces)
    info = api.inspect(data)
    chosen = f"  quality {info.quality}" if wanted.has_target else ""
    return batch.Done(
        f"{console.shown(job.source)} {info.width}x{info.height} -> {console.shown(job.target)}"
        f"  {console.spaced(info.file_bytes)} bytes  {info.bpp:.3f} bpp{chosen}"
        f"  {console.speed(info.width, info.height, seconds)}",
        {
            "input": job.source,
            "output": job.target,
            "width": info.width,
            "height": info.height,
            "quality": info.quality,
            "file_bytes": info.file_bytes,
            "bpp": info.bpp,
            "encode_s": seconds,
        },
    )
