"""All coefficients: what the networks do to a picture has no part in quality 100."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.networks.weight_file import read_weight_file
from hvae_codec.codec.networks.weights import load_codec
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.training.fitting import codec_in_memory
from hvae_codec.models.training.graphics import KINDS, draw
from hvae_codec.models.weight_models import Weights, save_weights
from tests.conftest import torch_codec, weights_of
from tests.unit.codec.conftest import Files
from tests.unit.codec.test_codec import psnr


@pytest.fixture(scope="module")
def open_weights() -> Weights:
    """Networks that all put out something, and know nothing."""
    whole = PRESETS["open"]
    config = replace(
        PRESETS["tiny"], level_channels=whole.level_channels, linear_from=whole.linear_from
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = DctVae(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                share = 0.3 if "skeleton" in name or name.endswith("knots") else 0.03
                parameter.add_(share * torch.randn(parameter.shape))
    return weights_of(model.eval().to_integer())


@pytest.fixture(scope="module")
def open_files(open_weights: Weights) -> Files:
    return Files(codec_in_memory(open_weights))


def picture_of(kind: str) -> np.ndarray:
    return draw(np.random.default_rng(7), 96, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_comes_back(open_files: Files, kind: str) -> None:
    pixels = picture_of(kind)
    sizes, scores = [], []
    for quality in (90, 95, 100):
        data = open_files.encode(pixels, quality)
        sizes.append(len(data))
        scores.append(psnr(open_files.samples(data), pixels))
    assert scores == sorted(set(scores)) and sizes[0] < sizes[2]
    assert scores[-1] > 50
    assert scores[0] < 45  # the networks are as bad as that


@pytest.mark.parametrize("crop", [(slice(9), slice(70)), (slice(65), slice(33), 0)])
def test_so_do_odd_sizes_and_grey(open_files: Files, crop: tuple[Any, ...]) -> None:
    pixels = picture_of("saturated")[crop]
    decoded = open_files.samples(open_files.encode(pixels, 100))
    assert psnr(decoded.reshape(pixels.shape), pixels) > 50


def test_photographs_too(open_files: Files, photograph: np.ndarray) -> None:
    pixels = photograph[100:230, 180:300]
    assert psnr(open_files.samples(open_files.encode(pixels, 100)), pixels) > 50


@pytest.mark.slow
@pytest.mark.parametrize("quality", [70, 95, 100])
def test_both_runtimes_do_the_same(
    open_weights: Weights, tmp_path_factory: pytest.TempPathFactory, quality: int
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "open.safetensors"
    if not path.exists():
        save_weights(path, open_weights)
    both = [Files(load_codec(path)), Files(torch_codec(read_weight_file(path)))]
    pixels = picture_of("drawing")
    files = [each.encode(pixels, quality) for each in both]
    assert abs(len(files[0]) - len(files[1])) < 0.005 * len(files[0])
    for data in files:
        pictures = [each.samples(data).astype(int) for each in both]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
