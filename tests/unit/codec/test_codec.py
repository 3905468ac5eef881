"""Round trips through encoder and decoder, on untrained weights."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hvae_codec.bitstream import (
    BitstreamError,
    Color,
    Container,
    InvalidField,
    Prior,
    Tile,
    TileDamaged,
    WrongWeights,
    read_container,
    write_container,
)
from hvae_codec.codec import check
from hvae_codec.codec.decoder import decode_container, decode_tile, synthesise_tile
from hvae_codec.codec.encoder import encode_pixels
from hvae_codec.codec.image import from_pixels, to_pixels
from hvae_codec.codec.tiling import patch_grid, tile_rows
from hvae_codec.codec.weights import Codec

Encode = Callable[..., Container]
SIZES = [(1, 1), (1, 70), (70, 1), (2, 3), (7, 33), (31, 32), (32, 32), (33, 32), (64, 65)]
SIZES += [(70, 70), (97, 131), (161, 40)]
SIZES += [(int(h), int(w)) for h, w in np.random.default_rng(0).integers(1, 71, (8, 2))]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    mse = np.square(one.astype(np.float64) - other).mean()
    return 10 * np.log10(255**2 / max(mse, 1e-9))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_size_comes_back(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray, height: int, width: int
) -> None:
    pixels = photograph[100 : 100 + height, 180 : 180 + width]
    decoded = decode_container(tiny_codec, encoded(pixels, 90))
    assert decoded.rgb.shape == pixels.shape
    assert psnr(decoded.rgb, pixels) > 30  # the untrained transform alone reaches that


def test_quality_buys_pixels_with_bytes(tiny_codec: Codec, photograph: np.ndarray) -> None:
    pixels = to_pixels(photograph[:128, 160:288])
    sizes, scores = [], []
    for quality in (0, 25, 50, 75, 100):
        data = encode_pixels(tiny_codec, pixels, quality)
        sizes.append(len(data))
        scores.append(psnr(decode_container(tiny_codec, read_container(data)).rgb, pixels.rgb))
    assert sizes == sorted(set(sizes))
    assert scores == sorted(set(scores))


@pytest.mark.parametrize("quality", [-1, 101])
def test_other_qualities_are_refused(
    tiny_codec: Codec, photograph: np.ndarray, quality: int
) -> None:
    with pytest.raises(InvalidField, match=f"quality {quality} is outside 0...100"):
        encode_pixels(tiny_codec, to_pixels(photograph[:9, :9]), quality)


def test_the_same_twice(encoded: Encode, tiny_codec: Codec, photograph: np.ndarray) -> None:
    pixels = photograph[:70, 200:290]
    one, other = (write_container(encoded(pixels)) for _ in range(2))
    assert one == other
    first, second = (decode_container(tiny_codec, read_container(one)).rgb for _ in range(2))
    assert np.array_equal(first, second)


def test_grey_stays_grey(encoded: Encode, tiny_codec: Codec, photograph: np.ndarray) -> None:
    grey = photograph[:50, 200:260, 1]
    decoded = decode_container(tiny_codec, encoded(grey, 90))
    assert decoded.color == Color.GREY
    image = from_pixels(decoded)
    assert image.mode == "L"
    assert psnr(np.asarray(image), grey) > 30


def test_arrays_may_be_views(encoded: Encode, photograph: np.ndarray) -> None:
    view = photograph[120:20:-2, 300:200:-2]
    assert write_container(encoded(view)) == write_container(encoded(view.copy()))


@pytest.mark.parametrize("tile", [1, 2, 3])
def test_tiles_leave_no_seams(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray, tile: int
) -> None:
    container = encoded(photograph[60:230, 150:300], 40, tile)
    header = container.header
    windows = [window for row in tile_rows(header) for window in row]
    assert len(windows) == header.tile_count > 3
    tiles: dict[int, object] = {}
    for k in np.random.default_rng(0).permutation(len(windows)).tolist():
        tiles[k] = decode_tile(tiny_codec, container.tiles[k], k, windows[k], header.quality)
    whole = np.empty((header.height, header.width, 3), np.uint8)
    grid = patch_grid(header.height, header.width)
    synthesise_tile(tiny_codec, grid, list(tiles.values()), header.quality, whole)  # type: ignore[arg-type]
    decoded = decode_container(tiny_codec, container).rgb
    # float networks over other windows: a rounding may fall to the other side
    assert np.abs(whole.astype(np.int16) - decoded).max() <= 1
    assert psnr(decoded, photograph[60:230, 150:300]) > 22


def test_tiles_may_be_decoded_in_any_order(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray
) -> None:
    container = encoded(photograph[60:230, 150:300], 40, 2)
    header = container.header
    windows = [window for row in tile_rows(header) for window in row]
    order = np.random.default_rng(0).permutation(len(windows)).tolist()
    tiles = [decode_tile(tiny_codec, container.tiles[k], k, windows[k], 40) for k in order]
    out = np.empty((header.height, header.width, 3), np.uint8)
    for tile in tiles:
        synthesise_tile(tiny_codec, tile.window, tiles, 40, out)
    assert np.array_equal(out, decode_container(tiny_codec, container).rgb)


def test_other_weights_are_refused(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray
) -> None:
    other = replace(tiny_codec, digest=b"\0" * 32)
    with pytest.raises(WrongWeights, match="set HVAE_CODEC_WEIGHTS to the weight file"):
        decode_container(other, encoded(photograph[:20, :20]))


def with_tiles(container: Container, *tiles: Tile) -> Container:
    return Container(container.header, container.metadata, tiles)


@pytest.mark.parametrize("word", [0, 1, 20, -1])
def test_a_damaged_tile_is_noticed(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray, word: int
) -> None:
    container = encoded(photograph[:64, 200:300], 50, 2)
    good, bad = container.tiles
    words = bad.words.copy()
    words[word] ^= 4
    with pytest.raises(TileDamaged, match="tile 1 is damaged"):
        decode_container(tiny_codec, with_tiles(container, good, replace(bad, words=words)))


def test_words_left_over_are_noticed(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray
) -> None:
    container = encoded(photograph[:32, :32])
    (tile,) = container.tiles
    longer = replace(tile, words=np.append(tile.words, np.uint32(7)))
    with pytest.raises(TileDamaged, match="words are left over"):
        decode_container(tiny_codec, with_tiles(container, longer))


@pytest.mark.parametrize(
    "change",
    [
        {"color": Color.RGB_ALPHA},
        {"color": Color.GREY_ALPHA},
        {"bit_depth": 16},
        {"prior": Prior.GAUSSIAN_DIFFUSION},
        {"prior": Prior.FACTORISED},
    ],
    ids=str,
)
def test_what_this_version_cannot_decode_is_refused(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray, change: dict[str, int]
) -> None:
    container = encoded(photograph[:32, :32])
    header = replace(container.header, **change)  # type: ignore[arg-type]
    later = read_container(write_container(Container(header, (), container.tiles)))
    with pytest.raises(BitstreamError):
        decode_container(tiny_codec, later)


def test_another_configuration_reads_the_same_symbols(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray
) -> None:
    container = encoded(photograph[:100, 200:300], 60, 2)
    report = check.verify_container(tiny_codec, container)
    assert report.tiles == 4
    assert report.symbols == 16 * (tiny_codec.model.config.context_channels + 16 * 140)
    assert report.differing == 0
    assert report.max_pixel_difference is not None
    assert report.max_pixel_difference <= 1


def test_mixed_precision_around_the_codec_changes_nothing(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray
) -> None:
    pixels = photograph[:96, 200:300]
    outside = encoded(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = encoded(pixels)
        decoded = decode_container(tiny_codec, outside).rgb
    assert write_container(inside) == write_container(outside)
    assert np.abs(decoded - decode_container(tiny_codec, outside).rgb.astype(np.int16)).max() <= 1


def test_another_configuration_is_left_behind(tiny_codec: Codec) -> None:
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    with pytest.raises(KeyError), check.other_configuration(tiny_codec) as other:
        assert next(other.model.entropy.trunk.buffers()).dtype == torch.float64
        assert not torch.backends.mkldnn.enabled
        raise KeyError
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before
    assert next(tiny_codec.model.entropy.trunk.buffers()).dtype == torch.float32


def test_a_device_that_computes_otherwise_is_reported(
    encoded: Encode, tiny_codec: Codec, photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: object, dtype: object) -> None:
        model.entropy.trunk.stem.bias += 4096  # type: ignore[attr-defined]

    monkeypatch.setattr(check, "carry_in", broken)
    report = check.verify_container(tiny_codec, encoded(photograph[:64, 200:264]))
    assert report.differing == report.symbols > 0
