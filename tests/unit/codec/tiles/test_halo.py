"""The shipped size of model sees no further than the halos around a tile."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import Header, Tile, read_index, write_container
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.decoder import decode_file
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.tiles import tile_cache
from hvae_codec.codec.tiles.tile_decoder import DecodedTile, TileSource
from hvae_codec.codec.tiles.tiling import Window, analysis_halo, synthesis_halo
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.runtime import TorchRuntime
from hvae_codec.models.weight_models import Weights

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


@pytest.fixture(scope="module")
def base_codec(base: DctVae, tiny_codec: Codec) -> Codec:
    """What synthesises with the base model; nothing is coded here."""
    file = replace(tiny_codec.file, config=base.config)
    weights = Weights(base.context, (base.latents,), (0,), file.pmfs)
    return replace(tiny_codec, file=file, runtime=TorchRuntime(weights, torch.device("cpu")))


def decoded(window: Window) -> DecodedTile:
    """Random context and latents, the same ones at the same place; huge ones in a corner."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for row in range(window.top, window.bottom):
        for column in range(window.left, window.right):
            rng = np.random.default_rng(100 * row + column)
            context = rng.integers(-3, 4, (68, 1, 1)).astype(np.float32)
            parts.append((context, rng.normal(size=(140, 4, 4)).astype(np.float32)))
            parts[-1][1][...] *= 1e6 if row == column == 0 else 1.0
    rows = [parts[k : k + window.size[1]] for k in range(0, len(parts), window.size[1])]
    context, latents = (
        np.concatenate([np.concatenate([part[k] for part in row], 2) for row in rows], 1)[None]
        for k in (0, 1)
    )
    return DecodedTile(window, NOTHING, context, latents, intact=7, damaged=False)


def fake(codec: Codec, header: Header, tiles: list[TileSource], *_: object) -> list[DecodedTile]:
    return [decoded(tile.window) for tile in tiles]


def empty_file(codec: Codec, height: int, width: int, side: int) -> bytes:
    header = Header(width, height, 40, side, codec.file.digest[:4])
    levels = (0,) * (1 + len(codec.config.level_channels))
    empty = Tile(np.zeros(0, np.uint32), levels, levels)
    return write_container(header, (), (empty,) * header.tile_count)


@pytest.mark.parametrize("tile", [1, 2, 3])
def test_tiles_of_any_size_leave_no_seams(
    base_codec: Codec, monkeypatch: pytest.MonkeyPatch, tile: int
) -> None:
    monkeypatch.setattr(tile_cache, "pop_tiles", fake)
    pictures = []
    for side in (tile, 5):
        data = empty_file(base_codec, 32 * 5, 32 * 5, side)
        pictures.append(decode_file(base_codec, data, read_index(data)).samples)
    in_tiles, whole = pictures
    assert whole.std() > 10
    # float networks over other windows: a rounding may fall to the other side
    assert np.abs(whole.astype(np.int16) - in_tiles).max() <= 1


@pytest.mark.parametrize("size", [(9, 12), (12, 9)], ids=str)
def test_a_line_of_tiles_and_its_border_are_at_hand(
    base_codec: Codec, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    times, held = dict[int, int](), list[int]()

    def counted(codec: Codec, header: Header, tiles: list[TileSource], *_: object) -> Any:  # noqa: ANN401
        for tile in tiles:
            times[tile.number] = times.get(tile.number, 0) + 1
        return fake(codec, header, tiles)

    def gather(parts: list[tuple[Window, np.ndarray]], *at: Any) -> np.ndarray:  # noqa: ANN401
        held.append(sum(window.size[0] * window.size[1] for window, _ in parts))
        return whole(parts, *at)

    whole = tile_cache._gather
    monkeypatch.setattr(tile_cache, "pop_tiles", counted)
    monkeypatch.setattr(tile_cache, "_gather", gather)
    data = empty_file(base_codec, 32 * size[1], 32 * size[0], 3)
    decode_file(base_codec, data, read_index(data))
    assert times == dict.fromkeys(range(size[0] * size[1] // 9), 1)
    line, halo = 3 * 9, synthesis_halo(base_codec.config)
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
        context_image = base.context.image(base.context.quantise(pixels, at), at)
        features, coefficients = base.latents.features(pixels, context_image, at)
        results.append(torch.cat([features, coefficients], dim=1))
    one, other = (result[..., inner, inner] for result in results)
    assert torch.equal(one, other)
    assert not torch.equal(*results)
