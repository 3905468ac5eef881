"""The options that say how an image is encoded, which `encode` and `transcode` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options

if TYPE_CHECKING:
    from ..codec.options import EncodeOptions

_OPTIONS = (
    click.option(
        "-q",
        "--quality",
        type=options.Whole(0, 100),
        help="The larger, the better, and the larger the file; 100 is lossless (default: 60).",
    ),
    click.option("--bpp", type=options.PositiveNumber(), help="At most so many bits per pixel."),
    click.option(
        "--size",
        "max_bytes",
        type=options.ByteCount(),
        help="At most so many bytes; 30k, 1.5MB, 1MiB.",
    ),
    click.option("--psnr", type=options.PositiveNumber(), help="At least so many dB in RGB."),
    click.option(
        "--ssimulacra2",
        type=options.PositiveNumber(),
        help="At least this score (needs 'hvae-codec[metric]').",
    ),
    click.option(
        "--tune",
        type=click.Choice(["eye", "psnr"]),
        default="eye",
        show_default=True,
        help="eye: bits to where errors are seen; psnr: the smallest squared error.",
    ),
    click.option(
        "--roi",
        type=options.Picture(),
        metavar="MASK",
        help="A grey picture, laid over the image: black is coded up to 30 qualities below white.",
    ),
    click.option(
        "--map",
        type=options.Picture(),
        metavar="FILE",
        help="A grey picture of qualities to add: grey less 128, as `info --map` writes it.",
    ),
    click.option(
        "--strip",
        is_flag=True,
        help="Leave out EXIF, XMP and text; the EXIF orientation is applied.",
    ),
    click.option("--lossless", is_flag=True, help="Keep every sample exactly, as at -q 100."),
    click.option(
        "--page",
        type=options.Whole(1),
        help="Which picture of a file that has several, from 1 on.",
    ),
    click.option(
        "--content",
        type=click.Choice(["auto", "photo", "graphic"]),
        default="auto",
        show_default=True,
        help="What the image shows; auto decides by tile, and codes text and drawings exactly where"
        " that is smaller.",
    ),
    options.effort_option("Search longer, for fewer bits at the same PSNR; needs --tune psnr."),
    options.prior_option,
    options.device_option,
    click.option(
        "--verify", is_flag=True, help="Decode again in another way, and compare, before writing."
    ),
)
_AIMS = {"quality": "-q", "bpp": "--bpp", "max_bytes": "--size", "psnr": "--psnr"}
_AIMS |= {"ssimulacra2": "--ssimulacra2", "lossless": "--lossless"}


def encoding_options(command: options.Function) -> options.Function:
    """Add the options that `encode_options` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def encode_options(given: dict[str, Any]) -> EncodeOptions:
    """Return what the options say, by the names of `EncodeOptions`.

    Raises:
        click.UsageError: two exclude each other.
    """
    from ..bitstream import ArgumentError
    from ..codec.options import EncodeOptions

    if sum(given[aim] not in (None, False) for aim in _AIMS) > 1:
        *first, last = _AIMS.values()
        raise click.UsageError(f"{', '.join(first)} and {last} exclude each other")
    if given["lossless"] and options.is_given("effort"):
        raise click.UsageError("--lossless has no --effort")
    try:
        return EncodeOptions(**given)
    except ArgumentError as error:
        raise click.UsageError(str(error)) from error
