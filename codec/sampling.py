"""Pictures from noise: symbols are drawn from the model instead of read from a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bitstream import ArgumentError, Prior
from .networks.weights import Codec
from .numbers import quality_of, whole
from .symbols.coders import LatentDecoder
from .symbols.stack import Sampling, SamplingStack
from .symbols.walk import walk
from .tiles.conditions import CodingConditions
from .tiles.tile_decoder import pop_contexts
from .tiles.tiling import Window

MAX_PATCHES = 64 * 64
"""Of a drawn picture, which is one tile."""


def draw_picture(
    codec: Codec,
    size: tuple[int, int],
    quality: int,
    sampling: Sampling,
    prior: Prior = Prior.MASKED_DIFFUSION,
) -> NDArray[np.uint8]:
    """Draw a picture from noise, through prior, trunk and synthesis.

    Args:
        codec: the weights.
        size: (rows, columns) of patches.
        quality: 0...100; the model knows how pictures look when they are coded at it.
        sampling: how to draw.
        prior: of the context.

    Returns:
        (32 rows, 32 columns, 3) uint8 RGB.

    Raises:
        ArgumentError: the size or the quality is outside its range.
        WeightsError: the weights do not have the prior.
        TorchMissing: the prior needs PyTorch, which is not installed.
    """
    size = whole("rows", size[0]), whole("columns", size[1])
    if min(size) < 1 or size[0] * size[1] > MAX_PATCHES:
        raise ArgumentError(f"{size[0]}x{size[1]} patches are not 1 to {MAX_PATCHES} patches")
    conditions = CodingConditions(codec.config, quality_of(quality), is_grey=False)
    codec.check_prior(prior)
    stack = SamplingStack(codec.tables.pmfs, sampling)
    u = pop_contexts(codec, conditions, prior, [stack], [Window(0, 0, *size)])
    decoder = LatentDecoder([stack], codec.tables, conditions.latent_mask, skips=conditions.skips)
    latents = walk(codec.runtime.latent_pass(u, conditions.quality), decoder).latents
    rgb = codec.runtime.synthesise(u, latents, conditions.quality)[0]
    return np.ascontiguousarray(np.rint(rgb).astype(np.uint8).transpose(1, 2, 0))
