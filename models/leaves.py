"""The layers of the trunk and the prior, in two kinds with the same names.

`FLOAT` leaves train: in real numbers of the scale that `fixed_point` describes, optionally with
simulated rounding. `INTEGER` leaves run. The networks are written once over either; `freeze` turns
the first into the second and proves the bound on the way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import BoundError
from .fixed_point import (
    ACCUMULATOR_LIMIT,
    ACTIVATION_MAX,
    GAIN_MAX,
    GAIN_SHIFT_MAX,
    KNOT_UNIT,
    KNOTS,
    OFFSETS,
    POWERS,
    PRE_GAIN_MAX,
    SHIFT_MAX,
    UNIT,
    WEIGHT_MAX,
    channel_shifts,
    convolve,
    largest_sum,
    multiply_and_add,
    quantise_filter,
    round_through,
    saturate,
)
from .quality import QUALITIES, step_of

_EVERY = slice(None)

KNOT_SPAN = (QUALITIES - 1) // (KNOTS - 1)
"""Qualities from a knot to the next."""


class FloatLeaf(nn.Module):
    """A leaf of one prior's own, in training."""


class IntegerLeaf(nn.Module):
    """What a `FloatLeaf` becomes, whose place it takes: buffers of integers, exact at run time."""

    def take(self, trained: FloatLeaf) -> None:
        """Copy the trained leaf into integers."""
        raise NotImplementedError

    def check(self, name: str) -> None:
        """Prove that the integers are what the run time takes them for.

        Raises:
            BoundError: they are not.
        """
        raise NotImplementedError


class FloatConv(nn.Module):
    """A convolution in training: real weights, or simulated integers when `simulate` is set."""

    def __init__(self, inputs: int, outputs: int, kernel: int, input_min: int = -ACTIVATION_MAX):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.input_min = input_min
        self.simulate = False
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H, W), both in units of activations, not saturated."""
        weight, bias = self.weight, self.bias * UNIT
        if not self.simulate:
            return convolve(x, weight, bias)
        with torch.no_grad():
            shift = channel_shifts(weight, bias, self.input_min)
            w, b = quantise_filter(weight, bias, shift)
            scale = torch.exp2(-shift)
            w, b = w * scale[:, None, None, None], (b - torch.exp2(shift - 1)) * scale
        weight = weight + (w - weight).detach()
        bias = bias + (b - bias).detach()
        sums = convolve(x, weight, bias)
        # bfloat16 holds rounded weights exactly, but not sums: these it rounds more than integers
        return round_through(sums) if sums.dtype == torch.float32 else sums


class IntegerConv(nn.Module):
    """The same convolution on integers: accumulate, shift right with rounding."""

    weight: Tensor
    bias: Tensor
    shift: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, input_min: int = -ACTIVATION_MAX):
        super().__init__()
        self.input_min = input_min
        self.register_buffer("weight", torch.zeros(outputs, inputs, kernel, kernel))
        self.register_buffer("bias", torch.zeros(outputs))
        self.register_buffer("shift", torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H, W): floor((w * x + b) / 2^k).

        The power of two is taken into the weights, which leaves every bit of the sums where it was.
        """
        scale = x.new_tensor(POWERS)[self.shift.long()]
        weight = self.weight * scale[:, None, None, None]
        return multiply_and_add(x, weight, self.bias * scale).floor_()

    def check(self, name: str) -> None:
        """Prove that no input can leave the exact range.

        Raises:
            BoundError: a weight, bias or sum is too large, or not an integer.
        """
        for values in (self.weight, self.bias, self.shift):
            if not torch.equal(values, values.floor()):
                raise BoundError(f"{name}: weights are not integers; freeze the network first")
        if self.shift.min() < 1 or self.shift.max() > SHIFT_MAX:
            raise BoundError(f"{name}: a shift is outside 1...{SHIFT_MAX}")
        if self.weight.abs().max() > WEIGHT_MAX:
            raise BoundError(f"{name}: a weight exceeds {WEIGHT_MAX}")
        worst = float(largest_sum(self.weight, self.bias, self.input_min).max())
        if worst >= ACCUMULATOR_LIMIT:
            raise BoundError(f"{name}: sums reach {worst:.0f}, the limit is {ACCUMULATOR_LIMIT}")


def _spanned(knots: Tensor, quality: Tensor) -> Tensor:
    """Interpolate between knots (KNOTS, 2, C) at `quality` (B,), times KNOT_SPAN: (B, 2, C).

    That leaves integers what they are.
    """
    places = torch.arange(0, QUALITIES, KNOT_SPAN, device=quality.device)
    weights = (KNOT_SPAN - (quality[:, None] - places).abs()).clamp_min(0).to(knots.dtype)
    with torch.autocast(quality.device.type, enabled=False):
        return (weights @ knots.flatten(1)).unflatten(1, knots.shape[1:])


class FloatGain(nn.Module):
    """Conditioning on quality: a scale and a shift a channel, linear between eleven knots."""

    def __init__(self, channels: int):
        super().__init__()
        knots = torch.zeros(KNOTS, 2, channels)
        knots[:, 0] = 1.0
        self.knots = nn.Parameter(knots)
        self.simulate = False

    def table(self, quality: Tensor) -> Tensor:
        """Return the (B, 2, C) rows for `quality` (B,), the shift in units of activations."""
        scale, shift = (_spanned(self.knots.float(), quality) / KNOT_SPAN).unbind(1)
        return torch.stack([scale, shift * UNIT], dim=1)

    def integer_knots(self) -> Tensor:
        """Return the knots (KNOTS, 2, C) of the `IntegerGain` that this becomes."""
        scale, shift = (self.knots.float() * (UNIT * KNOT_UNIT)).unbind(1)
        limit = GAIN_MAX * KNOT_UNIT
        return round_through(torch.stack([scale.clamp(-limit, limit), shift], dim=1))

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.simulate:
            rows = _spanned(self.integer_knots(), quality) / (KNOT_SPAN * KNOT_UNIT)
            scale, shift = round_through(rows)[..., None, None].unbind(1)
            return round_through(x.float() * (scale / UNIT) + shift)
        scale, shift = self.table(quality).to(x.dtype)[..., None, None].unbind(1)
        return x * scale + shift


class IntegerGain(nn.Module):
    """The same conditioning on integers: sixteenths at the knots, whole numbers between them."""

    knots: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("knots", torch.zeros(KNOTS, 2, channels))

    def rows(self, quality: Tensor) -> Tensor:
        """Return the (B, 2, C) gains at integer `quality` (B,), rounded.

        Numerators are below 2^24 and quotients below 2^12: no rounding of float32 moves one over
        an integer.
        """
        return (_spanned(self.knots, quality) / (KNOT_SPAN * KNOT_UNIT) + 0.5).floor_()

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """floor((scale * x + 64 * shift + 32) / 64) for integer `quality` (B,)."""
        scale, shift = self.rows(quality)[..., None, None].unbind(1)
        x = x.clamp(-PRE_GAIN_MAX, PRE_GAIN_MAX)
        return torch.addcmul(shift + 0.5, x, scale * (1 / UNIT)).floor_()

    def check(self, name: str) -> None:
        """Prove that no input can leave the exact range.

        Raises:
            BoundError: a scale or shift is too large, or not an integer.
        """
        if not torch.equal(self.knots, self.knots.floor()):
            raise BoundError(f"{name}: gains are not integers; freeze the network first")
        scale, shift = self.knots.abs().amax(dim=0)
        if scale.max() > GAIN_MAX * KNOT_UNIT or shift.max() > GAIN_SHIFT_MAX * KNOT_UNIT:
            raise BoundError(f"{name}: a gain exceeds {GAIN_MAX} or its shift {GAIN_SHIFT_MAX}")


def _over(x: Tensor, factors: Tensor) -> Tensor:
    """Bring factors (B, c) to the dimensions of x (B, c, ...)."""
    return factors[(..., *[None] * (x.dim() - 2))]


class FloatNorm(nn.Module):
    """Brings context symbols to activations and back: x = 64 * u * step / spread.

    `spread` (C,) is each coefficient's standard deviation on training images, in pixels over the
    gain of its step.
    """

    spread: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("spread", torch.ones(channels))

    def _ratio(self, quality: Tensor) -> Tensor:
        return step_of(quality)[:, None] / self.spread  # (B, C)

    def inward(self, symbols: Tensor, quality: Tensor, channels: slice = _EVERY) -> Tensor:
        """(B, c, ...) symbols of some channels -> activations."""
        return saturate(symbols * _over(symbols, self._ratio(quality)[:, channels]) * UNIT)

    def outward(self, x: Tensor, quality: Tensor, channels: slice) -> Tensor:
        """(B, c, ...) activations of some channels -> eighths of symbols."""
        return x / _over(x, self._ratio(quality)[:, channels]) * (OFFSETS / UNIT)


class IntegerNorm(nn.Module):
    """The same on integers, carried in float64: a table row a quality for each direction."""

    inward_table: Tensor
    outward_table: Tensor

    def __init__(self, channels: int):
        super().__init__()
        for name in ("inward_table", "outward_table"):
            self.register_buffer(name, torch.zeros(QUALITIES, channels, dtype=torch.float64))

    def inward(self, symbols: Tensor, quality: Tensor, channels: slice = _EVERY) -> Tensor:
        """Q.0 context times Q.8 -> saturated activations (float64)."""
        factor = _over(symbols, self.inward_table[quality][:, channels])
        return saturate(torch.floor(symbols.double() * factor * 2.0**-8 + 0.5))

    def outward(self, x: Tensor, quality: Tensor, channels: slice) -> Tensor:
        """Activations times Q.12 -> eighths of symbols (float64)."""
        factor = _over(x, self.outward_table[quality][:, channels])
        return torch.floor(x.double() * factor * 2.0**-12 + 0.5)

    def check(self, name: str) -> None:
        """Prove that all products stay below 2^53.

        A context is a symbol, |s| <= 2^20, and the whole part of a mean.

        Raises:
            BoundError: a factor is too large, or not an integer.
        """
        for table in (self.inward_table, self.outward_table):
            if not torch.equal(table, table.floor()):
                raise BoundError(f"{name}: factors are not integers; freeze the network first")
        mean = ACTIVATION_MAX * float(self.outward_table.abs().max())
        context = 2**20 + mean * 2.0**-12 / OFFSETS + 1
        if max(mean, context * float(self.inward_table.abs().max())) >= 2**52:
            raise BoundError(f"{name}: a factor is too large for float64")


class Leaves(NamedTuple):
    """The kinds of leaves that a network is built from."""

    conv: type[FloatConv] | type[IntegerConv]
    gain: type[FloatGain] | type[IntegerGain]
    norm: type[FloatNorm] | type[IntegerNorm]


FLOAT = Leaves(FloatConv, FloatGain, FloatNorm)
INTEGER = Leaves(IntegerConv, IntegerGain, IntegerNorm)


def simulate_integers(network: nn.Module, on: bool = True) -> None:
    """Switch quantisation-aware training of the convolutions and gains of `network` on or off.

    The norm, whose rounding is finer, stays real.
    """
    for leaf in network.modules():
        if isinstance(leaf, (FloatConv, FloatGain)):
            leaf.simulate = on


@torch.no_grad()
def freeze(trained: nn.Module, integer: nn.Module) -> None:
    """Copy the float leaves of `trained` into the integer leaves of the same names in `integer`.

    Raises:
        BoundError: an integer leaf could leave the exact range.
    """
    sources = dict(trained.named_modules())
    for name, leaf in integer.named_modules():
        source = sources[name]
        if isinstance(leaf, IntegerConv):
            assert isinstance(source, FloatConv)
            bias = source.bias.float() * UNIT
            shift = channel_shifts(source.weight.float(), bias, source.input_min)
            leaf.weight, leaf.bias = quantise_filter(source.weight.float(), bias, shift)
            leaf.shift = shift
        elif isinstance(leaf, IntegerGain):
            assert isinstance(source, FloatGain)
            leaf.knots = source.integer_knots()
        elif isinstance(leaf, IntegerNorm):
            assert isinstance(source, FloatNorm)
            ratio = step_of(torch.arange(QUALITIES))[:, None].double() / source.spread.double()
            leaf.inward_table = torch.floor(ratio * (UNIT * 2**8) + 0.5)
            leaf.outward_table = torch.floor(OFFSETS / UNIT * 2**12 / ratio + 0.5)
        elif isinstance(leaf, IntegerLeaf):
            assert isinstance(source, FloatLeaf)
            leaf.take(source)
    check(integer)


@torch.no_grad()
def thaw(integer: nn.Module, trained: nn.Module) -> None:
    """Undo `freeze`, but for what rounding took, so that training goes on from shipped weights."""
    sources = dict(integer.named_modules())
    for name, leaf in trained.named_modules():
        source = sources[name]
        if isinstance(leaf, FloatConv):
            assert isinstance(source, IntegerConv)
            scale = torch.exp2(-source.shift)
            leaf.weight.copy_(source.weight * scale[:, None, None, None])
            leaf.bias.copy_((source.bias * scale - 0.5) / UNIT)
        elif isinstance(leaf, FloatGain):
            assert isinstance(source, IntegerGain)
            leaf.knots.copy_(source.knots / (UNIT * KNOT_UNIT))
        elif isinstance(leaf, FloatNorm):
            assert isinstance(source, IntegerNorm)
            leaf.spread.copy_(_spread_of(source))


def _spread_of(norm: IntegerNorm) -> Tensor:
    """Return spreads (C,) that `freeze` makes these very tables of: every entry bounds them."""
    step = step_of(torch.arange(QUALITIES))[:, None].double()
    inward, outward = step * (UNIT * 2**8), step * (UNIT / (OFFSETS * 2**12))
    least = torch.maximum(
        (inward / (norm.inward_table + 0.5)).amax(0), ((norm.outward_table - 0.5) * outward).amax(0)
    )
    most = torch.minimum(
        (inward / (norm.inward_table - 0.5)).amin(0), ((norm.outward_table + 0.5) * outward).amin(0)
    )
    return (least + most) / 2


def check(integer: nn.Module) -> None:
    """Prove the bound for every integer leaf of a network, at export and again when loading.

    Raises:
        BoundError: a leaf could leave the exact range.
    """
    for name, leaf in integer.named_modules():
        if isinstance(leaf, (FloatConv, FloatGain, FloatLeaf)):
            raise BoundError(f"{name}: a float layer decides symbols; freeze the network first")
        if isinstance(leaf, (IntegerConv, IntegerGain, IntegerNorm, IntegerLeaf)):
            leaf.check(name)
