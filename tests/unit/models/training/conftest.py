from pathlib import Path

import pytest
from PIL import Image
from torch import Tensor


@pytest.fixture
def folder(tmp_path: Path, clouds: Tensor) -> Path:
    """Four photographs' stand-ins, one smaller than a wide crop, one in a folder below."""
    images = tmp_path / "images"
    (images / "below").mkdir(parents=True)
    pixels = clouds.byte().permute(0, 2, 3, 1).numpy()
    Image.fromarray(pixels[0]).save(images / "a.png")
    Image.fromarray(pixels[1, :96, :120]).save(images / "b.png")
    Image.fromarray(pixels[2, :, :160]).save(images / "below" / "c.jpg", quality=95)
    Image.fromarray(pixels[3, :130]).convert("L").save(images / "d.png")
    (images / "notes.txt").write_text("not an image")
    return images
