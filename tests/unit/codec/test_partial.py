"""A part of a file: regions, smaller pictures, fewer levels, and what is left of a damaged one."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hvae_codec.bitstream import ArgumentError, TileDamaged, Truncated, read_index
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.tiles.tiling import synthesis_halo

Files = Any
LEVELS = len(PRESETS["tiny"].level_channels)


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(one.astype(np.float64) - other).mean())


@pytest.fixture(scope="module")
def pixels(photograph: np.ndarray) -> np.ndarray:
    return photograph[20:180, 130:322]  # 5 x 6 patches


@pytest.fixture(scope="module")
def data(files: Files, pixels: np.ndarray) -> bytes:
    return files.encode(pixels, 60, 1)  # as many tiles


class RecordingFile(io.BytesIO):
    """A file that knows which of its bytes were read."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.seen = np.zeros(len(data), bool)

    def read(self, size: int | None = -1, /) -> bytes:
        at, data = self.tell(), super().read(size)
        self.seen[at : at + len(data)] = True
        return data


def test_a_region_reads_its_tiles_and_those_around_it(files: Files, data: bytes) -> None:
    index, file = read_index(data), RecordingFile(data)
    region = (3, 40, 20, 20)  # within tile 6, of one patch
    part = files.samples(file, region=region, index=index)
    assert np.array_equal(part, files.samples(data)[40:60, 3:23])
    halo = synthesis_halo(files.codec.config)
    for number in range(30):
        row, column = divmod(number, 6)
        near = row <= 1 + halo and column <= halo
        for offset, size in index.spans[number].tolist():
            assert file.seen[offset : offset + size].all() if near else True
            assert near or not file.seen[offset : offset + size].any()


@pytest.mark.slow
def test_a_region_needs_nothing_of_far_tiles(files: Files, data: bytes) -> None:
    index, damaged = read_index(data), bytearray(data)
    right = files.samples(data)[:40, :40]
    for offset, size in index.spans[29].tolist():
        damaged[offset : offset + size] = bytes(size)
    assert np.array_equal(files.samples(damaged, region=(0, 0, 40, 40)), right)
    with pytest.raises(TileDamaged, match="tile 29"):
        files.samples(damaged)


@pytest.mark.parametrize(
    "region", [(0, 0, 193, 5), (0, 155, 5, 7), (-1, 0, 5, 5), (0, -1, 5, 5), (3, 3, 0, 5)], ids=str
)
def test_regions_outside_the_image_are_refused(
    files: Files, data: bytes, region: tuple[int, int, int, int]
) -> None:
    with pytest.raises(ArgumentError, match="not within the 192x160 pixels"):
        files.decode(data, region=region)


@pytest.mark.parametrize("scale", [2, 4, 8, 16, 32])
def test_a_smaller_picture_is_the_average(files: Files, photograph: np.ndarray, scale: int) -> None:
    pixels = photograph[20:147, 130:289]  # 127 x 159: no multiples of anything
    data = files.encode(pixels, 90, 3)
    small = files.samples(data, scale=scale)
    assert small.shape == (-(-127 // scale), -(-159 // scale), 3)
    average = np.asarray(Image.fromarray(files.samples(data)).reduce(scale))
    # The context is what a whole patch averages to; where a patch lacks pixels it repeats others.
    inner = (slice(0, 96 // scale), slice(0, 128 // scale))
    difference = np.abs(small.astype(np.int16) - average)
    if scale < 8:
        assert difference.max() <= 1  # averages of what was rounded, and rounded averages
    else:
        # low frequencies of a patch are not quite averages of its squares, but close
        assert error(small[inner], average[inner]) < 0.05 * average[inner].var()


@pytest.mark.parametrize("scale", [8, *(pytest.param(s, marks=pytest.mark.slow) for s in (16, 32))])
def test_thumbnails_read_the_context_alone(files: Files, data: bytes, scale: int) -> None:
    index, file = read_index(data), RecordingFile(data)
    small = files.samples(file, scale=scale, index=index)
    assert small.shape == (160 // scale, 192 // scale, 3)
    assert not file.seen[int(index.spans[0, 3, 0]) :].any()  # from the first latents on
    cut = data[: int(index.spans[0, 3, 0])]
    assert np.array_equal(files.samples(cut, scale=scale), small)


def test_transparency_is_averaged_too(files: Files, pixels: np.ndarray) -> None:
    alpha = (np.arange(160 * 192) % 251).reshape(160, 192, 1).astype(np.uint8)
    data = files.encode(np.concatenate([pixels, alpha], axis=2), 60, 3)
    for scale in (2, 8, 32):
        small = files.samples(data, scale=scale)[..., 3]
        average = alpha[..., 0].reshape(160 // scale, scale, 192 // scale, scale).mean((1, 3))
        assert np.abs(small - average).max() <= 0.5


@pytest.mark.parametrize("scale", [0, 3, 64, -1])
def test_other_scales_are_refused(files: Files, data: bytes, scale: int) -> None:
    with pytest.raises(ArgumentError, match=f"scale {scale} is none of 1, 2, 4"):
        files.decode(data, scale=scale)


@pytest.mark.slow
def test_every_level_adds_to_the_picture(files: Files, pixels: np.ndarray, data: bytes) -> None:
    errors = [error(files.samples(data, levels=k), pixels) for k in range(LEVELS + 1)]
    # an untrained synthesis does not gain by each
    assert all(after < 1.1 * before for before, after in itertools.pairwise(errors))
    assert errors[0] > 3 * errors[-1]
    assert np.array_equal(files.samples(data, levels=LEVELS + 5), files.samples(data))
    for levels in (-1, 1.5):
        with pytest.raises(ArgumentError):
            files.decode(data, levels=levels)


@pytest.mark.slow
@pytest.mark.parametrize("levels", range(LEVELS + 1))
def test_a_prefix_decodes_to_a_complete_picture(files: Files, data: bytes, levels: int) -> None:
    end = int(read_index(data).spans[-1, 2 + levels].sum())
    cut, expected = data[:end], files.samples(data, levels=levels)
    assert np.array_equal(files.samples(cut, levels=levels), expected)
    left = files.decode(cut, levels=levels, keep_going=True)
    assert np.array_equal(left.samples, expected)
    assert (left.lost_tiles, left.whole_levels) == ((), levels)
    with pytest.raises(Truncated):
        files.decode(data[: end - 4], levels=levels)


@pytest.mark.slow
def test_a_prefix_of_any_length_gives_what_is_there(
    files: Files, pixels: np.ndarray, data: bytes
) -> None:
    begin = read_index(data).begin
    errors = []
    for size in np.linspace(begin, len(data), 9).astype(int).tolist():
        left = files.decode(data[:size], keep_going=True)
        assert left.samples.shape == pixels.shape
        errors.append(error(left.samples, pixels))
    assert all(after < 1.1 * before for before, after in itertools.pairwise(errors))
    assert errors[0] > 9 * errors[-1]
    nothing = files.decode(data[:begin], keep_going=True)
    assert nothing.lost_tiles == tuple(range(30))


@pytest.mark.slow
@pytest.mark.parametrize("level", range(LEVELS + 1))
def test_a_damaged_tile_loses_itself_alone(
    files: Files, pixels: np.ndarray, data: bytes, level: int
) -> None:
    index, damaged = read_index(data), bytearray(data)
    offset, size = index.spans[24, 2 + level].tolist()  # tile 24: the first of the last row
    damaged[offset + size // 2] ^= 0x10
    with pytest.raises(TileDamaged, match="tile 24 is damaged"):
        files.decode(bytes(damaged))
    left = files.decode(bytes(damaged), keep_going=True)
    assert (left.lost_tiles, left.whole_levels) == ((24,), max(0, level - 1))
    right = files.samples(data)
    far = np.ones(pixels.shape[:2], bool)
    far[128 - 64 :, : 32 + 64] = False  # the tile and the halo of up to 64 px
    assert np.array_equal(left.samples[far], right[far])
    # what stood before the damage is there
    inner = (slice(128, 160), slice(0, 32))
    if level:
        blurred = files.samples(data, levels=level - 1)
        wrong = error(left.samples[inner], pixels[inner])
        assert wrong < 1.5 * error(blurred[inner], pixels[inner])


@pytest.mark.slow
def test_a_tile_without_its_context_gets_the_colours_around_it(files: Files) -> None:
    flat = np.broadcast_to(np.array([200, 60, 90], np.uint8), (160, 160, 3))
    data = bytearray(files.encode(flat, 90, 1))
    offset, size = read_index(bytes(data)).spans[12, 2].tolist()
    data[offset + size // 2] ^= 0x10
    left = files.decode(bytes(data), keep_going=True)
    assert left.lost_tiles == (12,)
    # an untrained synthesis adds some noise of its own
    assert np.abs(left.samples.astype(int) - flat).max() < 24
    small = files.decode(bytes(data), scale=16, keep_going=True)
    assert np.abs(small.samples.astype(int) - flat[:10, :10]).max() < 24


def test_damaged_alpha_is_shown_opaque(files: Files, pixels: np.ndarray) -> None:
    alpha = np.full((160, 192, 1), 100, np.uint8)
    data = files.encode(np.concatenate([pixels, alpha], axis=2), 60, 4)  # 2 x 2 tiles
    index, damaged = read_index(data), bytearray(data)
    damaged[int(index.spans[1, 0].sum()) - 2] ^= 1
    with pytest.raises(TileDamaged, match="tile 1 is damaged: its alpha"):
        files.decode(bytes(damaged))
    left = files.decode(bytes(damaged), keep_going=True)
    assert left.lost_tiles == (1,)
    assert (left.samples[:128, 128:, 3] == 255).all()
    assert (left.samples[128:, :, 3] == 100).all()
