"""From training checkpoints to the weight file that ships: integers, tables, graphs, one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..codec.config import ModelConfig
from ..codec.errors import WeightsError, about
from ..codec.quality.curve import MAX_QUALITY
from ..codec.symbols.tables import start_pmfs
from .dct_vae import ContextModel, DctVae
from .graphs import check_exporter
from .integer import convert
from .priors import DEFAULT_PRIOR
from .training.contexts import load_prior
from .training.data import ImageCache
from .training.fitting import fit_models, refine, round_models
from .training.state import load_into, read_checkpoint
from .weight_models import Weights, is_weight_file, load_weights, save_weights, shapes_of


@dataclass(frozen=True, eq=False)
class Ingredients:
    """What a weight file is made of, as `gather` found it good.

    Attributes:
        weights: of integers; where they come from checkpoints, rounded to the nearest.
        trained: the models of checkpoints in float, of which `weights` are made.
        priors: in integers, by name; they take the place of those in `weights`.
    """

    weights: Weights
    trained: tuple[DctVae, ...]
    priors: dict[str, nn.Module]


def gather(sources: Sequence[Path], priors: Sequence[Path] = ()) -> Ingredients:
    """Read all that a weight file is made of, and refuse here what would fail after long work.

    Args:
        sources: `checkpoint.pt` of training runs, whose averaged weights are converted, and which
            together serve all qualities; or one weight file, whose filters stay. Norm and priors
            are those of the run of the coarsest qualities.
        priors: what `training.contexts.save_prior` wrote; or weight files, whose priors beside
            the first are taken over.

    Raises:
        OSError: a file cannot be read.
        BoundError: a filter's sums could leave the exact range.
        WeightsError: a file is not what it should be, some qualities are not served, a range lies
            within another, models differ in size, or a prior was fitted for other contexts.
        TorchMissing: the packages that export graphs are not installed.
    """
    check_exporter()
    trained: list[DctVae] = []
    if is_weight_file(sources[0]):
        with about(sources[0]):
            weights = load_weights(sources[0])
    else:
        trained, firsts = load_checkpoints(sources)
        weights = _rounded(trained, firsts)
    further: dict[str, nn.Module] = {}
    for path in priors:
        with about(path):
            further |= _priors_of(path, weights.context)
    return Ingredients(weights, tuple(trained), further)


def export(found: Ingredients, out: Path, cache: ImageCache | None, crops: int = 2500) -> None:
    """Write a weight file: integers, tables, graphs, and further priors of the context.

    Args:
        found: what it is made of.
        out: the weight file.
        cache: training images on which filters of checkpoints are rounded, and reconstruction
            and tables fitted. Without, checkpoints are rounded to the nearest and get Gaussian
            tables, and a weight file keeps its own.
        crops: how many crops to count.

    Raises:
        BoundError: a filter's sums could leave the exact range.
        OSError: the file cannot be written.
    """
    weights = found.weights
    if found.trained and cache is not None:
        round_models(found.trained, weights.first_qualities, cache)
        weights = _rounded(found.trained, weights.first_qualities)
    if cache is not None:
        fit_models(
            [weights.model_at(first) for first in weights.first_qualities],
            weights.first_qualities,
            cache,
        )
    if found.priors:
        own = dict(weights.context.priors.items())
        weights = replace(weights, context=_of_priors(weights.context, own | found.priors))
    if cache is not None:
        weights = replace(weights, pmfs=refine(weights, cache, crops))
    save_weights(out, weights)


def _rounded(trained: Sequence[DctVae], firsts: tuple[int, ...]) -> Weights:
    models = [model.to_integer() for model in trained]
    latents = tuple(model.latents for model in models)
    return Weights(models[0].context, latents, firsts, start_pmfs())


def load_checkpoints(paths: Sequence[Path]) -> tuple[list[DctVae], tuple[int, ...]]:
    """Return the averaged models of checkpoints in float, and the first quality of each.

    Where the ranges of two overlap, each serves its half.

    Raises:
        WeightsError: one is not a checkpoint of this model, a range lies within another, some
            qualities are in none, or two models differ in size.
    """
    saved = []
    for path in paths:
        with about(path):
            saved.append((path, read_checkpoint(path)))
    # of two that begin together the wider one first, which leaves nothing to the other
    saved.sort(key=lambda one: (one[1]["qualities"][0], -one[1]["qualities"][1]))
    firsts, end = [], -1
    for path, one in saved:
        lowest, highest = one["qualities"]
        if lowest > end + 1:
            raise WeightsError(f"no checkpoint serves the qualities {end + 1} to {lowest - 1}")
        if highest <= end:
            with about(path):
                raise WeightsError(f"another checkpoint serves the qualities {lowest} to {highest}")
        firsts.append((lowest + end + 1) // 2)
        end = highest
    if end < MAX_QUALITY:
        raise WeightsError(f"no checkpoint serves the qualities {end + 1} to {MAX_QUALITY}")
    models = []
    for path, one in saved:
        with about(path):
            models.append(_averaged(path, one))
            if shapes_of(models[-1].latents) != shapes_of(models[0].latents):
                raise WeightsError(f"its model has another size than that of {saved[0][0].name}")
    return models, tuple(firsts)


def _averaged(path: Path, saved: dict[str, Any]) -> DctVae:
    model = DctVae(ModelConfig.from_json(saved["config"]))
    named = saved["average"].items()
    prefix = "module."
    tensors = {k.removeprefix(prefix): v for k, v in named if k.startswith(prefix)}
    load_into(model, tensors, path)
    return model.eval()


def _priors_of(path: Path, context: ContextModel) -> dict[str, nn.Module]:
    """Return the priors of a file by name, in integers, for a context.

    Raises:
        BoundError: a filter's sums could leave the exact range.
        WeightsError: the priors were fitted to other contexts.
    """
    if is_weight_file(path):
        other = load_weights(path).context
        ours, theirs = context.norm.state_dict(), other.norm.state_dict()
        same = all(torch.equal(ours[name], theirs[name]) for name in ours)
        if not same or context.config.prior_components != other.config.prior_components:
            raise WeightsError("its priors were fitted to other contexts, or have another shape")
        return {name: p for name, p in other.priors.items() if name != DEFAULT_PRIOR}
    name, fitted = load_prior(path, context)
    return {name: convert.to_integer(fitted)}


def _of_priors(context: ContextModel, priors: dict[str, nn.Module]) -> ContextModel:
    copied = ContextModel(context.config)
    copied.norm, copied.priors = context.norm, nn.ModuleDict(priors)
    return cast(ContextModel, copied.eval().requires_grad_(False))
