import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.codec.errors import WeightsError
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.integer.layers import IntegerConv, IntegerGain
from hvae_codec.models.integer.norms import IntegerNorm
from hvae_codec.models.storage import (
    SCALE,
    eight_bit_scale,
    from_arrays,
    is_eight_bit,
    restored,
    stored,
    stored_type,
)
from hvae_codec.models.weight_models import Weights


def back(arrays: dict[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    return restored(from_arrays(arrays, prefix))


def named(weights: Weights) -> dict[str, Tensor]:
    """The tensors of a file by their names in it, and as they are in the models."""
    context = {f"context.{n}": t for n, t in weights.context.state_dict().items()}
    return context | {f"0.{n}": t for n, t in weights.latents[0].state_dict().items()}


def deciding(weights: Weights) -> set[str]:
    kinds = IntegerConv, IntegerGain, IntegerNorm
    found = set()
    for prefix, network in (("context.", weights.context), ("0.trunk.", weights.latents[0].trunk)):
        for name, layer in network.named_modules():
            if isinstance(layer, kinds):
                found |= {f"{prefix}{name}.{key}" for key in layer.state_dict()}
    return found


def test_integers_come_back_to_the_bit_and_the_rest_nearly(integer_weights: Weights) -> None:
    integers = deciding(integer_weights)
    for name, tensor in named(integer_weights).items():
        arrays = stored(name, tensor)
        assert all(array.dtype == stored_type(key) for key, array in arrays.items()), name
        (again,) = back(arrays).values()
        if name in integers:
            assert arrays[name].dtype.kind == "i", name
            assert torch.equal(again, tensor), name
            assert again.dtype == tensor.dtype, name
        elif is_eight_bit(name):
            largest = tensor.abs().amax(dim=(1, 2, 3), keepdim=True)
            assert arrays.keys() == {name, name + SCALE}
            assert ((again - tensor).abs() <= largest * (0.5 / 127 + 1e-6)).all(), name
        else:
            assert arrays[name].dtype == np.float16, name
            torch.testing.assert_close(again, tensor, rtol=2**-11, atol=1e-7)


def test_storing_what_was_restored_gives_the_same_arrays(integer_weights: Weights) -> None:
    for name, tensor in named(integer_weights).items():
        arrays = stored(name, tensor)
        again = stored(name, back(arrays)[name])
        assert again.keys() == arrays.keys()
        for key, array in arrays.items():
            assert again[key].dtype == array.dtype
            assert np.array_equal(again[key], array), key


def test_only_filters_of_the_encoder_have_eight_bits(tiny_model: DctVae) -> None:
    names = [f"0.{name}" for name in tiny_model.latents.state_dict()]
    inside = {name for name in names if is_eight_bit(name)}
    assert inside == {
        name
        for name in names
        if (
            name.startswith(("0.analysis.", "0.posteriors."))
            and name.endswith(".weight")
            and ".conv2." not in name.removeprefix("0.analysis.")
        )
        or (name.startswith("0.analysis.") and name.endswith("conv2.weight"))
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("context.priors.masked-diffusion.steps.0.head.weight", np.int8),
        ("context.priors.masked-diffusion.steps.0.head.shift", np.int8),
        ("context.priors.masked-diffusion.steps.0.head.bias", np.int32),
        ("context.priors.masked-diffusion.start.knots", np.int16),
        ("context.priors.mixture.components.masses", np.int32),
        ("context.norm.inward_table", np.int32),
        ("2.trunk.stem.weight", np.int8),
        ("0.analysis.stem.weight", np.int8),
        ("0.analysis.stem.weight.scale", np.float32),
        ("0.analysis.stem.bias", np.float16),
        ("0.analysis.skeleton", np.float16),
        ("1.posteriors.3.conv1.weight", np.int8),
        ("1.posteriors.3.conv2.weight", np.float16),
        ("0.synthesis.stem.weight", np.float16),
        ("0.reconstruction.offsets", np.float16),
    ],
)
def test_each_tensor_has_its_type(name: str, kind: type) -> None:
    assert stored_type(name) == kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context.norm.inward_table", 0.5),
        ("context.norm.inward_table", 2.0**31),
        ("0.trunk.stem.weight", 128.0),
        ("0.trunk.stem.weight", float("nan")),
        ("0.trunk.steps.0.head_gain.knots", 2.0**15),
        ("0.analysis.stem.weight", float("inf")),
        ("0.synthesis.stem.weight", float("nan")),
        ("0.synthesis.stem.weight", 1e6),
    ],
)
def test_what_does_not_fit_its_type_is_refused(name: str, value: float) -> None:
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        stored(name, torch.full((2, 2, 1, 1), value))


def test_a_filter_of_zeros_is_restored_as_zeros() -> None:
    filters = np.zeros((2, 3, 1, 1), np.float32)
    filters[1, 2] = -5.08
    assert eight_bit_scale(filters).flatten() == pytest.approx([1, 0.04])
    name = "0.analysis.stem.weight"
    again = back(stored(name, torch.from_numpy(filters)))[name]
    assert again.numpy() == pytest.approx(filters)


@pytest.mark.parametrize(
    "arrays",
    [
        {"a.scale": np.ones((2, 1, 1, 1), np.float32)},
        {"a": np.ones((2, 1, 1, 1), np.int8), "a.scale": np.ones((1, 1, 1, 1), np.float32)},
    ],
    ids=["no filter", "another shape"],
)
def test_a_scale_that_fits_no_filter_is_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(KeyError):
        back(arrays)


def test_arrays_are_found_below_their_prefix_and_copied() -> None:
    array = np.array([1, 2], np.int8)
    array.setflags(write=False)
    found = from_arrays({"1.a": array, "10.a": array, "context.a": array}, "1.")
    assert found.keys() == {"a"}
    found["a"] += 1
    assert array.tolist() == [1, 2]
