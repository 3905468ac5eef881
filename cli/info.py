"""`hvae-codec info`: what a file says of itself, without decoding it."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from . import console, files, images, options

if TYPE_CHECKING:
    from ..codec.info import FileInfo


@click.command()
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@options.json_option
@click.option(
    "--map",
    "picture",
    metavar="PICTURE",
    help="Write the quality map of a file as a grey picture, one pixel per patch of 32x32 px.",
)
def info(sources: tuple[str, ...], as_json: bool, picture: str | None) -> None:
    """Show size, quality, weights and the bytes of levels.

    With --json one line for every file. With --map grey 128 stands for the file's quality, a grey
    more for a quality more; `encode --map` takes the picture as it is.
    """
    if picture is not None and len(sources) > 1:
        raise click.UsageError("--map writes the map of one file")
    if picture == console.STDIO and as_json:
        raise click.UsageError("--map - and --json would both go to stdout")
    if picture is not None:
        images.image_format(picture)  # a suffix of no format is refused before the work

    def show(source: str) -> bool:
        from ..codec.info import inspect

        data = files.seekable(source)
        found = inspect(data)
        if as_json:
            console.result_json({"file": source, **asdict(found)})
        elif picture != console.STDIO:
            console.result(_describe(source, found))
        if picture is not None:
            from ..codec import api
            from ..codec.images import Pixels

            drawn = api.quality_map(data)
            with console.blame(picture):
                files.check_target(picture, replaces=True)
                images.write_image(picture, api.Decoded(Pixels(drawn, "L"), {}, (), 0))
        return True

    console.for_each(sources, show)


def _describe(source: str, info: "FileInfo") -> str:
    needs_weights = any(coder != "exact" for coder in info.tile_coders)
    known = " (known)" if info.weights_known else " (not installed)"
    known = known if needs_weights else " (no tile needs them)"
    cut = f", cut from {console.spaced(info.whole_bytes)}"
    lines = [
        f"{console.shown(source)}  {info.width}x{info.height} {info.color} {info.bit_depth} bit"
        f"  {_quality(info)}",
        f"  {'file':<12}{console.spaced(info.file_bytes):>12} bytes  {info.bpp:.3f} bpp"
        f"{cut if info.file_bytes < info.whole_bytes else ''}",
        f"  {'header':<12}{console.spaced(info.header_bytes):>12} bytes",
        f"  {'metadata':<12}{console.spaced(info.metadata_bytes):>12} bytes",
    ]
    if info.alpha_bytes:
        lines.append(f"  {'alpha':<12}{console.spaced(info.alpha_bytes):>12} bytes")
    if info.exact_bytes:
        lines.append(f"  {'exact':<12}{console.spaced(info.exact_bytes):>12} bytes")
    for level in info.levels if needs_weights else ():
        share = level.bytes / info.whole_bytes
        lines.append(f"  {level.name:<12}{console.spaced(level.bytes):>12} bytes {share:6.1%}")
    lines += [
        f"  {'tiles':<12}{info.tiles:>12} of {info.tile_px} px{_coders(info)}",
        f"  {'weights':<12}{info.weights if needs_weights else 'none':>12}{known}",
    ]
    if needs_weights:
        lines.append(f"  {'prior':<12}{info.prior:>12}")
    lines.append(f"  {'version':<12}{info.version:>12}")
    return "\n".join(lines)


def _coders(info: "FileInfo") -> str:
    """Return how many tiles each coder has, and a map of the tiles if there are some."""
    coders = info.tile_coders
    if not info.exact_bytes:
        return ""
    counts = (f"{coders.count(name)} {name}" for name in ("learned", "exact", "both"))
    across = -(-info.width // info.tile_px)
    rows = (coders[begin : begin + across] for begin in range(0, len(coders), across))
    lines = [f"  {'':<12}{''.join(coder[0] for coder in row)}" for row in rows]
    shown = lines if len(coders) > 1 and across <= 64 and len(lines) <= 64 else []
    return "\n".join([": " + ", ".join(counts), *shown])


def _quality(info: "FileInfo") -> str:
    if info.quality == 100 and set(info.tile_coders) == {"exact"}:
        return "lossless"
    lowest, highest = info.qualities
    patches = f", patches {lowest}…{highest}" if lowest < highest else ""
    return f"quality {info.quality} (λ {info.lmbda:.5f}){patches}"
