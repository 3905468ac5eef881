"""What is fitted on images once training is over: rounded filters, reconstruction, tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...bitstream import PmfTables
from ...codec.config import PATCH_PX
from ...codec.images import Pixels
from ...codec.networks.weight_file import WeightFile
from ...codec.networks.weights import Codec
from ...codec.quality.curve import QUALITIES
from ...codec.symbols.tables import Tables
from ...codec.tiles.conditions import CodingConditions
from ...codec.tiles.tile_encoder import TileSymbols, encode_tiles
from ...codec.tiles.tiling import Window
from ..dct_vae import DctVae
from ..runtime import TorchRuntime
from ..weight_models import Weights
from .config import BatchSizes
from .data import CropDataset, ImageCache
from .reconstruction import fit_reconstruction
from .rounding import round_filters

FITTING_CROPS = BatchSizes(crops=8, crop_px=256, wide_crops=0)
FITTING_BATCHES = 24
"""What filters are rounded on, and reconstruction fitted: ten times as many positions, at stride
32, as filters have weights."""

REFINE_SIDE = 8
"""Patches a side of the crops on which tables are refined."""

REFINE_WEIGHT = 2000.0
"""Symbols that the tables before are worth against what is counted."""


def round_models(models: Sequence[DctVae], firsts: Sequence[int], cache: ImageCache) -> None:
    """Round the filters of models in place, each on training images at the qualities it serves."""
    for model, crops, qualities in _each_with_crops(models, firsts, cache, "rounding filters"):
        round_filters(model, crops, qualities)


def fit_models(models: Sequence[DctVae], firsts: Sequence[int], cache: ImageCache) -> None:
    """Fit where integer models reconstruct latents, in place, each at the qualities it serves."""
    for model, crops, qualities in _each_with_crops(models, firsts, cache, "reconstruction"):
        fit_reconstruction(model, crops, qualities)


def _each_with_crops(
    models: Sequence[DctVae], firsts: Sequence[int], cache: ImageCache, what: str
) -> Iterator[tuple[DctVae, list[Tensor], tuple[int, int]]]:
    """Yield each model with batches of crops and the qualities that it serves."""
    seen = CropDataset(cache, FITTING_CROPS, FITTING_BATCHES)
    crops = [seen[number][0] for number in range(len(seen))]
    served = zip(models, firsts, (*firsts[1:], QUALITIES), strict=True)
    for model, first, end in tqdm(served, what, len(models)):
        yield model, crops, (first, end - 1)


def refine(weights: Weights, cache: ImageCache, crops: int) -> PmfTables:
    """Count which symbols each table really codes on training images, over all qualities.

    First on a quarter of the crops: which tables a channel is offset to depends on the tables.
    """
    sizes = BatchSizes(crops=1, crop_px=REFINE_SIDE * PATCH_PX, wide_crops=0)
    whole = Window(0, 0, REFINE_SIDE, REFINE_SIDE)
    drawn = CropDataset(cache, sizes, crops)
    config = weights.context.config
    pmfs = start = weights.pmfs
    for count in (crops // 4, crops):
        codec = codec_in_memory(replace(weights, pmfs=pmfs))
        counts = np.zeros(pmfs.pmf.size, np.int64)
        for number in tqdm(range(count), "counting symbols", mininterval=5):
            crop = drawn[number][0][0]
            pixels = Pixels(crop.permute(1, 2, 0).contiguous().numpy())
            conditions = CodingConditions(config, number % QUALITIES, is_grey=False)
            (symbols,) = encode_tiles(codec, pixels, [whole], conditions)
            counts += _counted(codec, symbols)
        pmfs = start.refined(counts, REFINE_WEIGHT)
    return pmfs


def codec_in_memory(weights: Weights) -> Codec:
    """Return a codec of models that no file holds yet."""
    file = WeightFile(
        config=weights.context.config,
        first_qualities=weights.first_qualities,
        priors=tuple(weights.context.priors),
        arrays={},
        graphs={},
        initialisers={},
        pmfs=weights.pmfs,
        digest=b"in memory".ljust(32),  # zeros would say that no weights are needed
    )
    runtime = TorchRuntime(weights, torch.device("cpu"))
    return Codec(file, Tables(weights.pmfs), runtime)


def _counted(codec: Codec, symbols: TileSymbols) -> np.ndarray:
    pmfs = codec.tables.pmfs
    levels = symbols.context_pairs, *symbols.latents
    entries = [pmfs.entries(*pair) for level in levels for pair in level]
    return np.bincount(np.concatenate(entries), minlength=pmfs.pmf.size)
