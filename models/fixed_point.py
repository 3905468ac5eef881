"""Integer arithmetic carried in floating point: what makes decoding exact on every machine.

Formats. All values are integers, held in float32 (or float64) tensors:

    activation   x: Q4.6, |x| <= 1023    (`UNIT` = 64 stands for 1.0)
    weight       w: Q(7-k).k, |w| <= 127 (k = `shift`, one a filter)
    bias         b: Q4.(6+k)
    accumulator  a = sum w x + b: Q.(6+k), |a| < 2^24, so that float32 holds every partial sum
    gain         g: Q2.6, |g| <= 255     (a scale and a shift a channel, a row a quality)

Every product and every partial sum is an integer below 2^24. Floating point adds such numbers
without rounding, in any order, so the result does not depend on the instruction set, the number of
threads, the batch or the convolution algorithm (as long as it multiplies and adds: no Winograd, no
FFT). A right shift is a multiplication by 2^-k and a floor, both exact.

The trunk and the prior are written once, over two kinds of leaves with the same names:
`FLOAT` leaves train (in real numbers of the same scale, optionally with simulated rounding),
`INTEGER` leaves run. `freeze` turns the first into the second and proves the bound on the way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import BoundError
from .quality import QUALITIES, step_of

UNIT = 64
ACTIVATION_MAX = 1023
WEIGHT_MAX = 127
GAIN_MAX = 255
SHIFT_MAX = 14
ACCUMULATOR_LIMIT = 2**24
_POWERS = [2.0**-k for k in range(SHIFT_MAX + 1)]
PRE_GAIN_MAX = ACCUMULATOR_LIMIT // (2 * GAIN_MAX) - 1
KNOTS = 11
"""Points between which training interpolates what depends on quality."""

OFFSETS = 8
"""Means of the context are eighths of a symbol; a pmf table exists for each of the eight."""


def saturate(x: Tensor, low: int = -ACTIVATION_MAX) -> Tensor:
    """Clamp to the range of activations; `low=0` is the rectifier."""
    return x.clamp(low, ACTIVATION_MAX)


def two_scales(x: Tensor, left: int, right: int) -> Tensor:
    """Show a value of wide range twice: shifted left, saturating early, and shifted right.

    (B, C, H, W) integers -> (B, 2C, H, W) activations. What matters of a latent to its neighbours
    is the order of its magnitude, from fractions of a step to dozens.
    """
    coarse = round_through(x * 2.0**-right)
    return torch.cat([saturate(x * 2.0**left), saturate(coarse)], dim=1)


def round_through(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def channel_shifts(weight: Tensor, bias: Tensor, input_min: int) -> Tensor:
    """Return the largest shift of each filter for which weights fit and sums stay below 2^24.

    Args:
        weight: (O, I, k, k) float, in real units.
        bias: (O,) float, in units of activations (1/64).
        input_min: smallest input, 0 or -1023.
    """
    largest = weight.abs().amax(dim=(1, 2, 3)).clamp_min(2.0**-20)
    shift = torch.floor(torch.log2((WEIGHT_MAX + 0.49) / largest)).clamp(1, SHIFT_MAX)
    while True:
        w, b = quantise_filter(weight, bias, shift)
        over = (largest_sum(w, b, input_min) >= ACCUMULATOR_LIMIT) & (shift > 1)
        if not bool(over.any()):
            return shift
        shift = shift - over.to(shift.dtype)


def quantise_filter(weight: Tensor, bias: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Round weights to k fractional bits, and the bias together with the half for rounding."""
    scale = torch.exp2(shift)
    w = torch.floor(weight * scale[:, None, None, None] + 0.5)
    b = torch.floor(bias * scale + 0.5) + torch.exp2(shift - 1)
    return w, b


def largest_sum(weight: Tensor, bias: Tensor, input_min: int) -> Tensor:
    """Return a bound on the magnitude of any partial sum of each filter, in any order.

    Inputs lie in input_min...1023, so every partial sum lies between the sum of all its least
    terms and the sum of all its greatest.
    """
    w = weight.double()
    positive = w.clamp_min(0).sum(dim=(1, 2, 3))
    negative = -w.clamp_max(0).sum(dim=(1, 2, 3))
    upper = positive * ACTIVATION_MAX - negative * input_min
    lower = negative * ACTIVATION_MAX - positive * input_min
    return torch.maximum(upper, lower) + bias.double().abs()


def multiply_and_add(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve, same size, by nothing but products and sums.

    cuDNN may choose Winograd's or an FFT algorithm, which are not exact; a matrix product never
    does. (On CPUs only NNPACK would, and only without oneDNN for batches of 16 and more: batch
    fewer tiles.)
    """
    size = weight.shape[-1]
    if x.device.type == "cpu":
        return F.conv2d(x, weight, bias, padding=size // 2)
    columns = F.unfold(x, size, padding=size // 2)  # (B, I size^2, H W)
    return (weight.flatten(1) @ columns + bias[:, None]).unflatten(2, x.shape[2:])


def check_arithmetic() -> None:
    """Convolve numbers near the bound, whose sums are known, as the networks here would.

    Libraries can be told to compute in fewer bits (oneDNN's ONEDNN_DEFAULT_FPMATH_MODE, torch's
    fp32_precision): files written so would decode nowhere else.

    Raises:
        BoundError: the sums are not exact.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(ACTIVATION_MAX - 63, ACTIVATION_MAX + 1, (1, 32, 24, 40), generator=generator)
    weight = torch.randint(-WEIGHT_MAX // 2, WEIGHT_MAX // 2, (32, 32, 3, 3), generator=generator)
    columns = F.unfold(x.double(), 3, padding=1)
    expected = (weight.double().flatten(1) @ columns).view(1, 32, 24, 40)
    sums = multiply_and_add(x.float(), weight.float(), torch.zeros(32))
    if not torch.equal(sums.double(), expected):
        raise BoundError("convolutions are not exact here: some setting computes in fewer bits")


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
        pad = self.weight.shape[-1] // 2
        weight, bias = self.weight, self.bias * UNIT
        if not self.simulate:
            return F.conv2d(x, weight, bias, padding=pad)
        with torch.no_grad():
            shift = channel_shifts(weight, bias, self.input_min)
            w, b = quantise_filter(weight, bias, shift)
            scale = torch.exp2(-shift)
            w, b = w * scale[:, None, None, None], (b - torch.exp2(shift - 1)) * scale
        weight = weight + (w - weight).detach()
        bias = bias + (b - bias).detach()
        with torch.autocast(x.device.type, enabled=False):
            return round_through(F.conv2d(x.float(), weight, bias, padding=pad))


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
        scale = x.new_tensor(_POWERS)[self.shift.long()]
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
        at = quality.float() * ((KNOTS - 1) / (QUALITIES - 1))
        places = torch.arange(KNOTS, device=at.device)
        hat = (1 - (at[:, None] - places).abs()).clamp_min(0)  # (B, KNOTS)
        with torch.autocast(at.device.type, enabled=False):
            rows = torch.einsum("bk,kic->bic", hat, self.knots.float())
        return rows * torch.tensor([1.0, UNIT], device=rows.device)[:, None]

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        rows = self.table(quality)
        if self.simulate:
            limit = GAIN_MAX / UNIT
            scale = round_through(rows[:, 0].clamp(-limit, limit) * UNIT) / UNIT
            shift = round_through(rows[:, 1])
            return round_through(x.float() * scale[:, :, None, None] + shift[:, :, None, None])
        scale, shift = rows.to(x.dtype)[..., None, None].unbind(1)
        return x * scale + shift


class IntegerGain(nn.Module):
    """The same conditioning on integers: one row of a table a quality."""

    table: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(QUALITIES, 2, channels))

    def forward(self, x: Tensor, quality: Tensor) -> Tensor:
        """floor((scale * x + 64 * shift + 32) / 64) for integer `quality` (B,)."""
        scale, shift = (self.table[quality] * (1 / UNIT))[..., None, None].unbind(1)
        return torch.addcmul(shift, x.clamp(-PRE_GAIN_MAX, PRE_GAIN_MAX), scale).floor_()

    def check(self, name: str) -> None:
        """Prove that no input can leave the exact range.

        Raises:
            BoundError: a scale or shift is too large, or not an integer.
        """
        if not torch.equal(self.table, self.table.floor()):
            raise BoundError(f"{name}: gains are not integers; freeze the network first")
        scale, shift = self.table.abs().amax(dim=0)
        if float((scale * PRE_GAIN_MAX + shift).max()) >= ACCUMULATOR_LIMIT:
            raise BoundError(f"{name}: a gain exceeds {GAIN_MAX} or its shift is too large")


class FloatNorm(nn.Module):
    """Brings context symbols to activations and back: x = 64 * u * step / spread.

    `spread` (C,) is each coefficient's standard deviation in pixels, measured on training images.
    """

    spread: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("spread", torch.ones(channels))

    def _ratio(self, quality: Tensor) -> Tensor:
        return (step_of(quality)[:, None] / self.spread)[..., None, None]  # (B, C, 1, 1)

    def inward(self, symbols: Tensor, quality: Tensor) -> Tensor:
        """(B, C, h, w) symbols -> activations."""
        return saturate(symbols * self._ratio(quality) * UNIT)

    def outward(self, x: Tensor, quality: Tensor, channels: slice) -> Tensor:
        """(B, c, h, w) activations of some channels -> eighths of symbols."""
        return x / self._ratio(quality)[:, channels] * (OFFSETS / UNIT)


class IntegerNorm(nn.Module):
    """The same on integers, carried in float64: a table row a quality for each direction."""

    inward_table: Tensor
    outward_table: Tensor

    def __init__(self, channels: int):
        super().__init__()
        for name in ("inward_table", "outward_table"):
            self.register_buffer(name, torch.zeros(QUALITIES, channels, dtype=torch.float64))

    def inward(self, symbols: Tensor, quality: Tensor) -> Tensor:
        """Q.0 context times Q.8 -> saturated activations (float64)."""
        factor = self.inward_table[quality][..., None, None]
        return saturate(torch.floor(symbols.double() * factor * 2.0**-8 + 0.5))

    def outward(self, x: Tensor, quality: Tensor, channels: slice) -> Tensor:
        """Activations times Q.12 -> eighths of symbols (float64)."""
        factor = self.outward_table[quality][:, channels, None, None]
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
            rows = source.table(torch.arange(QUALITIES))
            limit = GAIN_MAX / UNIT
            scale = torch.floor(rows[:, 0].clamp(-limit, limit) * UNIT + 0.5)
            shift = torch.floor(rows[:, 1] + 0.5) * UNIT + UNIT // 2
            leaf.table = torch.stack([scale, shift], dim=1)
        elif isinstance(leaf, IntegerNorm):
            assert isinstance(source, FloatNorm)
            ratio = step_of(torch.arange(QUALITIES))[:, None].double() / source.spread.double()
            leaf.inward_table = torch.floor(ratio * (UNIT * 2**8) + 0.5)
            leaf.outward_table = torch.floor(OFFSETS / UNIT * 2**12 / ratio + 0.5)
    check(integer)


def check(integer: nn.Module) -> None:
    """Prove the bound for every integer leaf of a network, at export and again when loading.

    Raises:
        BoundError: a leaf could leave the exact range.
    """
    for name, leaf in integer.named_modules():
        if isinstance(leaf, (FloatConv, FloatGain)):
            raise BoundError(f"{name}: a float layer decides symbols; freeze the network first")
        if isinstance(leaf, (IntegerConv, IntegerGain, IntegerNorm)):
            leaf.check(name)
