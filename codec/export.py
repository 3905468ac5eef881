"""From a training checkpoint to the weight file that ships: integers, tables, one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..bitstream import PmfTables
from ..models.config import ModelConfig
from ..models.dct_vae import DctVae
from ..models.errors import WeightsError
from ..models.quality import QUALITIES
from ..models.training.contexts import load_prior
from ..models.training.data import BatchSizes, CropDataset, ImageCache
from ..models.training.reconstruction import fit_reconstruction
from ..models.training.rounding import round_filters
from ..models.training.state import load_into, read_checkpoint
from ..models.weights import load_weights, save_weights
from .encoder import TileSymbols, push_context, tile_symbols
from .images import Pixels
from .symbols import Ledger
from .tables import start_tables
from .tiling import PATCH_PX, Window
from .weights import Codec

FITTING_CROPS = BatchSizes(crops=8, crop_px=256, wide_crops=0)
FITTING_BATCHES = 24
"""What filters are rounded on, and reconstruction fitted: ten times as many positions, at stride
32, as filters have weights."""

REFINE_SIDE = 8
"""Patches a side of the crops on which tables are refined."""

REFINE_WEIGHT = 2000.0
"""Symbols that the tables before are worth against what is counted."""


def export(
    sources: Sequence[Path],
    out: Path,
    cache: ImageCache | None,
    priors: Sequence[Path] = (),
    crops: int = 2500,
) -> None:
    """Write a weight file: integers, tables, and fitted priors of the context beside the first.

    Args:
        sources: `checkpoint.pt` of training runs, whose averaged weights are frozen, and which
            together serve all qualities; or one weight file, whose filters stay. Norm and priors
            are those of the run of the coarsest qualities.
        out: the weight file.
        cache: training images on which filters of checkpoints are rounded, and reconstruction
            and tables fitted. Without, checkpoints are rounded to the nearest and get Gaussian
            tables, and a weight file keeps its own.
        priors: what `models.training.contexts.save_prior` wrote; or weight files, whose priors
            beside the first are taken over.
        crops: how many crops to count.

    Raises:
        BoundError: a filter's sums could leave the exact range.
        WeightsError: a file is not what it should be, some qualities are not served, a range lies
            within another, or a prior was fitted for other contexts.
    """
    if sources[0].suffix == ".safetensors":
        weights = load_weights(sources[0])
        models, begins, tables = weights.models, weights.begins, PmfTables(**weights.tables)
    else:
        trained, begins = load_checkpoints(sources)
        if cache is not None:
            round_models(trained, begins, cache)
        models = tuple(model.frozen().requires_grad_(False) for model in trained)
        tables = start_tables()
    if cache is not None:
        fit_models(models, begins, cache)
    for path in priors:  # the first model's are those of all
        models = (_with_prior(models[0], path), *models[1:])
    if cache is not None:
        tables = refine(Codec(models, begins, tables, b""), cache, crops)
    arrays = {name: getattr(tables, name) for name in ("pmf", "start", "length")}
    save_weights(out, models, begins, arrays)


def load_checkpoints(paths: Sequence[Path]) -> tuple[list[DctVae], tuple[int, ...]]:
    """Return the averaged models of checkpoints in float, and the first quality of each.

    Where the ranges of two overlap, each serves its half.

    Raises:
        WeightsError: one is not a checkpoint of this model, a range lies within another, or some
            qualities are in none.
    """
    # of two that begin together the wider one first, which leaves nothing to the other
    saved = [(path, read_checkpoint(path)) for path in paths]
    saved.sort(key=lambda one: (one[1]["qualities"][0], -one[1]["qualities"][1]))
    begins, end = [], -1
    for _, one in saved:
        lowest, highest = one["qualities"]
        if lowest > end + 1:
            raise WeightsError(f"no checkpoint serves the qualities {end + 1} to {lowest - 1}")
        if highest <= end:
            raise WeightsError(f"another checkpoint serves the qualities {lowest} to {highest}")
        begins.append((lowest + end + 1) // 2)
        end = highest
    if end < QUALITIES - 1:
        raise WeightsError(f"no checkpoint serves the qualities {end + 1} to {QUALITIES - 1}")
    return [_averaged(*one) for one in saved], tuple(begins)


def _averaged(path: Path, saved: dict[str, Any]) -> DctVae:
    model = DctVae(ModelConfig.from_json(saved["config"]))
    named = saved["average"].items()
    prefix = "module."
    tensors = {k.removeprefix(prefix): v for k, v in named if k.startswith(prefix)}
    load_into(model, tensors, path)
    return model.eval()


def _with_prior(model: DctVae, path: Path) -> DctVae:
    if path.suffix == ".safetensors":
        return model.with_priors_of(load_weights(path).models[0])
    return model.with_prior(*load_prior(path, model.config))


def round_models(models: Sequence[DctVae], begins: Sequence[int], cache: ImageCache) -> None:
    """Round the filters of models in place, each on training images at the qualities it serves."""
    for model, crops, qualities in _each_with_crops(models, begins, cache):
        round_filters(model, crops, qualities)


def fit_models(models: Sequence[DctVae], begins: Sequence[int], cache: ImageCache) -> None:
    """Fit where frozen models reconstruct latents, in place, each at the qualities it serves."""
    for model, crops, qualities in _each_with_crops(models, begins, cache):
        fit_reconstruction(model, crops, qualities)


def _each_with_crops(
    models: Sequence[DctVae], begins: Sequence[int], cache: ImageCache
) -> Iterator[tuple[DctVae, list[Tensor], tuple[int, int]]]:
    """Yield each model with batches of crops and the qualities that it serves."""
    seen = CropDataset(cache, FITTING_CROPS, FITTING_BATCHES)
    crops = [seen[number][0] for number in range(len(seen))]
    for model, first, end in zip(models, begins, (*begins[1:], QUALITIES), strict=True):
        yield model, crops, (first, end - 1)


def refine(codec: Codec, cache: ImageCache, crops: int) -> PmfTables:
    """Count which symbols each table really codes on training images, over all qualities.

    First on a quarter of the crops: which tables a channel is corrected to depends on the tables.
    """
    sizes = BatchSizes(crops=1, crop_px=REFINE_SIDE * PATCH_PX, wide_crops=0)
    whole = Window(0, 0, REFINE_SIDE, REFINE_SIDE)
    drawn = CropDataset(cache, sizes, crops)
    start = codec.tables
    for count in (crops // 4, crops):
        counts = np.zeros(codec.tables.pmf.size, np.int64)
        for number in range(count):
            crop = drawn[number][0][0]
            pixels = Pixels(crop.permute(1, 2, 0).contiguous().numpy())
            counts += _counted(codec, tile_symbols(codec, pixels, whole, number % QUALITIES))
        codec = replace(codec, tables=start.refined(counts, REFINE_WEIGHT))
    return codec.tables


def _counted(codec: Codec, symbols: TileSymbols) -> np.ndarray:
    tables, ledger = codec.tables, Ledger(codec.tables)
    push_context(codec, symbols, ledger)
    entries = [tables.entries(*pair) for pair in ledger.pairs + symbols.pairs]
    return np.bincount(np.concatenate(entries), minlength=tables.pmf.size)
