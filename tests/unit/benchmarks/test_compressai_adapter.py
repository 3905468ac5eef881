import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from hvae_codec.benchmarks.compressai_adapter import CompressaiAdapter
from hvae_codec.bitstream import ArgumentError
from hvae_codec.codec import api

eval_model = pytest.importorskip("compressai.utils.eval_model.__main__")
QUALITY = 40


@pytest.fixture
def adapter(shipped: Path) -> CompressaiAdapter:
    return CompressaiAdapter(QUALITY)


@pytest.fixture
def x(clouds: Tensor) -> Tensor:
    """(3, 192, 256) in [0, 1]; sides that CompressAI does not pad."""
    return clouds[0, :, :192] / 255


def test_compressais_inference_runs_our_model(adapter: CompressaiAdapter, x: Tensor) -> None:
    found = eval_model.inference(adapter, x)
    image = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    data = api.encode(image, QUALITY, tune="psnr", content="photo")
    assert found["bpp"] == len(data) * 8 / (192 * 256)
    error = image.astype(float) - np.asarray(api.decode(data))
    expected = 10 * math.log10(255**2 / np.mean(error**2))
    assert found["psnr-rgb"] == pytest.approx(expected, abs=1e-3)  # theirs is float32


@pytest.fixture
def drawing() -> Tensor:
    """(3, 192, 256), flat colours: what the codec codes without networks where it may look."""
    image = Image.new("RGB", (256, 192), "white")
    ImageDraw.Draw(image).text((20, 20), "drawn", "navy", font_size=60)
    ImageDraw.Draw(image).rectangle((40, 100, 200, 160), "orange", "black", 3)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("content", ["x", "drawing"])
def test_entropy_estimation_agrees_with_the_file(
    adapter: CompressaiAdapter, content: str, request: pytest.FixtureRequest
) -> None:
    x: Tensor = request.getfixturevalue(content)
    estimated = eval_model.inference_entropy_estimation(adapter, x)
    real = eval_model.inference(adapter, x)
    assert estimated["psnr-rgb"] == real["psnr-rgb"]
    pixels = 192 * 256
    # ANS costs at most 1 % and a word more; header, index and checks are some 100 bytes
    assert estimated["bpp"] < real["bpp"] < 1.01 * estimated["bpp"] + 8 * 128 / pixels


def test_lossless_has_no_likelihoods() -> None:
    with pytest.raises(ArgumentError, match="quality 100 is lossless"):
        CompressaiAdapter(100)


@pytest.mark.parametrize("quality", [101, -1, 60.5, "60", True])
def test_what_is_no_quality_is_refused_at_once(quality: Any) -> None:  # noqa: ANN401
    with pytest.raises(ArgumentError, match="quality"):
        CompressaiAdapter(quality)


def test_other_channels_are_refused(adapter: CompressaiAdapter, x: Tensor) -> None:
    for images in (x[None, :1], x):
        with pytest.raises(ArgumentError, match="not \\(B, 3, H, W\\)"):
            adapter(images)


def test_compressais_loop_over_files(adapter: CompressaiAdapter, x: Tensor, tmp_path: Path) -> None:
    pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = {"architecture": "hvae-codec", "half": False, "per_image": False}
    files = eval_model.collect_images(str(tmp_path))
    found = eval_model.eval_model(adapter, tmp_path, tmp_path, files, **options)
    assert found["bpp"] == eval_model.inference(adapter, x)["bpp"]


def test_images_of_a_batch_are_coded_alone(adapter: CompressaiAdapter, x: Tensor) -> None:
    batch = torch.stack([x, x.flip(2)])
    out = adapter.compress(batch)
    alone = adapter.compress(batch[1:])
    assert out["strings"][0][1] == alone["strings"][0][0]
    x_hat = adapter.decompress(**out)["x_hat"]
    assert x_hat.shape == batch.shape
    assert torch.equal(x_hat[1:], adapter.decompress(**alone)["x_hat"])


def test_the_shape_of_other_strings_is_refused(adapter: CompressaiAdapter, x: Tensor) -> None:
    strings = adapter.compress(x[None, :, :64, :96])["strings"]
    with pytest.raises(ArgumentError, match=r"images have \(64, 96\), not \(96, 64\)"):
        adapter.decompress(strings, (96, 64))
