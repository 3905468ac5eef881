"""`hvae-codec encode`: images become files."""

import time
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from . import batch, console, files, images, options
from .encoding import encode_options, encoding_options

if TYPE_CHECKING:
    from ..codec.options import EncodeOptions


@click.command()
@click.argument("sources", metavar="IMAGE...", nargs=-1, required=True)
@encoding_options
@click.option(
    "--keep-going", is_flag=True, help="Encode what is left of a damaged image; the exit code is 1."
)
@click.option(
    "--skip-larger", is_flag=True, help="Write nothing where the file would be larger than IMAGE."
)
@click.option("--keep-suffix", is_flag=True, help="IMAGE.png becomes IMAGE.png.hvae.")
@options.batch_options
def encode(
    sources: tuple[str, ...],
    keep_going: bool,
    skip_larger: bool,
    keep_suffix: bool,
    **given: Any,  # noqa: ANN401
) -> None:
    """Encode images; '-' is stdin. IMAGE.png becomes IMAGE.hvae.

    Of two arguments the second is the output if it ends in .hvae or .bin, or is '-'; then it
    must not exist. All other arguments are images, or with -r folders of images. What of an
    image's file is not kept is named in its line.
    """
    from ..codec.images import is_image_name, is_raw_name

    shared = {field.name: given.pop(field.name) for field in fields(batch.Settings)}
    settings, wanted = batch.Settings(**shared), encode_options(given)

    def is_input(name: str) -> bool:
        # raw photographs are refused in a line each, not passed over
        return (is_image_name(name) and not files.is_coded(name)) or is_raw_name(name)

    def keeps_suffix(name: str) -> bool:
        return keep_suffix or is_raw_name(name)  # or it would take the name of the JPEG beside it

    jobs = batch.plan(sources, settings, ".hvae", files.is_coded, is_input, keeps_suffix)
    for job in jobs:
        # `-o *.jpg` names the first photograph as the output of the second
        if not files.is_coded(job.target) and is_image_name(job.target):
            name = console.named(job.target)
            raise click.UsageError(f"{name} is an image by its name; coded files end in .hvae")
    if not wanted.is_lossless_at(wanted.quality):
        _check_weights()
    batch.run(jobs, partial(encode_file, wanted, keep_going, skip_larger), settings)


def _check_weights() -> None:
    """Refuse once, and not for each image, weights that cannot be.

    Raises:
        click.ClickException: the environment names none.
    """
    from ..codec.errors import WeightsError
    from ..codec.networks.weight_paths import check_variable

    try:
        check_variable()
    except WeightsError as error:
        raise click.ClickException(str(error)) from error


def encode_file(
    wanted: "EncodeOptions", keep_going: bool, skip_larger: bool, job: batch.Job
) -> batch.Done:
    """Encode one image.

    Args:
        wanted: how.
        keep_going: also what is left of a damaged image.
        skip_larger: write no file that would be larger than the image's.
        job: what to read and write.
    """
    from ..codec import api
    from ..codec.errors import noting_leftovers

    source = files.seekable(job.source)
    start = time.perf_counter()
    with noting_leftovers() as left_out:
        data, flaw = _encoded(source, wanted, keep_going)
    seconds = time.perf_counter() - start
    source_bytes = files.size_of(source)
    is_skipped = skip_larger and len(data) > source_bytes
    if not is_skipped:
        files.write_bytes(job.target, data, job.replaces, job.like)
    info = api.inspect(data)
    chosen = f"  quality {info.quality}" if wanted.has_target else ""
    larger = f"  larger than its {console.spaced(source_bytes)}" * (len(data) > source_bytes)
    return batch.Done(
        f"{console.shown(job.source)} {info.width}x{info.height}"
        f" -> {'(not written)' if is_skipped else console.shown(job.target)}"
        f"  {console.spaced(info.file_bytes)} bytes{larger}  {info.bpp:.3f} bpp{chosen}"
        f"  {console.speed(info.width, info.height, seconds)}"
        f"{'  without ' if left_out else ''}{', '.join(left_out)}",
        {
            "input": job.source,
            "output": None if is_skipped else job.target,
            "width": info.width,
            "height": info.height,
            "quality": info.quality,
            "input_bytes": source_bytes,
            "file_bytes": info.file_bytes,
            "bpp": info.bpp,
            "left_out": left_out,
            "encode_s": seconds,
        },
        flaw,
    )


def _encoded(
    source: str | bytes, wanted: "EncodeOptions", keep_going: bool
) -> tuple[bytes, str | None]:
    """Encode an image, and say what is wrong with it where it was encoded all the same."""
    from ..codec import api
    from ..codec.errors import ImageError

    try:
        return api.encode_with(source, wanted), None
    except (ImageError, OSError) as error:
        if not keep_going or (isinstance(error, OSError) and error.errno is not None):
            raise
        with images.taking_damaged():
            images.refuse_blank(source, wanted.page, error)
            return api.encode_with(source, wanted), f"encoded as far as it goes: {error}"
