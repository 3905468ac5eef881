"""The context of photographs against JPEG."""

from pathlib import Path

import pytest

from hvae_codec.benchmarks.papers.data import DataMissing
from hvae_codec.benchmarks.papers.kodak import photographs, summary


def test_means_are_over_the_images_that_are_compared() -> None:
    points = [[0.1, 25.0, 0.2], [0.3, 27.0, 0.2], [9.0, 20.0, None]]
    found = summary(points)
    assert (found["context_bpp"], found["context_psnr_db"], found["jpeg_bpp"]) == (0.2, 26.0, 0.2)
    assert (found["wins"], found["compared"], found["images"]) == (1, 2, 3)


def test_where_none_is_compared_means_are_over_all() -> None:
    found = summary([[1.0, 20.0, None], [2.0, 22.0, None]])
    assert (found["context_bpp"], found["context_psnr_db"], found["jpeg_bpp"]) == (1.5, 21.0, None)


def test_a_folder_without_images_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "data/kodak").mkdir(parents=True)
    with pytest.raises(DataMissing, match="fetch it"):
        next(photographs(tmp_path / "data"))
