import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.errors import ModelError, WeightsError
from hvae_codec.codec.networks.weight_file import read_weight_file
from hvae_codec.models import weight_models
from hvae_codec.models.dct_vae import LatentModel
from hvae_codec.models.integer.convert import to_integer
from hvae_codec.models.integer.layers import IntegerConv
from hvae_codec.models.priors import DEFAULT_PRIOR, make_prior
from hvae_codec.models.weight_models import Weights, load_weights, save_weights
from tests.conftest import PRIORS_AT_HAND


def without_graphs(path: Path, weights: Weights) -> Path:
    """Save weights as they are saved, but for the graphs, which take long and play no part here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight_models, "export_graphs", lambda *models: {})
        save_weights(path, weights)
    return path


@pytest.fixture(scope="module")
def saved(integer_weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_graphs(tmp_path_factory.mktemp("weights") / "tiny.safetensors", integer_weights)


def test_models_come_back(integer_weights: Weights, saved: Path) -> None:
    loaded = load_weights(saved)
    assert loaded.first_qualities == (0,)
    assert loaded.context.config == integer_weights.context.config
    for name in ("pmf", "start", "length"):
        assert np.array_equal(getattr(loaded.tables, name), getattr(integer_weights.tables, name))
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
        context, (integer_weights.latents[0], *others), (0, 30, 64), integer_weights.tables
    )
    loaded = load_weights(without_graphs(tmp_path / "w.safetensors", weights))
    assert loaded.context.priors.keys() == set(PRIORS_AT_HAND)
    for name, values in context.state_dict().items():
        assert torch.equal(values, loaded.context.state_dict()[name]), name
    for quality, number in ((0, 0), (29, 0), (30, 1), (63, 1), (64, 2), (100, 2)):
        stem = loaded.model_at(quality).latents.trunk.stem
        assert torch.equal(stem.weight, weights.latents[number].trunk.stem.weight)


def test_saving_what_was_loaded_gives_the_same_tensors(saved: Path, tmp_path: Path) -> None:
    again = without_graphs(tmp_path / "again.safetensors", load_weights(saved))
    assert again.read_bytes() == saved.read_bytes()


def test_the_file_is_named_by_its_bytes(saved: Path) -> None:
    assert read_weight_file(saved).digest == hashlib.sha256(saved.read_bytes()).digest()


def test_what_decides_symbols_is_stored_as_integers(saved: Path) -> None:
    with safe_open(saved, "np") as opened:
        kinds = {name: opened.get_tensor(name).dtype.kind for name in opened.keys()}  # noqa: SIM118
    places = "context.", "0.trunk.", "tables."
    deciding = {kind for name, kind in kinds.items() if name.startswith(places)}
    assert deciding <= {"i", "u"}


def rewritten(source: Path, target: Path, change: dict[str, object]) -> Path:
    """Copy a weight file with other metadata, or with tensors left out (None) or replaced."""
    tensors = load_file(source)
    with safe_open(source, "np") as opened:
        described = json.loads(opened.metadata()["hvae_codec"])
    for name, value in change.items():
        if value is None and name in described:
            del described[name]
        elif value is None:
            del tensors[name]
        elif name in described:
            described[name] = value
        else:
            tensors[name] = np.asarray(value)
    save_file(tensors, target, {"hvae_codec": json.dumps(described)})
    return target


STEM = "0.trunk.stem"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "4"},
        {"format": None},
        {"config": None},
        {"config": "{"},
        {"config": json.dumps({"colour": 3})},
        {"config": json.dumps({"trunk_width": 16})},
        {"config": json.dumps({"trunk_width": -16})},
        {"config": json.dumps({"trunk_width": "wide"})},
        {"first_qualities": None},
        {"first_qualities": 0},
        {"first_qualities": [5]},
        {"first_qualities": [0, 0]},
        {"first_qualities": [0, 101]},
        {"first_qualities": [0, 50.0]},
        {"first_qualities": [0, 50]},  # of the second model there is nothing
        {"priors": None},
        {"priors": 7},
        {"priors": ["masked-diffusion", "another"]},
        {"priors": ["masked-diffusion", "mixture"]},  # of the mixture there is nothing
        {"graphs": None},
        {"graphs": {"analysis": []}},  # which is not there
        {"context.norm.inward_table": None},
        {f"{STEM}.weight": np.zeros((2, 2, 3, 3), np.int8)},
        {f"{STEM}.bias": np.zeros(32, np.float32)},
        {f"{STEM}.bias": np.zeros(32, np.int64)},
        {"another": np.zeros(3, np.float16)},
        {"0.another": np.zeros(3, np.float16)},
        {"0.analysis.nothing.weight.scale": np.ones((1, 1, 1, 1), np.float32)},
        {"0.analysis.coarse.0.conv1.weight.scale": np.ones((1, 1, 1, 1), np.float32)},
        {"0.reconstruction.offsets": np.full((12, 3), np.nan, np.float16)},
        {"0.reconstruction.offsets": np.zeros((12, 3), np.complex64)},
        {"tables.pmf": None},
        {"tables.pmf": np.ones(3, np.float32)},
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(WeightsError):
        load_weights(rewritten(saved, tmp_path / "other.safetensors", change))


def test_tables_that_are_none_are_refused(saved: Path, tmp_path: Path) -> None:
    change: dict[str, object] = {"tables.pmf": np.ones(3, np.uint32)}
    with pytest.raises(WeightsError, match="tables that are none"):
        load_weights(rewritten(saved, tmp_path / "other.safetensors", change))


def test_models_of_two_sizes_are_not_saved(integer_weights: Weights, tmp_path: Path) -> None:
    first, path = integer_weights.latents[0], tmp_path / "w.safetensors"
    wider = LatentModel(replace(PRESETS["tiny"], posterior_width=40))
    wider.trunk = first.trunk
    weights = replace(integer_weights, latents=(first, wider), first_qualities=(0, 50))
    with pytest.raises(WeightsError, match="model 1 has another size"):
        without_graphs(path, weights)
    assert not path.exists()


def test_integers_that_could_overflow_are_refused(saved: Path, tmp_path: Path) -> None:
    name = "0.trunk.stem.bias"
    bias = np.full_like(load_file(saved)[name], 2**30)
    path = rewritten(saved, tmp_path / "other.safetensors", {name: bias})
    with pytest.raises(ModelError, match="sums reach"):
        load_weights(path)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff" * 100, bytes(200)])
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"garbage\.safetensors is not a weight file"):
        load_weights(path)


def test_a_cut_file_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        load_weights(path)


def test_training_can_go_on_from_a_weight_file(saved: Path) -> None:
    shipped = load_weights(saved).model_at(50)
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
