"""Bytes to tiles of symbols to pixels: all of a file, a region, a few levels, or what is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..bitstream import (
    Header,
    Index,
    InvalidField,
    Source,
    StreamDamaged,
    TileDamaged,
    alpha_check,
    read_tile,
)
from ..models.config import LATENTS_A_SIDE
from ..models.dct import dct_matrix, to_rgb
from ..models.dct_vae import DctVae
from .images import Pixels, decode_alpha, fill_hidden
from .memory import trim
from .sampling import Sampling
from .tile import DecodedTile, decode_tile
from .tiling import PATCH_PX, TILE_PATCHES, Window, patch_grid, synthesis_halo, tiles_in
from .view import View, whole
from .weights import Codec

THUMBNAIL_SCALE = 8
"""From 1/8 on the context, of 4x4 coefficients a patch and more, holds all that is shown."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What was decoded.

    Attributes:
        pixels: (h, w) of the view.
        lost_tiles: numbers of the tiles of which something is damaged or nothing is there.
        whole_levels: levels of latents that are intact in every tile, of those asked for.
    """

    pixels: Pixels
    lost_tiles: tuple[int, ...]
    whole_levels: int

    @property
    def samples(self) -> np.ndarray:
        """(h, w, C) uint8 or uint16."""
        return self.pixels.samples


def decode_file(
    codec: Codec,
    source: Source,
    index: Index,
    view: View,
    *,
    levels: int | None = None,
    keep_going: bool = False,
    sampling: Sampling | None = None,
) -> Picture:
    """Decode what a view shows, tile by tile; a line of tiles and its border are at hand.

    Args:
        codec: the weights that wrote the file.
        source: the file.
        index: of it.
        view: what to show.
        levels: levels of latents, the rest at their means; None for all.
        keep_going: take of each tile the levels that are there and intact.
        sampling: how to draw the levels that are left out; None leaves them at their means.

    Raises:
        WrongWeights: the file was written with others.
        Truncated: a level that was asked for is not there.
        TileDamaged: a tile's symbols or its alpha do not match their checks.
        InvalidField: levels or a prior that these weights do not have.
    """
    header = index.header
    codec.accept(header)
    levels = None if levels is None else whole("levels", levels)
    _check_known(codec, index, levels)
    thumbnail = view.scale >= THUMBNAIL_SCALE
    # a thumbnail sees around itself only to fill what is lost
    halo = int(keep_going) if thumbnail else synthesis_halo(codec.config)
    wanted = index.levels if levels is None else min(1 + levels, index.levels)
    wanted = 1 if thumbnail else wanted
    place = (view.height, view.width, header.tile)
    tiles = tiles_in(*place, view.patches)
    across = view.width > view.height
    if across:  # lines along the shorter side are shorter
        tiles.sort(key=lambda tile: tile[1].left)
    out = Pixels.blank(view.size, header.color, header.bit_depth)
    grid = patch_grid(view.height, view.width)
    near: dict[int, DecodedTile] = {}
    lost: set[int] = set()
    whole_levels = wanted
    decoded = 0  # patches, since memory was given back
    for number, window in tiles:
        part = window.cut(view.patches)
        seen = part.grown(halo, grid)
        for n, around in tiles_in(*place, seen):
            if n in near:
                continue
            coded = read_tile(source, index, n, wanted)
            near[n] = decode_tile(
                codec,
                header,
                coded,
                n,
                around,
                levels=wanted,
                keep_going=keep_going,
                context_only=thumbnail,
                sampling=sampling,
            )
            whole_levels = min(whole_levels, near[n].intact)
            if near[n].damaged or not coded.whole_levels:
                lost.add(n)
        planes = [_colour(codec, header, near.values(), part, seen, view)]
        if header.color.has_alpha:
            try:
                planes.append(_alpha(header, near[number], number, part, view))
            except TileDamaged:
                if not keep_going:
                    raise
                planes.append(torch.full_like(planes[0][:, :1], 255.0))
                lost.add(number)
        view.paste(out, part, _quantised(torch.cat(planes, dim=1), header.largest_sample))
        seen_later = {n: _seen_after(window, t.window, halo, across) for n, t in near.items()}
        near = {n: near[n].cut(left) for n, left in seen_later.items() if min(left.size) > 0}
        decoded += math.prod(part.size)
        if decoded >= TILE_PATCHES**2:  # not after each of many small tiles
            trim()
            decoded = 0
    return Picture(out, tuple(sorted(lost)), max(0, whole_levels - 1))


def _seen_after(done: Window, tile: Window, halo: int, across: bool) -> Window:
    """Return what tiles that come after `done` see of a tile: its border, once they are past it."""
    if across:
        edge = done.right if tile.bottom <= done.bottom - halo else done.left
        return replace(tile, left=max(tile.left, edge - halo))
    edge = done.bottom if tile.right <= done.right - halo else done.top
    return replace(tile, top=max(tile.top, edge - halo))


def _check_known(codec: Codec, index: Index, levels: int | None) -> None:
    prior = index.header.prior.label
    if prior not in codec.priors:
        raise InvalidField(f"the file names the prior {prior}, which its weights do not have")
    every = 1 + len(codec.config.level_channels)
    if index.levels != every:
        raise InvalidField(f"the file has {index.levels} levels, its weights have {every}")
    if levels is not None and levels < 0:
        raise InvalidField(f"{levels} levels of latents cannot be decoded")


@torch.autocast("cpu", enabled=False)
@torch.inference_mode()
def _colour(
    codec: Codec,
    header: Header,
    tiles: Iterable[DecodedTile],
    part: Window,
    seen: Window,
    view: View,
) -> Tensor:
    """Return what a view shows of some patches: float32 (1, 1 or 3, h, w) in 0...255."""
    model, at = codec.model_at(header.quality), torch.full((1,), header.quality)
    tiles = [tile for tile in tiles if tile.intact]
    context = _gather(
        [(t.window, t.context) for t in tiles], seen, 1, model.config.context_channels
    )
    context = _conceal(context, [t.window for t in tiles], seen)
    if view.scale >= THUMBNAIL_SCALE:
        side = PATCH_PX // view.scale
        rows, columns = part.slices(seen, side)
        ycbcr = context_thumbnail(model, context, at, side)[..., rows, columns]
    else:
        parts = [(t.window, t.latents) for t in tiles if t.latents is not None]
        latents = _gather(parts, seen, LATENTS_A_SIDE, model.config.latent_channels)
        ycbcr = model.synthesise(context, latents, at)
        rows, columns = part.slices(seen, PATCH_PX)
        ycbcr = ycbcr[..., rows, columns]
    color = ycbcr[:, :1] + 128 if header.color.is_grey else to_rgb(ycbcr)
    if view.scale < THUMBNAIL_SCALE:
        return _shown(color.clamp_(0, 255), part, view)
    rows, columns = (-(-side // view.scale) for side in view.inside(part))
    return color.clamp_(0, 255)[..., :rows, :columns]


def context_thumbnail(model: DctVae, context: Tensor, quality: Tensor, side: int) -> Tensor:
    """Return the context's image at side/32 of its size, by an inverse DCT of so many frequencies.

    Args:
        model: whose context it is.
        context: (1, C, h, w) integers.
        quality: (1,).
        side: of a patch in px, 1, 2 or 4.

    Returns:
        (1, 3, side h, side w) YCbCr about zero.
    """
    coefficients = (context.float() * model.context_steps(quality))[0]
    height, width = coefficients.shape[1:]
    low = coefficients.new_zeros(3, side, side, height, width)
    for channel, (plane, i, j) in enumerate(model.dct.order):
        if max(i, j) < side:
            low[plane, i, j] = coefficients[channel]
    matrix = dct_matrix(side) * (side / PATCH_PX) ** 0.5  # a mean stays a mean
    pixels = torch.einsum("ui,puvyx,vj->pyixj", matrix, low, matrix)
    return pixels.reshape(1, 3, side * height, side * width)


def _alpha(header: Header, tile: DecodedTile, number: int, part: Window, view: View) -> Tensor:
    """Return what a view shows of the alpha of some patches: (1, 1, h, w) in 0...255.

    Raises:
        TileDamaged: the tile's alpha is missing or not what was coded.
    """
    coded = tile.coded.alpha
    if coded is None or alpha_check(number, coded) != tile.coded.alpha_check:
        raise TileDamaged(number, "its alpha does not match its checksum")
    try:
        alpha = decode_alpha(coded, *view.inside(tile.window), header.bit_depth)
    except StreamDamaged as error:
        raise TileDamaged(number, str(error)) from error
    rows, columns = part.slices(tile.window, PATCH_PX)
    plane = torch.from_numpy(alpha[rows, columns].astype(np.float32))[None, None]
    return _shown(plane * (255 / header.largest_sample), part, view)


def _shown(plane: Tensor, part: Window, view: View) -> Tensor:
    """Cut what lies beyond the image, and average to the view's scale: (1, C, h, w)."""
    rows, columns = view.inside(part)
    plane = plane[..., :rows, :columns]
    return plane if view.scale == 1 else F.avg_pool2d(plane, view.scale, ceil_mode=True)


def _quantised(planes: Tensor, largest: int) -> np.ndarray:
    """Round float (1, C, h, w) in 0...255 to samples (h, w, C)."""
    samples = (planes[0] * (largest / 255)).round_().permute(1, 2, 0).numpy()
    return samples.astype(np.uint8 if largest == 255 else np.uint16)


def _gather(parts: list[tuple[Window, Tensor]], seen: Window, scale: int, channels: int) -> Tensor:
    """Lay the parts of tiles that a window sees side by side: float32 (1, C, h scale, w scale)."""
    whole = torch.zeros(1, channels, *(side * scale for side in seen.size))
    for window, tensor in parts:
        shared = window.cut(seen)
        if min(shared.size) > 0:
            whole[(..., *shared.slices(seen, scale))] = tensor[(..., *shared.slices(window, scale))]
    return whole


def _conceal(context: Tensor, there: list[Window], seen: Window) -> Tensor:
    """Give patches whose tile is lost a mean colour from around them: (1, C, h, w)."""
    ones = [(window, torch.ones(1, 1, *window.size)) for window in there]
    visible = _gather(ones, seen, 1, 1) > 0
    if visible.all():
        return context
    concealed = torch.zeros_like(context)
    means = fill_hidden(context[0, :3].numpy(), visible[0].numpy(), nothing=0.0)
    concealed[0, :3] = torch.from_numpy(means)
    return torch.where(visible, context, concealed)
