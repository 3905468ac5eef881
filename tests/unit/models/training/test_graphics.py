import numpy as np
import pytest

from hvae_codec.models.training.data import BatchSizes, CropDataset, ImageCache
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


def test_a_share_of_the_crops_is_drawn(folder: object, tmp_path: object) -> None:
    photographs = ImageCache(folder, tmp_path / "cache")  # type: ignore[arg-type, operator]

    def crops(share: float) -> np.ndarray:
        sizes = BatchSizes(crops=40, crop_px=64, wide_crops=0, graphics=share)
        return CropDataset(photographs, sizes, 1)[0][0].numpy()

    known = {crop.tobytes() for crop in crops(0.0)}
    assert sum(crop.tobytes() in known for crop in crops(0.0)) == 40
    # the first crops are those of before until one is drawn: from there all are others
    pure = [float(np.isin(crop, (0, 255)).all(axis=0).mean()) for crop in crops(1.0)]
    assert sum(share > 0.9 for share in pure) >= 3
