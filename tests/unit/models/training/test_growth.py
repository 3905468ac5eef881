"""All coefficients, from a model that lacked some."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.codec.config import COEFFICIENTS, PRESETS
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.symbols.tables import Tables, start_pmfs
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.networks.quantizers import Rounder
from hvae_codec.models.training.config import BatchSizes, TrainConfig
from hvae_codec.models.training.fitting import codec_in_memory
from hvae_codec.models.training.growth import grown, opened
from hvae_codec.models.training.loop import train
from hvae_codec.models.training.losses import run
from hvae_codec.models.training.state import read_checkpoint
from tests.conftest import weights_of
from tests.unit.codec.conftest import Files


@pytest.fixture(scope="module")
def larger(tiny_model: DctVae) -> DctVae:
    model = DctVae(opened(tiny_model.config))
    model.load_state_dict(grown(tiny_model.state_dict(), tiny_model.config))
    return model.eval()


def test_what_grows_from_the_base_is_the_open_model() -> None:
    assert opened(PRESETS["base"]) == PRESETS["open"]
    assert PRESETS["open"].latent_channels == COEFFICIENTS
    with pytest.raises(WeightsError, match="has all 192 coefficients already"):
        opened(PRESETS["open"])


@pytest.mark.parametrize("quality", [0, 40, 90])
def test_files_hold_the_same_pictures_for_no_more(
    tiny_model: DctVae, larger: DctVae, photograph: np.ndarray, quality: int
) -> None:
    before, after = (
        Files(codec_in_memory(weights_of(model.to_integer()))) for model in (tiny_model, larger)
    )
    pixels = photograph[100:196, 180:276]
    files = [each.encode(pixels, quality) for each in (before, after)]
    # 52 channels say, before anything is counted in 0.7 bits each, that their scales are not offset
    assert 0 <= len(files[1]) - len(files[0]) <= 8  # in whole words
    pictures = [each.samples(data) for each, data in zip((before, after), files, strict=True)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 1  # sums in another order


def test_no_new_channel_is_coded_at_first(larger: DctVae, clouds: Tensor) -> None:
    seen = []

    class Watching(Rounder):
        def code(self, step, number, prediction, residual):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if step.stop == COEFFICIENTS:
                seen.append(prediction.quarters[:, 48:])
            return super().code(step, number, prediction, residual)

    with torch.no_grad():
        run(larger, clouds[:1], torch.tensor([50.0]), Watching())
    assert len(seen) == 1 and not seen[0].any()
    assert Tables(start_pmfs()).is_skipped[0]


@pytest.mark.slow
def test_a_run_grows_what_it_starts_from_and_goes_on(folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=folder,
        valid=folder,
        out=tmp_path / "runs" / "small",
        preset="tiny",
        steps=1,
        sizes=BatchSizes(2, 64, 0),
        workers=0,
        valid_images=1,
    )
    train(config)
    started = dataclasses.replace(
        config,
        out=tmp_path / "runs" / "large",
        start=config.out / "checkpoint.pt",
        grow=True,
        sizes=BatchSizes(4, 64, 0, graphics=1.0),
        steps=3,
    )
    train(started)
    train(dataclasses.replace(started, steps=5, resume=True))
    saved = read_checkpoint(started.out / "checkpoint.pt")
    head = saved["model"]["latents.trunk.steps.8.head.weight"]
    assert head.shape[0] == 2 * 100
    assert head[48:100].any() and head[148:].any()  # means and scales of new channels learn
