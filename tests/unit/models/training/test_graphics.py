from pathlib import Path

import numpy as np
import pytest

from hvae_codec.models.training.config import BatchSizes
from hvae_codec.models.training.data import CropDataset, ImageCache
from hvae_codec.models.training.graphics import KINDS, draw


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [64, 130])
def test_a_seed_draws_one_picture_and_another_another(kind: str, side: int) -> None:
    first, again, other = (draw(np.random.default_rng(s), side, kind) for s in (0, 0, 1))
    assert first.shape == (side, side, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_they_are_what_photographs_are_not() -> None:
    """Full of pixels that equal their neighbours, of pure colours, or of noise."""
    rng = np.random.default_rng(0)
    for kind in KINDS:
        crops = [draw(rng, 128, kind).astype(int) for _ in range(20)]
        flat = np.mean([(np.diff(crop, axis=1) == 0).all(axis=2).mean() for crop in crops])
        pure = np.mean([np.isin(crop, (0, 255)).all(axis=2).mean() for crop in crops])
        rough = np.mean([np.abs(np.diff(crop[..., 1], axis=1)).mean() for crop in crops])
        assert flat > 0.5 or pure == 1 or rough > 12, kind


def test_a_share_of_the_crops_is_drawn(folder: Path, tmp_path: Path) -> None:
    photographs = ImageCache(folder, tmp_path / "cache")

    def crops(share: float) -> np.ndarray:
        sizes = BatchSizes(crops=40, crop_px=64, wide_crops=0, graphics=share)
        return CropDataset(photographs, sizes, 1)[0][0].numpy()

    def pure(share: float) -> int:
        """Count crops of nothing but pure colours."""
        return sum(bool(np.isin(crop, (0, 255)).all()) for crop in crops(share))

    assert pure(0.0) == 0
    assert 0 < pure(0.3) < pure(1.0) < 20
