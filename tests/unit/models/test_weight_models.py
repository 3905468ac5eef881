"""The models of a weight file in PyTorch; what any reader refuses is in `test_weights.py`."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.errors import ModelError, WeightsError
from hvae_codec.models.dct_vae import LatentModel
from hvae_codec.models.integer.convert import to_integer
from hvae_codec.models.integer.layers import IntegerConv
from hvae_codec.models.priors import DEFAULT_PRIOR, make_prior
from hvae_codec.models.weight_models import Weights, load_weights
from tests.conftest import PRIORS_AT_HAND
from tests.weight_files import rewritten, save_without_graphs


def test_models_come_back(integer_weights: Weights, tiny_weights: Path) -> None:
    loaded = load_weights(tiny_weights)
    assert loaded.first_qualities == (0,)
    assert loaded.context.config == integer_weights.context.config
    for name in ("pmf", "start", "length"):
        assert np.array_equal(getattr(loaded.pmfs, name), getattr(integer_weights.pmfs, name))
    pairs = [
        (integer_weights.context, loaded.context),
        (integer_weights.latents[0], loaded.latents[0]),
    ]
    for before, after in pairs:
        expected = before.state_dict()
        assert expected.keys() == after.state_dict().keys()
        assert not any(p.requires_grad for p in after.parameters())
        for name, values in after.state_dict().items():
            assert values.dtype == expected[name].dtype, name
            if before is integer_weights.context or name.startswith("trunk."):
                assert torch.equal(values, expected[name]), name


@pytest.mark.slow
def test_all_priors_and_all_ranges_come_back(integer_weights: Weights, tmp_path: Path) -> None:
    config = PRESETS["tiny"]
    torch.manual_seed(0)
    names = [name for name in PRIORS_AT_HAND if name != DEFAULT_PRIOR]
    priors = {name: to_integer(make_prior(name, config)) for name in names}
    context = copy.deepcopy(integer_weights.context)
    context.priors.update(priors)
    others = [copy.deepcopy(integer_weights.latents[0]) for _ in range(2)]
    for number, model in enumerate(others):
        cast(IntegerConv, model.trunk.stem).weight[0, 0, 0, number] += 1
    weights = Weights(
        context, (integer_weights.latents[0], *others), (0, 30, 64), integer_weights.pmfs
    )
    loaded = load_weights(save_without_graphs(tmp_path / "w.safetensors", weights))
    assert loaded.context.priors.keys() == set(PRIORS_AT_HAND)
    for name, values in context.state_dict().items():
        assert torch.equal(values, loaded.context.state_dict()[name]), name
    for quality, number in ((0, 0), (29, 0), (30, 1), (63, 1), (64, 2), (100, 2)):
        stem = loaded.model_at(quality).latents.trunk.stem
        assert torch.equal(stem.weight, weights.latents[number].trunk.stem.weight)


def test_saving_what_was_loaded_gives_the_same_tensors(tiny_weights: Path, tmp_path: Path) -> None:
    again = save_without_graphs(tmp_path / "again.safetensors", load_weights(tiny_weights))
    assert again.read_bytes() == tiny_weights.read_bytes()


def test_what_decides_symbols_is_stored_as_integers(tiny_weights: Path) -> None:
    with safe_open(tiny_weights, "np") as opened:
        kinds = {name: opened.get_tensor(name).dtype.kind for name in opened.keys()}  # noqa: SIM118
    places = "context.", "0.trunk.", "tables."
    deciding = {kind for name, kind in kinds.items() if name.startswith(places)}
    assert deciding <= {"i", "u"}


STEM = "0.trunk.stem"


@pytest.mark.parametrize(
    "change",
    [
        {"config": json.dumps({"trunk_width": 16})},
        {"config": json.dumps({"trunk_width": -16})},
        {"first_qualities": [0, 50]},  # of the second model there is nothing
        {"priors": ["masked-diffusion", "another"]},
        {"priors": ["masked-diffusion", "mixture"]},  # of the mixture there is nothing
        {"context.norm.inward_table": None},
        {f"{STEM}.weight": np.zeros((2, 2, 3, 3), np.int8)},
        {f"{STEM}.bias": np.zeros(32, np.float32)},
        {f"{STEM}.bias": np.zeros(32, np.int64)},
        {"another": np.zeros(3, np.float16)},
        {"0.another": np.zeros(3, np.float16)},
        {"0.analysis.nothing.weight.scale": np.ones((1, 1, 1, 1), np.float32)},
        {"0.analysis.coarse.0.conv1.weight.scale": np.ones((1, 1, 1, 1), np.float32)},
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_its_models_is_refused(
    tiny_weights: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(WeightsError):
        load_weights(rewritten(tiny_weights, tmp_path / "other.safetensors", change))


def test_models_of_two_sizes_are_not_saved(integer_weights: Weights, tmp_path: Path) -> None:
    first, path = integer_weights.latents[0], tmp_path / "w.safetensors"
    wider = LatentModel(replace(PRESETS["tiny"], posterior_width=40))
    wider.trunk = first.trunk
    weights = replace(integer_weights, latents=(first, wider), first_qualities=(0, 50))
    with pytest.raises(WeightsError, match="model 1 has another size"):
        save_without_graphs(path, weights)
    assert not path.exists()


def test_integers_that_could_overflow_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    name = "0.trunk.stem.bias"
    bias = np.full_like(load_file(tiny_weights)[name], 2**30)
    path = rewritten(tiny_weights, tmp_path / "other.safetensors", {name: bias})
    with pytest.raises(ModelError, match="sums reach"):
        load_weights(path)


def test_training_can_go_on_from_a_weight_file(tiny_weights: Path) -> None:
    shipped = load_weights(tiny_weights).model_at(50)
    again = shipped.to_float().to_integer()
    for (name, before), after in zip(
        shipped.state_dict().items(), again.state_dict().values(), strict=True
    ):
        decides = name.startswith(("context.", "latents.trunk."))
        if not (decides and name.endswith(("weight", "bias", "shift"))):
            assert torch.equal(after, before), name
    scaled = [
        [c.scaled()[0] for c in model.modules() if isinstance(c, IntegerConv)]
        for model in (shipped, again)
    ]
    assert scaled[0] and all(torch.equal(a, b) for a, b in zip(*scaled, strict=True))
