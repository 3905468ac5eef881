import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_codec.codec.errors import BoundError
from hvae_codec.codec.quality.curve import QUALITIES, step_of
from hvae_codec.codec.symbols.fixed_point import (
    ACCUMULATOR_LIMIT,
    ACTIVATION_MAX,
    CONTEXT_UNIT,
    UNIT,
)
from hvae_codec.models.integer import fixed_point
from hvae_codec.models.integer.convert import simulate_integers
from hvae_codec.models.integer.fixed_point import PRE_GAIN_MAX, WEIGHT_MAX, largest_sum, two_scales
from hvae_codec.models.integer.layers import FloatConv, FloatGain, IntegerConv
from hvae_codec.models.integer.norms import FloatNorm


def integers(low: int, high: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high + 1, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("low", [0, -ACTIVATION_MAX])
@pytest.mark.parametrize("spread", [1e-3, 0.1, 1.0, 8.0])
def test_the_integer_convolution_is_the_simulated_one(spread: float, low: int) -> None:
    torch.manual_seed(1)
    trained = FloatConv(12, 20, 3, low)
    nn.init.normal_(trained.weight, std=spread)
    nn.init.normal_(trained.bias, std=2.0)
    integer = trained.to_integer()
    simulate_integers(trained)
    x = integers(low, ACTIVATION_MAX, 2, 12, 9, 7).float()
    expected = trained(x)
    assert expected.abs().max() > 1
    assert torch.equal(integer(x), expected)


def test_the_integer_convolution_is_near_the_float_one() -> None:
    torch.manual_seed(2)
    trained = FloatConv(32, 16, 3)
    integer = trained.to_integer()
    x = integers(-ACTIVATION_MAX, ACTIVATION_MAX, 1, 32, 16, 16).float()
    difference = integer(x) - trained(x)
    # half a unit of 64...127 in each weight: at most two parts in a hundred
    assert difference.std() < 0.02 * trained(x).std()
    assert difference.mean().abs() < 3  # rounds, does not floor: no drift


def test_the_integer_gain_is_the_simulated_one() -> None:
    torch.manual_seed(3)
    trained = FloatGain(6)
    nn.init.normal_(trained.knots, std=2.0)
    integer = trained.to_integer()
    simulate_integers(trained)
    quality = torch.arange(QUALITIES)
    x = integers(-PRE_GAIN_MAX, PRE_GAIN_MAX, QUALITIES, 6, 8, 8).float()
    assert torch.equal(integer(x.clone(), quality), trained(x, quality))


def test_integer_gain_does_not_change_its_input() -> None:
    integer = FloatGain(2).to_integer()
    x = integers(-500, 500, 1, 2, 3, 3).float()
    before = x.clone()
    integer(x, torch.tensor([50]))
    assert torch.equal(x, before)


def test_the_integer_norm_is_near_the_float_one() -> None:
    trained = FloatNorm(3)
    trained.spread.copy_(torch.tensor([900.0, 60.0, 4.0]))
    integer = trained.to_integer()
    symbols = integers(-60, 60, QUALITIES, 3, 4, 4).float()
    quality = torch.arange(QUALITIES)
    inward = integer.inward(symbols, quality)
    # half for the result's rounding, and the factor's, of 2^-9 a symbol
    assert (inward - trained.inward(symbols, quality)).abs().max() <= 0.5 + 60 / 512 + 1e-2
    x = integers(-ACTIVATION_MAX, ACTIVATION_MAX, QUALITIES, 3, 4, 4).float()
    outward = integer.outward(x, quality, slice(0, 3))
    limit = 0.5 + ACTIVATION_MAX / 2**13 + 1e-2
    assert (outward - trained.outward(x, quality, slice(0, 3))).abs().max() <= limit
    for values in (inward, outward):
        assert torch.equal(values, values.floor())


def test_norm_there_and_back_is_the_symbol() -> None:
    trained = FloatNorm(1)
    trained.spread.fill_(300.0)
    integer = trained.to_integer()
    quality = torch.tensor([40])
    largest = int(15 * 300 / step_of(quality))  # 16 spreads saturate
    symbols = torch.arange(-largest, largest + 1).double().view(1, 1, 1, -1)
    back = integer.outward(integer.inward(symbols, quality), quality, slice(0, 1)) / CONTEXT_UNIT
    # an activation is 1/64 spread
    assert (back - symbols).abs().max() <= 0.5 * 300 / (UNIT * float(step_of(quality))) + 0.5


@pytest.mark.parametrize(
    ("weight", "inputs", "message"),
    [(100.0, 1, "a weight exceeds 127"), (60.0, 16, "sums reach"), (float("nan"), 1, "integers")],
)
def test_a_filter_that_could_overflow_is_refused(weight: float, inputs: int, message: str) -> None:
    trained = FloatConv(inputs, 2, 3)
    nn.init.constant_(trained.weight, weight)
    with pytest.raises(BoundError, match=f"trunk.stem: .*{message}"):
        trained.to_integer().check("trunk.stem")


def test_a_shift_of_quality_that_could_overflow_is_refused() -> None:
    trained = FloatGain(2)
    nn.init.constant_(trained.knots, 1e4)
    with pytest.raises(BoundError, match="or its shift 2047"):
        trained.to_integer().check("gain")


@pytest.mark.parametrize("low", [0, -ACTIVATION_MAX])
@pytest.mark.parametrize("seed", range(4))
def test_largest_sum_bounds_every_partial_sum(low: int, seed: int) -> None:
    weight = integers(-WEIGHT_MAX, WEIGHT_MAX, 1, 4, 1, 1, seed=seed).float()
    bias = integers(-5000, 5000, 1, seed=seed + 10).float()
    bound = float(largest_sum(weight, bias, low))
    reached = 0.0
    ends = (0.0, float(low), float(ACTIVATION_MAX))  # 0 is a term not added yet
    for inputs in itertools.product(ends, repeat=4):
        partial = float((weight.flatten() * torch.tensor(inputs)).sum())
        reached = max(reached, abs(partial), abs(partial + float(bias)))
    assert reached <= bound <= reached + 2 * float(bias.abs())


def hardest_convolution() -> tuple[IntegerConv, Tensor]:
    """Sums within three per cent of the limit, and the input that reaches them."""
    conv = IntegerConv(14, 8, 3)
    signs = integers(0, 1, 8, 14, 3, 3) * 2.0 - 1
    conv.weight.copy_(signs * integers(WEIGHT_MAX - 1, WEIGHT_MAX, 8, 14, 3, 3, seed=1))
    conv.bias.copy_(integers(0, 4000, 8, seed=2).float())
    conv.shift.copy_(integers(1, 9, 8, seed=3).float())
    conv.check("hardest")
    x = integers(-ACTIVATION_MAX, ACTIVATION_MAX, 2, 14, 12, 11, seed=4).float()
    x[0, :, 5:8, 5:8] = signs[0] * ACTIVATION_MAX
    return conv, x


def reference(conv: IntegerConv, x: Tensor) -> Tensor:
    """The same in 64-bit integers."""
    patches = nn.functional.unfold(x.double(), 3, padding=1).long()  # (B, I * 9, H * W)
    sums = conv.weight.flatten(1).long() @ patches + conv.bias.long()[:, None]
    assert sums.abs().max() > 0.97 * ACCUMULATOR_LIMIT
    return (sums >> conv.shift.long()[:, None]).view(len(x), -1, *x.shape[2:])


@pytest.mark.parametrize("size", [(2, 3), (0, 3), (1, 0)])
def test_a_gpus_convolution_is_that_of_a_cpu(size: tuple[int, int]) -> None:
    """Also of no position at all, as a step has in tiles of one or two patches a side."""
    conv, x = hardest_convolution()
    x = x[..., : size[0], : size[1]]
    expected = fixed_point.convolve(x, conv.weight, conv.bias)
    elsewhere = fixed_point.multiply_and_add(
        x.to("meta"), conv.weight.to("meta"), conv.bias.to("meta")
    )
    assert elsewhere.shape == expected.shape
    if x.numel():
        assert torch.equal(fixed_point.unfolded(x, conv.weight, conv.bias), expected)


def test_convolution_is_exact_however_it_is_computed() -> None:
    conv, x = hardest_convolution()
    expected = reference(conv, x)
    results = {"float32": conv(x), "one by one": torch.cat([conv(part[None]) for part in x])}
    results["channels last"] = conv(x.contiguous(memory_format=torch.channels_last))
    onednn = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.set_flags(False)  # its context manager would warn about TF32
    results["without oneDNN"] = conv(x)
    torch.backends.mkldnn.set_flags(onednn)
    results["float64"] = copy.deepcopy(conv).double()(x.double())
    for name, result in results.items():
        assert torch.equal(result.long(), expected), name
        assert torch.equal(result, result.floor()), name


def test_two_scales_are_activations() -> None:
    x = integers(-(2**20), 2**20, 1, 3, 5, 5).float()
    x[0, 0, 0] = torch.tensor([0.0, 1.0, -7.0, 8.0, 100.0])
    both = two_scales(x, 2, 4)
    assert both.shape == (1, 6, 5, 5)
    assert both.abs().max() == ACTIVATION_MAX
    assert both[0, 0, 0].tolist() == [0, 4, -28, 32, 400]
    assert both[0, 3, 0].tolist() == [0, 0, 0, 1, 6]  # rounded half up


def test_a_machine_that_computes_in_fewer_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_point.check_arithmetic()

    def in_fewer_bits(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(x.bfloat16(), weight.bfloat16(), bias.bfloat16(), padding=1).float()

    monkeypatch.setattr(fixed_point, "multiply_and_add", in_fewer_bits)
    with pytest.raises(BoundError, match="fewer bits"):
        fixed_point.check_arithmetic()


@pytest.mark.parametrize("is_integer", [False, True])
def test_a_map_conditions_each_position_by_its_own_quality(is_integer: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    gain, norm = FloatGain(5), FloatNorm(5)
    with torch.no_grad():
        gain.knots.add_(torch.randn(gain.knots.shape, generator=generator))
    layers = [gain, norm]
    if is_integer:
        layers = [layer.to_integer() for layer in layers]
    x = torch.randint(-900, 900, (2, 5, 3, 4), generator=generator).float()
    quality = torch.randint(0, 101, (2, 1, 3, 4), generator=generator)
    for call in (layers[0], layers[1].inward):  # type: ignore[union-attr]
        found = call(x, quality)
        for row, column in itertools.product(range(3), range(4)):
            here = (..., slice(row, row + 1), slice(column, column + 1))
            expected = call(x[here], quality[:, 0, row, column])
            torch.testing.assert_close(found[here], expected)
