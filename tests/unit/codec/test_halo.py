"""The shipped size of model sees no further than the halos around a tile."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.bitstream import Header, Tile, read_index, write_container
from hvae_codec.codec import decoder
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.tile import DecodedTile
from hvae_codec.codec.tiling import Window, analysis_halo, synthesis_halo
from hvae_codec.codec.view import view_of
from hvae_codec.codec.weights import Codec
from hvae_codec.models.config import PRESETS
from hvae_codec.models.dct_vae import DctVae

NOTHING = Tile(np.zeros(0, np.uint32), (), ())


@pytest.fixture(scope="module")
def base() -> DctVae:
    """Random weights in every path, none of them zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DctVae(PRESETS["base"])
        for name, parameter in model.named_parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02 if name.endswith("weight") else 0.1)
    return model.eval().requires_grad_(False)


def decoded(model: DctVae, window: Window) -> DecodedTile:
    """Random context and latents, the same ones at the same place; huge ones in a corner."""
    parts: list[tuple[Tensor, Tensor]] = []
    for row in range(window.top, window.bottom):
        for column in range(window.left, window.right):
            generator = torch.Generator().manual_seed(100 * row + column)
            context = torch.randint(-3, 4, (68, 1, 1), generator=generator).double()
            parts.append((context, torch.randn(140, 4, 4, generator=generator)))
            parts[-1][1][...] *= 1e6 if row == column == 0 else 1.0
    rows = [parts[k : k + window.size[1]] for k in range(0, len(parts), window.size[1])]
    context, latents = (
        torch.cat([torch.cat([part[k] for part in row], dim=2) for row in rows], dim=1)[None]
        for k in (0, 1)
    )
    return DecodedTile(window, NOTHING, context, latents, intact=7, damaged=False)


@pytest.mark.parametrize("tile", [1, 2, 3])
def test_tiles_of_any_size_leave_no_seams(
    base: DctVae, tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    codec = replace(tiny_codec, models=(base,))

    def fake(codec: Codec, header: Header, tile: Tile, *at: Any, **options: Any) -> DecodedTile:  # noqa: ANN401
        return decoded(base, at[1])

    monkeypatch.setattr(decoder, "decode_tile", fake)
    pictures = []
    for side in (tile, 5):
        header = Header(32 * 5, 32 * 5, 40, side, codec.digest[:4])
        levels = (0,) * (1 + len(base.config.level_channels))
        empty = Tile(np.zeros(0, np.uint32), levels, levels)
        data = write_container(header, (), (empty,) * header.tile_count)
        pictures.append(decode_file(codec, data, read_index(data), view_of(header)).samples)
    in_tiles, whole = pictures
    assert whole.std() > 10
    # float networks over other windows: a rounding may fall to the other side
    assert np.abs(whole.astype(np.int16) - in_tiles).max() <= 1


@pytest.mark.parametrize("size", [(9, 12), (12, 9)], ids=str)
def test_a_line_of_tiles_and_its_border_are_at_hand(
    base: DctVae, tiny_codec: Codec, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    codec, times, held = replace(tiny_codec, models=(base,)), dict[int, int](), list[int]()

    def fake(codec: Codec, header: Header, tile: Tile, *at: Any, **options: Any) -> DecodedTile:  # noqa: ANN401
        times[at[0]] = times.get(at[0], 0) + 1
        return decoded(base, at[1])

    def gather(parts: list[tuple[Window, Tensor]], *at: Any) -> Tensor:  # noqa: ANN401
        held.append(sum(window.size[0] * window.size[1] for window, _ in parts))
        return whole(parts, *at)

    whole = decoder._gather
    monkeypatch.setattr(decoder, "decode_tile", fake)
    monkeypatch.setattr(decoder, "_gather", gather)
    header = Header(32 * size[0], 32 * size[1], 40, 3, codec.digest[:4])
    levels = (0,) * (1 + len(base.config.level_channels))
    data = write_container(
        header, (), (Tile(np.zeros(0, np.uint32), levels, levels),) * header.tile_count
    )
    decode_file(codec, data, read_index(data), view_of(header))
    assert times == dict.fromkeys(range(header.tile_count), 1)
    line, halo = 3 * 9, synthesis_halo(base.config)
    # one line in all, two tiles more, and borders on both sides of the line
    assert max(held) <= line + 2 * 9 + 2 * halo * 9


def test_the_analysis_sees_no_further_than_its_halo(base: DctVae) -> None:
    torch.manual_seed(0)
    halo = analysis_halo(base.config)
    patches = 2 * halo + 1
    image = 50 * torch.randn(1, 3, 32 * patches, 32 * patches)
    outer = torch.nn.functional.pad(image, (32, 32, 32, 32))
    noisy = torch.nn.functional.pad(image, (32, 32, 32, 32), value=77.0)
    at = torch.tensor([50])
    inner = slice(4 * (halo + 1), 4 * (halo + 2))
    results = []
    for pixels in (outer, noisy):
        context_image = base.context_image(base.context(pixels, at), at)
        features, coefficients = base.features(pixels, context_image, at)
        results.append(torch.cat([features, coefficients], dim=1))
    one, other = (result[..., inner, inner] for result in results)
    assert torch.equal(one, other)
    assert not torch.equal(*results)
