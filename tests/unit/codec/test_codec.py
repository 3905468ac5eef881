"""Round trips through encoder and decoder, on untrained weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import (
    ArgumentError,
    InvalidField,
    Prior,
    TileDamaged,
    WrongWeights,
    level_checks,
    part_check,
    read_index,
    read_tile,
    write_container,
)
from hvae_codec.codec.networks.weights import Codec
from hvae_codec.codec.tiles.tile_decoder import TileSource, Wanted, pop_tiles
from hvae_codec.codec.tiles.tiling import tiles_in

Files = Any
SIZES = [(1, 1), (1, 70), (70, 1), (2, 3), (7, 33), (31, 32), (32, 32), (33, 32), (64, 65)]
SIZES += [(70, 70), (97, 131), (161, 40)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    mse = np.square(one.astype(np.float64) - other).mean()
    return 10 * np.log10(255**2 / max(mse, 1e-9))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_size_comes_back(
    files: Files, photograph: np.ndarray, height: int, width: int
) -> None:
    pixels = photograph[100 : 100 + height, 180 : 180 + width]
    decoded = files.samples(files.encode(pixels, 90))
    assert decoded.shape == pixels.shape
    assert psnr(decoded, pixels) > 30  # the untrained transform alone reaches that


def test_quality_buys_pixels_with_bytes(files: Files, photograph: np.ndarray) -> None:
    pixels = photograph[:128, 160:288]
    sizes, scores = [], []
    for quality in (0, 25, 50, 75, 100):
        data = files.encode(pixels, quality)
        sizes.append(len(data))
        scores.append(psnr(files.samples(data), pixels))
    assert sizes == sorted(set(sizes))
    assert scores == sorted(set(scores))


@pytest.mark.parametrize("quality", [-1, 101])
def test_other_qualities_are_refused(files: Files, photograph: np.ndarray, quality: int) -> None:
    with pytest.raises(ArgumentError, match=f"quality {quality} is outside 0...100"):
        files.encode(photograph[:9, :9], quality)


def test_the_same_twice(files: Files, photograph: np.ndarray) -> None:
    one, other = (files.encode(photograph[:70, 200:290]) for _ in range(2))
    assert one == other
    assert np.array_equal(*(files.samples(one) for _ in range(2)))


def test_arrays_may_be_views(files: Files, photograph: np.ndarray) -> None:
    view = photograph[120:20:-2, 300:200:-2]
    assert files.encode(view) == files.encode(view.copy())


def test_grey_is_coded_as_luma_alone(files: Files, photograph: np.ndarray) -> None:
    grey = photograph[:70, 200:290, 1]
    data = files.encode(grey, 90)
    decoded = files.samples(data)
    assert decoded.shape == (70, 90, 1)
    assert psnr(decoded[..., 0], grey) > 30


def test_sixteen_bits_are_coded_as_fractions_of_eight(files: Files) -> None:
    rows, columns = np.mgrid[:64, :64]
    ramp = np.stack([30000 + 9 * rows + 3 * columns] * 3, axis=2).astype(np.uint16)
    data = files.encode(ramp, 100)
    decoded = files.samples(data)
    assert decoded.dtype == np.uint16
    assert len(np.unique(decoded % 257)) > 10  # 8 bits have but one remainder
    assert psnr(decoded / 257, ramp / 257) > 35  # what untrained weights reach at this step
    assert files.encode(np.round(ramp / 257).astype(np.uint8), 100) != data


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_comes_back_exactly(
    files: Files, photograph: np.ndarray, dtype: type, channels: int
) -> None:
    samples = photograph[100:170, 200:300].astype(dtype)
    top = np.iinfo(dtype).max
    alpha = np.random.default_rng(0).integers(0, top, samples.shape[:2], dtype, endpoint=True)
    samples = np.concatenate([samples[..., : channels - 1], alpha[..., None]], axis=2)
    decoded = files.samples(files.encode(samples, tile_side=2))
    assert decoded.shape == samples.shape
    assert np.array_equal(decoded[..., -1], alpha)


def test_hidden_colours_cost_nothing_to_speak_of(files: Files, photograph: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    alpha = np.zeros((96, 96, 1), np.uint8)
    alpha[:48] = 255
    color = np.where(alpha > 0, photograph[100:196, 200:296], noise)
    hidden = files.encode(np.concatenate([color, alpha], axis=2), 60)
    shown = files.encode(np.concatenate([color, alpha | 1], axis=2), 60)
    half = files.encode(color[:48], 60)
    assert len(hidden) < 1.3 * len(half)  # the smooth half is not free, but nearly
    assert len(hidden) < 0.5 * len(shown)


def test_constant_alpha_takes_a_few_bytes(files: Files, photograph: np.ndarray) -> None:
    color = photograph[100:164, 200:264]
    opaque = np.concatenate([color, np.full((64, 64, 1), 255, np.uint8)], axis=2)
    assert len(files.encode(opaque)) - len(files.encode(color)) < 30


@pytest.mark.parametrize("tile", [pytest.param(1, marks=pytest.mark.slow), 2, 3])
def test_tiles_leave_no_seams(files: Files, photograph: np.ndarray, tile: int) -> None:
    pixels = photograph[60:230, 150:300]
    data = files.encode(pixels, 40, tile)
    assert read_index(data).header.tile_count > 3
    whole, decoded = files.samples(files.encode(pixels, 40)), files.samples(data)
    assert psnr(decoded, pixels) > 22
    # trunk and prior stop at edges, so that symbols round otherwise, but no step shows at edges
    edges = np.abs(np.diff(decoded.astype(float), axis=1))[:, 32 * tile - 1 :: 32 * tile].mean()
    without = np.abs(np.diff(whole.astype(float), axis=1))[:, 32 * tile - 1 :: 32 * tile].mean()
    assert edges < 1.1 * without


@pytest.mark.slow
def test_tiles_may_be_decoded_in_any_order(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[60:230, 150:300], 40, 2)
    whole, index = files.samples(data), read_index(data)
    side = 64
    for number in np.random.default_rng(0).permutation(index.header.tile_count).tolist():
        y, x = (side * k for k in divmod(number, index.header.tile_grid[1]))
        shown = whole[y : y + side, x : x + side]
        part = files.samples(data, region=(x, y, shown.shape[1], shown.shape[0]))
        assert np.array_equal(part, shown)


def test_other_weights_are_refused(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[:32, :32])
    file = replace(files.codec.file, digest=b"\0" * 32)
    other = replace(files, codec=replace(files.codec, file=file))
    with pytest.raises(WrongWeights):
        other.decode(data)


def rewritten(data: bytes, **changes: Any) -> bytes:  # noqa: ANN401
    """The file with another header, its tiles as they are."""
    index = read_index(data)
    tiles = [read_tile(data, index, n) for n in range(index.header.tile_count)]
    header = replace(index.header, **changes)
    if header.color.has_alpha:
        tiles = [replace(t, alpha=b"a", alpha_check=part_check(0, b"a")) for t in tiles]
    return write_container(header, index.metadata, tiles)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"color": 3}, TileDamaged),  # whose alpha does not decode
        ({"color": 0}, TileDamaged),
        ({"quality": 51}, TileDamaged),
        ({"prior": Prior.GAUSSIAN_DIFFUSION}, InvalidField),
        ({"prior": Prior.FACTORISED}, InvalidField),
    ],
    ids=str,
)
def test_another_header_is_noticed(
    files: Files, photograph: np.ndarray, changes: dict[str, int], error: type[Exception]
) -> None:
    if "color" in changes:
        from hvae_codec.bitstream import Color

        changes = {"color": Color(changes["color"])}
    with pytest.raises(error):
        files.decode(rewritten(files.encode(photograph[:32, :32]), **changes))


def test_other_numbers_of_levels_are_refused(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[:32, :32])
    index = read_index(data)
    tile = read_tile(data, index, 0)
    short = replace(tile, level_words=(tile.words.size,), checks=tile.checks[-1:])
    with pytest.raises(InvalidField, match="1 levels"):
        files.decode(write_container(index.header, (), [short]))


def test_words_left_over_are_noticed(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[:32, :32])
    index = read_index(data)
    tile = read_tile(data, index, 0)
    counts = (*tile.level_words[:-1], tile.level_words[-1] + 1)
    longer = replace(tile, words=np.append(tile.words, np.uint32(7)), level_words=counts)
    with pytest.raises(TileDamaged, match="words left over"):
        files.decode(write_container(index.header, (), [longer]))


def test_tiles_do_not_pass_for_each_other(files: Files, tiny_codec: Codec) -> None:
    data = files.encode(np.full((32, 64, 3), 9, np.uint8), tile_side=1)
    index = read_index(data)
    one, other = (read_tile(data, index, n) for n in (0, 1))
    assert np.array_equal(one.words, other.words)
    (_, window), _ = tiles_in(32, 64, 1)
    with pytest.raises(TileDamaged, match="tile 1"):
        pop_tiles(tiny_codec, index, [TileSource(1, window, one)], Wanted(index.levels))
    assert level_checks(0, [[one.words]]) != level_checks(1, [[one.words]])


def test_mixed_precision_around_the_codec_changes_nothing(
    files: Files, photograph: np.ndarray
) -> None:
    pixels = photograph[:96, 200:300]
    outside = files.encode(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, decoded = files.encode(pixels), files.samples(outside)
    assert inside == outside
    assert np.abs(decoded - files.samples(outside).astype(np.int16)).max() <= 1


def test_tiles_of_one_batch_fail_alone(files: Files, photograph: np.ndarray) -> None:
    data = files.encode(photograph[:64, 200:264], tile_side=1)
    index = read_index(data)
    windows = dict(tiles_in(64, 64, 1))
    sources = [TileSource(n, windows[n], read_tile(data, index, n)) for n in range(4)]
    every = Wanted(index.levels, keep_going=True)
    alone = [pop_tiles(files.codec, index, [source], every)[0] for source in sources]
    words = sources[2].coded.words.copy()
    words[-9] ^= 1  # of a fine level
    sources[2] = replace(sources[2], coded=replace(sources[2].coded, words=words))
    together = pop_tiles(files.codec, index, sources, every)
    assert [tile.damaged for tile in together] == [False, False, True, False]
    assert 1 <= together[2].intact < index.levels
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.context, other.context)
        if not one.damaged:
            assert np.array_equal(one.latents, other.latents)  # type: ignore
    with pytest.raises(TileDamaged, match="tile 2"):
        pop_tiles(files.codec, index, sources, Wanted(index.levels))


@pytest.mark.slow
def test_tiles_in_a_batch_are_those_alone(
    files: Files, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where several tiles of one size share a batch."""
    pixels = photograph[60:230, 150:300]  # tiles of four sizes
    data = files.encode(pixels, 40, 2)
    samples = files.samples(data)
    monkeypatch.setattr(files.codec.runtime, "tiles_at_once", 3)
    assert np.abs(files.samples(data).astype(int) - samples).max() <= 1
    again = files.encode(pixels, 40, 2)
    assert abs(len(again) - len(data)) < 0.01 * len(data)  # the analysis is float
    assert np.abs(files.samples(again).astype(int) - samples).mean() < 1
