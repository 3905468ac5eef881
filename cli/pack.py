"""`hvae-codec pack`: a training run in one file, for a machine without network."""

from pathlib import Path

import click

from . import console, files, options

_FOLDER = options.Folder(exists=True)


@click.command()
@click.argument("out", metavar="PACK.zip", type=options.File())
@click.option("--data", type=_FOLDER, required=True, help="Folder of training photographs.")
@click.option("--valid", type=_FOLDER, required=True, help="Folder of validation images.")
@click.option(
    "--start",
    "starts",
    type=options.File(exists=True),
    multiple=True,
    required=True,
    help="Weight file or checkpoint to start from: one, or one for each range.",
)
@click.option("--grow", is_flag=True, help="Give START all coefficients.")
@click.option(
    "--qualities",
    "ranges",
    type=options.QualityRange(),
    metavar="FIRST LAST",
    multiple=True,
    default=((0, 40), (28, 64), (52, 100)),
    show_default=True,
    help="First and last quality of a model; once for each model.",
)
@click.option(
    "--megabytes",
    type=options.PositiveNumber(),
    default=60.0,
    show_default=True,
    help="Size of the pack in MB; photographs are chosen at random to fill it.",
)
@click.option(
    "--rate",
    type=options.PositiveNumber(),
    default=8e-4,
    show_default=True,
    help="Peak learning rate.",
)
@click.option(
    "--crops", type=options.Whole(1), default=32, show_default=True, help="Crops per step."
)
@click.option(
    "--crop-px", type=options.CropSide(), default=224, show_default=True, help="Side of a crop."
)
@click.option(
    "--graphics",
    type=options.PositiveNumber(or_zero=True, most=1),
    default=0.1,
    show_default=True,
    help="Share of crops that are no photographs, 0 to 1.",
)
def pack(
    out: Path,
    data: Path,
    valid: Path,
    starts: tuple[Path, ...],
    grow: bool,
    ranges: tuple[tuple[int, int], ...],
    megabytes: float,
    rate: float,
    crops: int,
    crop_px: int,
    graphics: float,
) -> None:
    """Pack a training run into one file, for another machine.

    It holds code, photographs and weights: the other machine needs no network. There `python
    PACK.zip --minutes 12 --out OUT` trains the models beside each other, and puts their weights
    into OUT every minute. This takes PyTorch, Pillow, NumPy, safetensors and tqdm.
    """
    if len(starts) not in (1, len(ranges)):
        raise click.UsageError(f"{len(starts)} times --start for {len(ranges)} times --qualities")
    files.refuse_to_replace(out, starts)

    from ..models.training.pack import write_pack

    settings = {
        "qualities": ranges,
        "grow": grow,
        "rate": rate,
        "crops": crops,
        "crop_px": crop_px,
        "graphics": graphics,
    }
    with console.blame(str(out)):
        count = write_pack(out, data, valid, starts, settings, round(megabytes * 1e6))
    size, photographs = console.spaced(out.stat().st_size), console.counted(count, "photograph")
    console.note(f"{out}  {size} bytes  {photographs}")
