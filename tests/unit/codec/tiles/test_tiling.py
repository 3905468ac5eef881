import numpy as np
import pytest

from hvae_codec.bitstream import Header
from hvae_codec.codec.config import PATCH_PX
from hvae_codec.codec.tiles.tiling import Window, default_tile_side, patch_grid, tiles_in


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 33), (70, 300), (1025, 64)])
@pytest.mark.parametrize("tile", [1, 2, 3, 32])
def test_tiles_cover_the_grid_once(height: int, width: int, tile: int) -> None:
    header = Header(width=width, height=height, quality=5, tile_side=tile, weights=b"abcd")
    grid = patch_grid(height, width)
    count = np.zeros(grid.size, np.int64)
    tiles = tiles_in(height, width, tile)
    assert [number for number, _ in tiles] == list(range(header.tile_count))
    for _, window in tiles:
        assert min(window.size) >= 1
        assert max(window.size) <= tile
        count[window.slices(grid, 1)] += 1
    assert (count == 1).all()


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [
        (1, 1, 32),
        (1024, 1024, 32),
        (720, 1280, 40),
        (1080, 1920, 34),
        (3000, 4000, 32),
        (1281, 9, 32),
    ],
)
def test_tiles_are_as_large_as_leaves_the_fewest_edges(height: int, width: int, side: int) -> None:
    assert default_tile_side(height, width) == side


def test_a_window_touches_some_tiles() -> None:
    # 5 x 4 patches in tiles of 2: three rows of two
    assert tiles_in(160, 128, 2, Window(1, 1, 3, 2)) == [
        (0, Window(0, 0, 2, 2)),
        (2, Window(2, 0, 4, 2)),
    ]
    assert tiles_in(160, 128, 2, Window(4, 3, 5, 4)) == [(5, Window(4, 2, 5, 4))]


def test_the_grid_covers_the_image_and_no_more() -> None:
    for side in range(1, 100):
        grid = patch_grid(side, 2 * side)
        for extent, patches in zip((side, 2 * side), grid.size, strict=True):
            assert patches * PATCH_PX >= extent > (patches - 1) * PATCH_PX


def test_windows_grow_as_far_as_the_image() -> None:
    grid = Window(0, 0, 9, 9)
    assert Window(1, 4, 3, 6).grown(2, grid) == Window(0, 2, 5, 8)
    assert Window(7, 7, 9, 9).grown(3, grid) == Window(4, 4, 9, 9)
    assert grid.grown(5, grid) == grid


def test_windows_cut_each_other() -> None:
    assert Window(0, 0, 4, 4).intersection(Window(2, 3, 9, 9)) == Window(2, 3, 4, 4)
    assert min(Window(0, 0, 2, 2).intersection(Window(2, 0, 4, 2)).size) <= 0


def test_slices_are_relative_to_the_origin() -> None:
    rows, columns = Window(3, 5, 4, 7).slices(Window(1, 2, 9, 9), 4)
    assert (rows, columns) == (slice(8, 12), slice(12, 20))
