"""The context of photographs against JPEG."""

from pathlib import Path

import pytest
from PIL import Image

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


def test_other_images_are_not_kodak(tmp_path: Path) -> None:
    """Nor are a part of them, which would be measured and kept as the whole suite."""
    (tmp_path / "kodak").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "kodak" / "kodim01.png")
    with pytest.raises(DataMissing, match="0 images of 24 are here; fetch them: hvae-codec"):
        next(photographs(tmp_path))
