import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import ModelError, WeightsError
from hvae_codec.models.leaves import IntegerConv
from hvae_codec.models.weights import carry_in, load_weights, save_weights


def test_integers_survive_to_the_bit(tiny_model: DctVae, tiny_weights: Path) -> None:
    expected, loaded = tiny_model.frozen().state_dict(), load_weights(tiny_weights).models[0]
    for name, values in loaded.state_dict().items():
        if name.startswith("entropy."):
            assert torch.equal(values, expected[name]), name
            assert values.dtype == expected[name].dtype, name
        elif re.match(r"analysis.*\.weight|posteriors\.\d+\.(conv1|shrink)\.weight", name):
            largest = expected[name].abs().amax(dim=(1, 2, 3), keepdim=True)  # eight bits a filter
            assert ((values - expected[name]).abs() <= largest * (0.5 / 127 + 1e-6)).all(), name
        else:  # float16: eleven bits
            torch.testing.assert_close(values, expected[name], rtol=2**-11, atol=1e-7)


def test_saving_what_was_loaded_gives_the_same_tensors(tiny_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(tiny_weights)
    again = tmp_path / "again.safetensors"
    save_weights(again, weights.models, weights.begins, weights.tables)
    one, other = load_file(tiny_weights), load_file(again)
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype, name
        assert np.array_equal(values, other[name]), name


def test_the_file_is_named_by_its_bytes(tiny_weights: Path) -> None:
    assert load_weights(tiny_weights).digest == hashlib.sha256(tiny_weights.read_bytes()).digest()


def test_what_decides_symbols_is_stored_as_integers(tiny_weights: Path) -> None:
    with safe_open(tiny_weights, "np") as opened:
        kinds = {name: opened.get_tensor(name).dtype.kind for name in opened.keys()}  # noqa: SIM118
    deciding = {kind for name, kind in kinds.items() if name.startswith(("entropy.", "tables."))}
    assert deciding <= {"i", "u"}


def rewritten(source: Path, target: Path, change: dict[str, object]) -> Path:
    """Copy a weight file with other metadata, or with tensors left out (None) or replaced."""
    tensors = load_file(source)
    with safe_open(source, "np") as opened:
        described = json.loads(opened.metadata()["hvae_codec"])
    for name, value in change.items():
        if isinstance(value, str) or name == "begins":
            described[name] = value
        elif value is None and name in described:
            del described[name]
        elif value is None:
            del tensors[name]
        else:
            tensors[name] = np.asarray(value)
    save_file(tensors, target, {"hvae_codec": json.dumps(described)})
    return target


@pytest.mark.parametrize(
    "change",
    [
        {"format": "2"},
        {"format": None},
        {"config": None},
        {"begins": None},
        {"begins": 0},
        {"begins": [5]},
        {"begins": [0, 0]},
        {"begins": [0, 101]},
        {"begins": [0, 50.0]},
        {"begins": [0, 50]},  # of the second model there is nothing
        {"config": "{"},
        {"config": json.dumps({"colour": 3})},
        {"config": json.dumps({"trunk_width": 16})},
        {"entropy.norm.inward_table": None},
        {"0.entropy.trunk.stem.weight": np.zeros((2, 2, 3, 3), np.int8)},
        {"another": np.zeros(3, np.int8)},
        {"0.analysis.nothing.scale": np.ones((1, 1, 1, 1), np.float32)},
        {"tables.pmf": None},
        {"tables.pmf": np.ones(3, np.float32)},
        {"0.entropy.trunk.stem.bias": np.zeros(16, np.float32)},
        {"0.reconstruction.offsets": np.full((12, 3), np.nan, np.float16)},
        {"0.reconstruction.offsets": np.zeros((12, 3), np.complex64)},
        {"0.analysis.coarse.0.conv1.weight.scale": np.ones((1, 1, 1, 1), np.float32)},
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(
    tiny_weights: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(WeightsError):
        load_weights(rewritten(tiny_weights, tmp_path / "other.safetensors", change))


def test_integers_that_could_overflow_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    name = "0.entropy.trunk.stem.bias"
    bias = np.full_like(load_file(tiny_weights)[name], 2**30)
    path = rewritten(tiny_weights, tmp_path / "other.safetensors", {name: bias})
    with pytest.raises(ModelError, match="sums reach"):
        load_weights(path)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff" * 100, bytes(200)])
def test_garbage_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"garbage\.safetensors is not a weight file"):
        load_weights(path)


def test_a_cut_file_is_refused(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(tiny_weights.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        load_weights(path)


def test_carriers_change_and_values_do_not(tiny_weights: Path) -> None:
    model = load_weights(tiny_weights).models[0]
    before = {name: values.clone() for name, values in model.entropy.state_dict().items()}
    carry_in(model, torch.float64)
    for name, values in model.entropy.state_dict().items():
        assert values.dtype == torch.float64
        assert torch.equal(values, before[name].double())


def test_training_can_go_on_from_a_weight_file(tiny_weights: Path, tmp_path: Path) -> None:
    shipped = load_weights(tiny_weights).models[0]
    again = shipped.thawed().frozen()
    for (name, before), after in zip(
        shipped.state_dict().items(), again.state_dict().values(), strict=True
    ):
        if not name.endswith(("weight", "bias", "shift")) or "entropy" not in name:
            assert torch.equal(after, before), name
    scaled = [
        (m.weight * torch.exp2(-m.shift)[:, None, None, None])
        for model in (shipped, again)
        for m in model.entropy.modules()
        if isinstance(m, IntegerConv)
    ]
    half = len(scaled) // 2
    assert all(torch.equal(a, b) for a, b in zip(scaled[:half], scaled[half:], strict=True))
