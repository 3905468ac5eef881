"""Bytes to tiles of symbols to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..bitstream import (
    Color,
    Container,
    Header,
    InvalidField,
    Prior,
    StreamDamaged,
    Tile,
    TileDamaged,
    check_empty,
    coder_of,
    symbol_checksum,
)
from ..models.config import LATENTS_A_SIDE
from ..models.dct import to_rgb
from ..models.fixed_point import OFFSETS
from .image import Pixels
from .symbols import SymbolReader
from .tiling import PATCH_PX, Window, patch_grid, synthesis_halo, tile_rows
from .weights import Codec


@dataclass(frozen=True)
class DecodedTile:
    """A tile's context (1, C, h, w) and its latents (1, C, 4h, 4w)."""

    window: Window
    context: Tensor
    latents: Tensor


def decode_container(codec: Codec, container: Container) -> Pixels:
    """Decode all tiles of a file, row by row, with no more than three rows at hand.

    Raises:
        WrongWeights: the file was written with others.
        TileDamaged: a tile's symbols do not match its checksum.
        InvalidField: a colour, a depth or a prior that this version does not decode.
    """
    header = container.header
    codec.accept(header)
    _check_known(header)
    out = np.empty((header.height, header.width, 3), np.uint8)
    number = 0
    # rows of tiles that a tile sees above and below
    reach = -(-synthesis_halo(codec.model.config) // header.tile)
    rows: list[list[DecodedTile]] = []  # the last 2 * reach + 1
    for windows in [*tile_rows(header), *([[]] * reach)]:
        rows.append([])
        for window in windows:
            rows[-1].append(
                decode_tile(codec, container.tiles[number], number, window, header.quality)
            )
            number += 1
        rows = rows[-2 * reach - 1 :]
        if len(rows) > reach:
            near = [tile for row in rows for tile in row]
            for tile in rows[-reach - 1]:
                synthesise_tile(codec, tile.window, near, header.quality, out)
    return Pixels(out, header.color, container.metadata)


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def decode_tile(codec: Codec, tile: Tile, number: int, window: Window, quality: int) -> DecodedTile:
    """Pop a tile's symbols, coarse to fine, and check that they are what was pushed.

    Raises:
        TileDamaged: they are not.
    """
    entropy = codec.model.entropy
    at = torch.full((1,), quality)
    try:
        stacks = [coder_of(tile.words)]
        prior_reader = SymbolReader(stacks, codec.tables, 1)
        context = entropy.prior.walk((1, *window.size), at, entropy.norm, prior_reader)
        trunk_reader = SymbolReader(stacks, codec.tables, OFFSETS)
        latents = codec.model.latents(context, at, trunk_reader)
        check_empty(stacks[0])
    except StreamDamaged as error:
        raise TileDamaged(number, reason=str(error)) from error
    levels = [level[0] for level in prior_reader.levels + trunk_reader.levels]
    if symbol_checksum(number, levels) != tile.checksum:
        raise TileDamaged(number)
    return DecodedTile(window, context, latents)


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def synthesise_tile(
    codec: Codec, window: Window, tiles: list[DecodedTile], quality: int, out: np.ndarray
) -> None:
    """Write a tile's pixels into `out` (H, W, 3), seeing the tiles around it as far as it must."""
    model = codec.model
    seen = window.grown(synthesis_halo(model.config), patch_grid(*out.shape[:2]))
    context = _gather([(t.window, t.context) for t in tiles], seen, 1)
    latents = _gather([(t.window, t.latents) for t in tiles], seen, LATENTS_A_SIDE)
    at = torch.full((1,), quality)
    ycbcr = model.synthesise(model.context_image(context, at), latents, at)
    rows, columns = window.slices(seen, PATCH_PX)
    rgb = to_rgb(ycbcr[..., rows, columns]).clamp_(0, 255).round_().to(torch.uint8)
    rows, columns = window.slices(Window(0, 0, 0, 0), PATCH_PX)
    target = out[rows, columns]
    target[...] = rgb[0].permute(1, 2, 0).numpy()[: target.shape[0], : target.shape[1]]


def _gather(parts: list[tuple[Window, Tensor]], seen: Window, scale: int) -> Tensor:
    """Lay the parts of tiles that a window sees side by side: (1, C, h * scale, w * scale)."""
    height, width = seen.size
    whole = parts[0][1].new_zeros(1, parts[0][1].shape[1], height * scale, width * scale)
    for window, tensor in parts:
        shared = window.cut(seen)
        if min(shared.size) > 0:
            whole[(..., *shared.slices(seen, scale))] = tensor[(..., *shared.slices(window, scale))]
    return whole


def _check_known(header: Header) -> None:
    known = {
        "color": (Color.GREY, Color.RGB),
        "bit_depth": (8,),
        "prior": (Prior.MASKED_DIFFUSION,),
    }
    for name, values in known.items():
        if getattr(header, name) not in values:
            raise InvalidField(f"{name} {getattr(header, name)} is not decoded by this version")
