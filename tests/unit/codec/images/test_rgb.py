from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hvae_codec.codec.images import read_rgb


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_sixteen_bits_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(np.array([[0, 128, 257, 32896, 65535]], np.uint16)).save(path)
    assert read_rgb(path).tolist() == [[[v] * 3 for v in (0, 0, 1, 128, 255)]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_eight_bits_become_rgb_as_pillow_has_it(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (3, 2), 7 if mode in "LP" else None)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.jpg")
    cut, real, none = (tmp_path / name for name in ("cut.jpg", "real.tif", "none.png"))
    cut.write_bytes((tmp_path / "whole.jpg").read_bytes()[:-500])
    Image.new("F", (8, 8), 0.5).save(real)
    for path, message in (
        (cut, "cannot be read as an image .*truncated"),
        (real, "images of mode F are not supported"),  # whose white is nobody knows where
        (none, "No such file"),
    ):
        with pytest.raises(OSError, match=message) as caught:
            read_rgb(path)
        assert caught.value.filename == str(path)
