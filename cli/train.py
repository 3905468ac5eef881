"""`hvae-codec train`, `train-prior` and `export`: photographs become weights."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..models.training.config import (
    BatchSizes,
    TrainConfig,
    default_cooldown,
    default_simulate,
)
from . import console, files, options

_FOLDER, _NEW = options.Folder(exists=True), options.Folder()
_FILE, _NEW_FILE = options.File(exists=True), options.File()
_ABOVE_ZERO, _SHARE = options.PositiveNumber(), options.PositiveNumber(or_zero=True, most=1)
_FIELDS = {"rate": "learning_rate"}
"""Options of `train` that have another name than their fields."""

_cache_option = click.option(
    "--cache", type=_NEW, help="Folder of decoded photographs (default: beside OUT)."
)


@click.command()
@click.option("--data", type=_FOLDER, required=True, help="Folder of training photographs.")
@click.option("--valid", type=_FOLDER, required=True, help="Folder of validation images.")
@click.option("--out", type=_NEW, required=True, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint, if there is one.")
@click.option("--start", type=_FILE, help="Checkpoint or weight file to start from.")
@click.option(
    "--grow", is_flag=True, help="Give START all coefficients; new ones begin as surely zero."
)
@click.option(
    "--preset",
    type=click.Choice(["base", "open", "tiny"]),
    default=TrainConfig.preset,
    show_default=True,
    help="Of a new model: base as shipped; open with all coefficients; tiny for tests.",
)
@click.option(
    "--qualities",
    type=options.QualityRange(),
    metavar="FIRST LAST",
    default=TrainConfig.qualities,
    show_default=True,
    help="First and last quality that the model is to serve.",
)
@click.option(
    "--steps",
    type=options.Whole(1),
    default=TrainConfig.steps,
    show_default=True,
    help="Training steps in all.",
)
@click.option(
    "--cooldown",
    type=options.Whole(0),
    show_default=f"{TrainConfig.cooldown}, at most half of STEPS",
    help="Final steps, over which the learning rate falls.",
)
@click.option(
    "--simulate",
    type=options.Whole(0),
    show_default=f"{TrainConfig.simulate}, at most a tenth of STEPS",
    help="Final steps, which simulate integer arithmetic.",
)
@click.option(
    "--rate",
    type=_ABOVE_ZERO,
    default=TrainConfig.learning_rate,
    show_default=True,
    help="Peak learning rate.",
)
@click.option(
    "--crops",
    type=options.Whole(1),
    default=BatchSizes.crops,
    show_default=True,
    help="Crops per step.",
)
@click.option(
    "--crop-px",
    type=options.CropSide(),
    default=BatchSizes.crop_px,
    show_default=True,
    help="Side of a crop, in pixels.",
)
@click.option(
    "--wide-crops",
    type=options.Whole(0),
    default=BatchSizes.wide_crops,
    show_default=True,
    help="Crops per step that teach the context's prior; with 0 it stays as it is.",
)
@click.option(
    "--graphics",
    type=_SHARE,
    default=0.1,
    show_default=True,
    help="Share of crops that are no photographs, 0 to 1: text, screens, drawings, noise.",
)
@click.option(
    "--eye",
    type=_SHARE,
    default=TrainConfig.eye,
    show_default=True,
    help="Share of SSIMULACRA2's error in the objective, 0 to 1, beside squared error.",
)
@click.option(
    "--minutes", type=_ABOVE_ZERO, default=TrainConfig.minutes, help="Stop after this time."
)
@click.option(
    "--workers",
    type=options.Whole(0),
    default=TrainConfig.workers,
    show_default=True,
    help="Processes that load crops.",
)
@click.option("--compile", is_flag=True, help="Compile the model (worth it on a GPU).")
def train(
    out: Path,
    resume: bool,
    start: Path | None,
    grow: bool,
    steps: int,
    cooldown: int | None,
    simulate: int | None,
    rate: float,
    **given: Any,  # noqa: ANN401
) -> None:
    """Train a model; OUT gets checkpoint.pt and metrics.jsonl.

    The learning rate is constant until the last COOLDOWN steps, over which it falls. The last
    SIMULATE steps train with simulated integer arithmetic.

    A resumed run keeps the settings that it was started with. STEPS, COOLDOWN and SIMULATE may be
    given anew. A run that has ended goes on with more STEPS, at the full rate again: what cooling
    down gained is lost until it cools down once more.
    """
    if not resume and os.path.exists(out / "checkpoint.pt"):
        raise click.UsageError(
            f"{click.format_filename(out)} holds a run already: --resume goes on with it, "
            "or name another --out"
        )
    if grow and start is None:
        raise click.UsageError("--grow needs a --start")
    if start and options.is_given("preset"):
        raise click.UsageError("--preset is for a new model; one from a --start has its size")

    from ..models.training.loop import train as run
    from ..models.training.state import going_on

    sizes = {name: given.pop(name) for name in ("crops", "crop_px", "wide_crops", "graphics")}
    config = TrainConfig(
        out=out,
        resume=resume,
        start=start,
        grow=grow,
        steps=steps,
        cooldown=default_cooldown(steps) if cooldown is None else cooldown,
        simulate=default_simulate(steps) if simulate is None else simulate,
        learning_rate=rate,
        sizes=BatchSizes(**sizes),
        **given,
    )
    with console.blame(str(out)):
        files.prepare(out / "checkpoint.pt")
        if resume:
            named = filter(options.is_given, click.get_current_context().params)
            config = going_on(config, {_FIELDS.get(name, name) for name in named})
        run(config)


@click.command("train-prior")
@click.argument("name", metavar="PRIOR", type=click.Choice(options.PRIORS))
@click.option("--weights", type=_FILE, required=True, help="Weight file that it is to join.")
@click.option("--data", type=_FOLDER, required=True, help="Folder of training photographs.")
@click.option(
    "--out", type=_NEW_FILE, required=True, help="The fitted prior, for `export --prior`."
)
@_cache_option
@click.option(
    "--steps", type=options.Whole(1), default=4000, show_default=True, help="Training steps."
)
@click.option(
    "--rate", type=_ABOVE_ZERO, default=3e-3, show_default=True, help="Peak learning rate."
)
@click.option(
    "--batch", type=options.Whole(1), default=8, show_default=True, help="Crops per step."
)
@click.option("--minutes", type=_ABOVE_ZERO, default=float("inf"), help="Stop after this time.")
@click.option(
    "--pseudo-inputs", is_flag=True, help="Fit gaussian-diffusion to noisy contexts, to draw from."
)
def train_prior(
    name: str,
    weights: Path,
    data: Path,
    out: Path,
    cache: Path | None,
    steps: int,
    rate: float,
    batch: int,
    minutes: float,
    pseudo_inputs: bool,
) -> None:
    """Fit a prior of the context to photographs.

    The context has no weights: no network but the prior runs, and the rest of WEIGHTS stays as it
    is. Ctrl-C writes what is fitted so far.
    """
    files.refuse_to_replace(out, [weights])
    if pseudo_inputs and name != "gaussian-diffusion":
        raise click.UsageError("--pseudo-inputs is for gaussian-diffusion")
    with console.blame(str(out)):
        files.prepare(out)

    from ..models.training import contexts
    from ..models.training.data import ImageCache
    from ..models.training.stopping import stopping
    from ..models.weight_models import load_weights

    with console.blame(str(weights)):
        model = load_weights(weights).model_at(0)
    with console.blame(str(data)):
        photographs = ImageCache(data, cache or out.resolve().parent / "cache")
    config = contexts.FitConfig(
        steps=steps,
        learning_rate=rate,
        batch=batch,
        minutes=minutes,
        pseudo_inputs=pseudo_inputs,
    )
    with console.blame(str(out)), stopping() as stopped:
        prior = contexts.fit(model, name, photographs, config, stopped.is_set)
        contexts.save_prior(out, model, name, prior)


@click.command()
@click.argument("sources", metavar="SOURCE...", type=_FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=_NEW_FILE, required=True, help="The weight file.")
@click.option(
    "--data",
    type=_FOLDER,
    help="Training photographs, for what is fitted to them: ten minutes or more of a core.",
)
@_cache_option
@click.option(
    "--prior",
    "priors",
    type=_FILE,
    multiple=True,
    help="What `train-prior` fitted; or a weight file, to take over its further priors.",
)
def export(
    sources: Sequence[Path],
    out: Path,
    data: Path | None,
    cache: Path | None,
    priors: tuple[Path, ...],
) -> None:
    """Make the weight file that encodes and decodes.

    SOURCE is a checkpoint, or several that together serve all qualities: it is frozen into integers
    and tables of pmfs. Or it is a weight file, to which priors are added.
    """
    files.refuse_to_replace(out, [*sources, *priors])
    if cache and not data:
        raise click.UsageError("--cache is for the photographs of --data")
    with console.blame(str(out)):
        files.prepare(out)

    from ..models import export as exporting
    from ..models.training.data import ImageCache
    from ..models.weight_models import is_weight_file

    with console.blame(str(sources[0])):
        if len(sources) > 1 and any(map(is_weight_file, sources)):
            raise click.UsageError("a weight file is the only SOURCE, or none")
        found = exporting.gather(sources, priors)
        photographs = None
        if data:
            photographs = ImageCache(data, cache or out.resolve().parent / "cache")
        exporting.export(found, out, photographs)
    console.note(f"{out}  {console.spaced(out.stat().st_size)} bytes")
