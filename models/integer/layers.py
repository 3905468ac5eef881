"""The layers of the trunk and of the context priors, each in two kinds.

A quality is one a sample, (B,), or one a position, (B, 1, ...); see `qualities`.

A float layer trains: in real numbers of the scale that `fixed_point` describes, optionally with
simulated rounding. Its integer counterpart runs. Each float layer has `to_integer`, and
`empty_integer` gives the counterpart to load a file into; each integer layer has `to_float`, and
`check`, which proves its bounds. `convert` applies them to whole networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...codec.errors import BoundError
from ...codec.quality.curve import QUALITIES
from ...codec.symbols.fixed_point import (
    ACCUMULATOR_LIMIT,
    ACTIVATION_MAX,
    KNOT_SPAN,
    KNOT_UNIT,
    KNOTS,
    UNIT,
)
from ..qualities import over
from .fixed_point import (
    GAIN_MAX,
    GAIN_SHIFT_MAX,
    POWERS,
    PRE_GAIN_MAX,
    SHIFT_MAX,
    WEIGHT_MAX,
    channel_shifts,
    convolve,
    largest_sum,
    multiply_and_add,
    quantise_filter,
    round_through,
)
from .prepared import EVERY, Channels, PreparedConv, PreparedGain


class FloatLayer(nn.Module):
    """A layer in training. `simulate` switches simulated integer arithmetic on, where it has it."""

    simulate = False

    def empty_integer(self) -> IntegerLayer:
        """Return the integer counterpart with zeros in all its buffers."""
        raise NotImplementedError

    def to_integer(self) -> IntegerLayer:
        """Return the integer counterpart with rounded weights."""
        raise NotImplementedError


class IntegerLayer(nn.Module):
    """A layer whose buffers are integers, exact at run time."""

    def to_float(self) -> FloatLayer:
        """Return the float layer that this one was made of, but for what rounding took."""
        raise NotImplementedError

    def prepared(self, quality: int) -> nn.Module:
        """Return the layer for one quality, with all done that needs no input."""
        raise NotImplementedError

    def check(self, name: str) -> None:
        """Prove that no input can leave the range in which floating point is exact.

        Raises:
            BoundError: an input could, or a buffer holds something else than integers.
        """
        raise NotImplementedError


class FloatConv(FloatLayer):
    """A convolution in training: real weights, or simulated integers when `simulate` is set."""

    def __init__(self, inputs: int, outputs: int, kernel: int, input_min: int = -ACTIVATION_MAX):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.input_min = input_min
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

    def empty_integer(self) -> IntegerConv:
        """See `FloatLayer`."""
        outputs, inputs, kernel, _ = self.weight.shape
        return IntegerConv(inputs, outputs, kernel, self.input_min)

    @torch.no_grad()
    def to_integer(self) -> IntegerConv:
        """See `FloatLayer`."""
        integer = self.empty_integer()
        bias = self.bias.float() * UNIT
        integer.shift = channel_shifts(self.weight.float(), bias, self.input_min)
        integer.weight, integer.bias = quantise_filter(self.weight.float(), bias, integer.shift)
        return integer


class IntegerConv(IntegerLayer):
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
        return multiply_and_add(x, *self.scaled()).floor()

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Return w / 2^k and b / 2^k."""
        scale = self.weight.new_tensor(POWERS).index_select(0, self.shift.long())
        return self.weight * scale[:, None, None, None], self.bias * scale

    def prepared(self, quality: int) -> PreparedConv:
        """See `IntegerLayer`."""
        return PreparedConv(*self.scaled())

    @torch.no_grad()
    def to_float(self) -> FloatConv:
        """See `IntegerLayer`."""
        outputs, inputs, kernel, _ = self.weight.shape
        trained = FloatConv(inputs, outputs, kernel, self.input_min)
        scale = torch.exp2(-self.shift)
        trained.weight.copy_(self.weight * scale[:, None, None, None])
        trained.bias.copy_((self.bias * scale - 0.5) / UNIT)
        return trained

    def check(self, name: str) -> None:
        """Prove that no input can leave the exact range.

        Raises:
            BoundError: a weight, bias or sum is too large, or not an integer.
        """
        for values in (self.weight, self.bias, self.shift):
            if not torch.equal(values, values.floor()):
                raise BoundError(f"{name}: weights are not integers; convert the network first")
        if self.shift.min() < 1 or self.shift.max() > SHIFT_MAX:
            raise BoundError(f"{name}: a shift is outside 1...{SHIFT_MAX}")
        if self.weight.abs().max() > WEIGHT_MAX:
            raise BoundError(f"{name}: a weight exceeds {WEIGHT_MAX}")
        worst = float(largest_sum(self.weight, self.bias, self.input_min).max())
        if worst >= ACCUMULATOR_LIMIT:
            raise BoundError(f"{name}: sums reach {worst:.0f}, the limit is {ACCUMULATOR_LIMIT}")


def _between(knots: Tensor, quality: Tensor, unit: float = 1.0) -> tuple[Tensor, Tensor]:
    """Interpolate between knots (KNOTS, 2, C), times KNOT_SPAN over a unit: two of (B, C, ...).

    A unit of one leaves integers what they are.
    """
    places = torch.arange(0, QUALITIES, KNOT_SPAN, device=quality.device)
    distance = quality[:, None] - places if quality.dim() == 1 else quality - places[:, None, None]
    weights = (KNOT_SPAN - distance.abs()).clamp_min(0).to(knots.dtype)  # (B, KNOTS, ...)
    if unit != 1:
        weights = weights / unit
    with torch.autocast(quality.device.type, enabled=False):
        if quality.dim() == 1:
            scale, shift = (weights @ knots.flatten(1)).unflatten(1, knots.shape[1:]).unbind(1)
            return scale, shift
        none = knots.new_zeros(knots.shape[2])
        scale, shift = (
            multiply_and_add(weights, each.T[..., None, None], none) for each in knots.unbind(1)
        )
    return scale, shift


class FloatGain(FloatLayer):
    """Conditioning on quality: a scale and a shift a channel, linear between eleven knots."""

    def __init__(self, channels: int):
        super().__init__()
        knots = torch.zeros(KNOTS, 2, channels)
        knots[:, 0] = 1.0
        self.knots = nn.Parameter(knots)

    def rows(self, quality: Tensor, channels: Channels = EVERY) -> tuple[Tensor, Tensor]:
        """Return scale and shift of qualities, (B, c, ...) each, the shift in activations."""
        scale, shift = self.knots[:, :, channels].float().unbind(1)
        return _between(torch.stack([scale, shift * UNIT], dim=1), quality, KNOT_SPAN)

    def integer_knots(self, channels: Channels = EVERY) -> Tensor:
        """Return the knots (KNOTS, 2, C) of the `IntegerGain` that this becomes."""
        scale, shift = (self.knots[:, :, channels].float() * (UNIT * KNOT_UNIT)).unbind(1)
        limit = GAIN_MAX * KNOT_UNIT
        return round_through(torch.stack([scale.clamp(-limit, limit), shift], dim=1))

    def forward(self, x: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """Scale and shift the channels of x: (B, c, H, W) -> (B, c, H, W)."""
        if self.simulate:
            rows = _between(self.integer_knots(channels), quality)
            unit = KNOT_SPAN * KNOT_UNIT
            scale, shift = (over(x, round_through(row / unit)) for row in rows)
            return round_through(x.float() * (scale / UNIT) + shift)
        scale, shift = (over(x, row.to(x.dtype)) for row in self.rows(quality, channels))
        return x * scale + shift

    def empty_integer(self) -> IntegerGain:
        """See `FloatLayer`."""
        return IntegerGain(self.knots.shape[2])

    @torch.no_grad()
    def to_integer(self) -> IntegerGain:
        """See `FloatLayer`."""
        integer = self.empty_integer()
        integer.knots = self.integer_knots()
        return integer


class IntegerGain(IntegerLayer):
    """The same conditioning on integers: sixteenths at the knots, whole numbers between them."""

    knots: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("knots", torch.zeros(KNOTS, 2, channels))

    def rows(self, quality: Tensor, channels: Channels = EVERY) -> tuple[Tensor, Tensor]:
        """Return scale and shift at integer qualities, (B, c, ...) each, rounded.

        Numerators are below 2^24 and quotients below 2^12: no rounding of float32 moves one over
        an integer.
        """
        knots = self.knots if channels is EVERY else self.knots[:, :, channels]
        scale, shift = _between(knots, quality)
        unit = KNOT_SPAN * KNOT_UNIT
        return (scale / unit + 0.5).floor(), (shift / unit + 0.5).floor()

    def forward(self, x: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """floor((scale * x + 64 * shift + 32) / 64) for integer qualities."""
        scale, shift = (over(x, row) for row in self.rows(quality, channels))
        x = x.clamp(-PRE_GAIN_MAX, PRE_GAIN_MAX)
        return torch.addcmul(shift + 0.5, x, scale * (1 / UNIT)).floor()

    def prepared(self, quality: int) -> PreparedGain:
        """See `IntegerLayer`."""
        scale, shift = (row[..., None, None] for row in self.rows(torch.tensor([quality])))
        return PreparedGain(scale * (1 / UNIT), shift + 0.5)

    @torch.no_grad()
    def to_float(self) -> FloatGain:
        """See `IntegerLayer`."""
        trained = FloatGain(self.knots.shape[2])
        trained.knots.copy_(self.knots / (UNIT * KNOT_UNIT))
        return trained

    def check(self, name: str) -> None:
        """Prove that no input can leave the exact range.

        Raises:
            BoundError: a scale or shift is too large, or not an integer.
        """
        if not torch.equal(self.knots, self.knots.floor()):
            raise BoundError(f"{name}: gains are not integers; convert the network first")
        scale, shift = self.knots.abs().amax(dim=0)
        if scale.max() > GAIN_MAX * KNOT_UNIT or shift.max() > GAIN_SHIFT_MAX * KNOT_UNIT:
            raise BoundError(f"{name}: a gain exceeds {GAIN_MAX} or its shift {GAIN_SHIFT_MAX}")
