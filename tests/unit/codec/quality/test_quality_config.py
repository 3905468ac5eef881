import json
import math

import pytest
import torch

from hvae_codec.codec.config import PRESETS, ModelConfig
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.quality.curve import QUALITIES, lmbda_of, step_of


def test_quality_spans_the_curve() -> None:
    quality = torch.arange(QUALITIES)
    lmbda, step = lmbda_of(quality), step_of(quality)
    assert (lmbda.diff() > 0).all()
    assert (step.diff() < 0).all()
    assert lmbda[[0, 100]].tolist() == pytest.approx([4e-4, 0.6], rel=1e-5)
    assert lmbda[50].item() == pytest.approx(math.sqrt(4e-4 * 0.6), rel=1e-5)


def test_the_step_is_the_optimum_at_high_rate() -> None:
    # at lambda = 6 / ln 2 a step of one: a bit buys as much as it costs
    lmbda = lmbda_of(torch.tensor([73.0]))
    assert step_of(torch.tensor([73.0])).item() == pytest.approx(
        math.sqrt(6 / (lmbda.item() * math.log(2))), rel=1e-6
    )
    assert step_of(torch.tensor([100.0])).item() == pytest.approx(3.798, abs=1e-3)
    assert step_of(torch.tensor([0.0])).item() == pytest.approx(147.11, abs=1e-2)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_survives_json(preset: str) -> None:
    config = PRESETS[preset]
    assert ModelConfig.from_json(config.to_json()) == config


def test_the_base_has_the_sizes_of_the_design() -> None:
    base = PRESETS["base"]
    assert (base.context_channels, base.latent_channels) == (68, 140)


def test_an_unknown_key_is_named() -> None:
    text = json.dumps({"top_width": 32, "tpo_width": 3, "a": 1})
    with pytest.raises(WeightsError, match="a, tpo_width"):
        ModelConfig.from_json(text)


WRONG_TYPES = [
    '{"top_width": "32"}',
    '{"top_width": [1]}',
    '{"prior_zones": 3}',
    '{"prior_zones": [3, null]}',
    '{"linear_from": true}',
]


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", *WRONG_TYPES])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(WeightsError):
        ModelConfig.from_json(text)
