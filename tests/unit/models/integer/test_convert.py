"""Float networks to integer ones and back, and to those of one quality."""

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from hvae_codec.bitstream import PmfTables
from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.errors import BoundError
from hvae_codec.codec.quality.curve import QUALITIES
from hvae_codec.codec.symbols.fixed_point import ACCUMULATOR_LIMIT, ACTIVATION_MAX, KNOT_UNIT, KNOTS
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.integer import convert
from hvae_codec.models.integer.fixed_point import (
    GAIN_MAX,
    GAIN_SHIFT_MAX,
    SHIFT_MAX,
    WEIGHT_MAX,
    largest_sum,
)
from hvae_codec.models.integer.layers import FloatConv, FloatGain, IntegerConv, IntegerGain
from hvae_codec.models.integer.norms import FloatNorm, IntegerNorm
from hvae_codec.models.integer.prepared import PreparedGain, PreparedNorm
from hvae_codec.models.priors import make_prior
from hvae_codec.models.weight_models import Weights, save_weights
from tests.conftest import PRIORS_AT_HAND


@pytest.fixture(scope="module")
def integer(tiny_model: DctVae) -> DctVae:
    return tiny_model.to_integer()


def integers(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high + 1, shape, generator=generator).float()


def extremes(limit: int, *shape: int, seed: int = 0) -> Tensor:
    """Integers of which a third lie at either end."""
    middle = integers(-limit, limit, *shape, seed=seed)
    return torch.where(integers(0, 2, *shape, seed=seed + 1) == 0, middle, middle.sign() * limit)


def a_conv(inputs: int, kernel: int, low: int) -> IntegerConv:
    """Weights at the ends of their range, sums as large as may be, and every shift."""
    outputs = SHIFT_MAX
    conv = IntegerConv(inputs, outputs, kernel, low)
    conv.weight.copy_(extremes(WEIGHT_MAX, *conv.weight.shape))
    conv.shift.copy_(torch.arange(1.0, SHIFT_MAX + 1))
    most = ACCUMULATOR_LIMIT - 1 - largest_sum(conv.weight, conv.bias, low)
    conv.bias.copy_(most.clamp(0, 2**20).floor() * (-1.0) ** torch.arange(outputs))
    conv.check("a conv")
    return conv


def a_gain(channels: int) -> IntegerGain:
    gain = IntegerGain(channels)
    gain.knots[:, 0] = extremes(GAIN_MAX * KNOT_UNIT, KNOTS, channels)
    gain.knots[:, 1] = extremes(GAIN_SHIFT_MAX * KNOT_UNIT, KNOTS, channels, seed=5)
    gain.check("a gain")
    return gain


@pytest.mark.parametrize("low", [0, -ACTIVATION_MAX])
@pytest.mark.parametrize(("inputs", "kernel"), [(14, 3), (128, 1)])
def test_a_prepared_convolution_gives_the_same_integers(low: int, inputs: int, kernel: int) -> None:
    conv = a_conv(inputs, kernel, low)
    x = extremes(ACTIVATION_MAX, 3, inputs, 7, 6).clamp_min(low)
    signs = conv.weight[:1].sign()  # and what makes the first sums largest
    x[0, :, :kernel, :kernel] = (signs[0] * ACTIVATION_MAX).clamp_min(low)
    expected = conv(x)
    assert torch.equal(expected, expected.floor())
    for quality in (0, 50, 100):
        ready = convert.prepared(conv, quality)
        assert torch.equal(ready(x), expected)
        assert torch.equal(ready.double()(x.double()), expected.double())


def test_a_prepared_gain_gives_the_same_integers_at_every_quality() -> None:
    gain, some = a_gain(6), torch.tensor([4, 1])
    x = extremes(ACCUMULATOR_LIMIT // 2, 1, 6, 9, 8)
    for quality in range(QUALITIES):
        ready, at = cast(PreparedGain, convert.prepared(gain, quality)), torch.tensor([quality])
        assert torch.equal(ready(x, at), gain(x, at))
        chosen = PreparedGain(ready.factor[:, some], ready.offset[:, some])
        assert torch.equal(chosen(x[:, :2], at), gain(x[:, :2], at, some))


def test_a_prepared_norm_gives_the_same_integers_at_every_quality() -> None:
    norm = FloatNorm(6)
    norm.spread.copy_(torch.logspace(-1, 3.5, 6))
    integer, some = norm.to_integer(), torch.tensor([5, 0, 3])
    integer.check("a norm")
    symbols = extremes(2**20, 1, 3, 40).double()
    x = extremes(ACTIVATION_MAX, 1, 3, 40)
    for quality in range(QUALITIES):
        ready, at = cast(PreparedNorm, convert.prepared(integer, quality)), torch.tensor([quality])
        chosen = PreparedNorm(ready.inward_row[:, some], ready.outward_row[:, some])
        assert torch.equal(chosen.inward(symbols, at), integer.inward(symbols, at, some))
        assert torch.equal(chosen.outward(x, at), integer.outward(x, at, some))


def test_a_prepared_network_gives_the_same_integers(integer: DctVae) -> None:
    trunk, config = integer.latents.trunk, integer.config
    context = extremes(ACTIVATION_MAX, 1, config.context_channels, 2, 3)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    for quality in (0, 33, 100):
        at = torch.tensor([quality])
        ready = cast(Any, convert.prepared(trunk, quality))
        h = trunk.begin(context, at)
        assert torch.equal(ready.begin(context, at), h)
        for network, (step, own) in zip(ready.steps, trunk.networks(), strict=True):
            advanced = own.advance(h, at)
            assert torch.equal(network.advance(h, at), advanced)
            assert torch.equal(network.head(advanced), own.head(advanced))
            values = extremes(2**20, 1, step.stop - step.start, 8, 12, seed=step.number)
            h = own.learn(advanced, values)
            assert torch.equal(network.learn(advanced, values), h)
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, before[name]), name


def layers_of(model: DctVae, *kinds: type[nn.Module]) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if isinstance(m, kinds)}


def test_integers_to_float_and_back_are_the_same_networks(integer: DctVae) -> None:
    again = integer.to_float().to_integer()
    ours, theirs = (layers_of(m, IntegerConv, IntegerGain, IntegerNorm) for m in (integer, again))
    assert ours.keys() == theirs.keys()
    for name, layer in ours.items():
        other = theirs[name]
        if isinstance(layer, IntegerConv):  # a filter may have gained a bit, no other value
            assert isinstance(other, IntegerConv)
            finer = torch.exp2(other.shift - layer.shift)
            assert (finer >= 1).all(), name
            assert torch.equal(layer.weight * finer[:, None, None, None], other.weight), name
            assert torch.equal(layer.bias * finer, other.bias), name
        else:
            for key, values in layer.state_dict().items():
                assert torch.equal(values, other.state_dict()[key]), f"{name}.{key}"


@pytest.mark.parametrize("name", PRIORS_AT_HAND)
def test_priors_keep_their_names_through_all_conversions(name: str) -> None:
    prior = make_prior(name, PRESETS["tiny"])
    floats = {n: tuple(p.shape) for n, p in prior.named_parameters()}
    whole, empty = convert.to_integer(prior), convert.empty_integer(prior)
    assert {n: (v.shape, v.dtype) for n, v in whole.state_dict().items()} == {
        n: (v.shape, v.dtype) for n, v in empty.state_dict().items()
    }
    assert not any(p.requires_grad for p in whole.parameters())
    assert {n: tuple(p.shape) for n, p in prior.named_parameters()} == floats  # left alone
    empty.load_state_dict(whole.state_dict())
    convert.check(empty)


def test_a_conversion_leaves_its_network_alone(tiny_model: DctVae) -> None:
    before = {name: values.clone() for name, values in tiny_model.state_dict().items()}
    integer = tiny_model.to_integer()
    for values in integer.state_dict().values():
        values.add_(1)
    trained = tiny_model.to_integer().to_float()
    assert all(parameter.requires_grad for parameter in trained.parameters())
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1)
    for name, values in tiny_model.state_dict().items():
        assert torch.equal(values, before[name]), name


def test_simulated_integers_are_switched_on_and_off(tiny_model: DctVae) -> None:
    model = copy.deepcopy(tiny_model)
    at = torch.tensor([40])
    context = integers(-200, 200, 1, model.config.context_channels, 2, 2)
    with torch.no_grad():
        real = model.latents.trunk.begin(context, at)
        model.simulate_integers()
        simulated = model.latents.trunk.begin(context, at)
        model.simulate_integers(False)
        assert torch.equal(model.latents.trunk.begin(context, at), real)
        assert not torch.equal(simulated, real)
        assert torch.equal(simulated, simulated.round())
        assert torch.equal(model.to_integer().latents.trunk.begin(context, at), simulated)


@pytest.mark.parametrize("change", ["weight", "bias", "shift", "knots", "inward_table"])
def test_what_is_no_integer_is_refused(integer: DctVae, change: str) -> None:
    for network in (integer.context, integer.latents.trunk):
        convert.check(network)
        spoiled = copy.deepcopy(network)
        found = [v for name, v in spoiled.named_buffers() if name.endswith(change)]
        if not found:
            assert change == "inward_table"  # the trunk has no norm
            continue
        found[-1].view(-1)[0] += 0.5
        with pytest.raises(BoundError, match="not integers"):
            convert.check(spoiled)


def float_layer(model: DctVae) -> FloatConv:
    return copy.deepcopy(cast(Any, model.latents.trunk.steps[3]).head)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda integer, model: setattr(integer.latents.trunk.steps[3], "head", float_layer(model)),
        lambda integer, model: setattr(integer.context, "norm", FloatNorm(68)),
        lambda integer, model: setattr(integer.context.prior, "start", FloatGain(32)),
    ],
    ids=["trunk", "norm", "prior"],
)
def test_float_networks_are_neither_checked_nor_saved(
    tiny_model: DctVae,
    pmfs: PmfTables,
    tmp_path_factory: pytest.TempPathFactory,
    spoil: Callable[[DctVae, DctVae], None],
) -> None:
    path = tmp_path_factory.mktemp("refused") / "float.safetensors"
    mixed = tiny_model.to_integer()
    spoil(mixed, tiny_model)
    for model in (tiny_model, mixed):
        networks = model.context, model.latents.trunk
        with pytest.raises(BoundError, match="a float layer decides symbols"):
            [convert.check(network) for network in networks]
        with pytest.raises(BoundError, match="a float layer decides symbols"):
            save_weights(path, Weights(model.context, (model.latents,), (0,), pmfs))
    assert not path.exists()


def test_a_bound_violated_on_purpose_is_not_saved(
    tiny_model: DctVae, pmfs: PmfTables, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("refused") / "bound.safetensors"
    model = tiny_model.to_integer()
    model.latents.trunk.stem.weight[0] = WEIGHT_MAX  # type: ignore[index]
    weights = Weights(model.context, (model.latents,), (0,), pmfs)
    with pytest.raises(BoundError, match="stem: sums reach"):
        save_weights(path, weights)
    assert not path.exists()


def test_a_network_that_could_overflow_is_not_converted(tiny_model: DctVae) -> None:
    model = copy.deepcopy(tiny_model)
    nn.init.constant_(cast(Any, model.latents.trunk.steps[2]).head_gain.knots, 1e4)
    with pytest.raises(BoundError, match=r"steps\.2\.head_gain: a gain exceeds"):
        model.to_integer()
