"""Integer arithmetic carried in floating point: what makes decoding exact on every machine.

Formats. All values are integers, held in float32 (or float64) tensors:

    activation   x: Q4.6, |x| <= 1023    (`UNIT` = 64 stands for 1.0)
    weight       w: Q(7-k).k, |w| <= 127 (k = `shift`, one a filter)
    bias         b: Q4.(6+k)
    accumulator  a = sum w x + b: Q.(6+k), |a| < 2^24, so that float32 holds every partial sum
    gain         g: Q2.6, |g| <= 255     (a scale, and a shift like an activation, a channel)

Every product and every partial sum is an integer below 2^24. Floating point adds such numbers
without rounding, in any order, so the result does not depend on the instruction set, the number of
threads, the batch or the convolution algorithm (as long as it multiplies and adds: no Winograd, no
FFT). A right shift is a multiplication by 2^-k and a floor, both exact.

The layers that compute so are in `layers`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...codec.errors import BoundError
from ...codec.symbols.fixed_point import ACCUMULATOR_LIMIT, ACTIVATION_MAX

WEIGHT_MAX = 127
GAIN_MAX = 255
SHIFT_MAX = 14
POWERS = [2.0**-k for k in range(SHIFT_MAX + 1)]
"""The factors of shifts, exact on every machine as `exp2` need not be."""

PRE_GAIN_MAX = ACCUMULATOR_LIMIT // (2 * GAIN_MAX) - 1
GAIN_SHIFT_MAX = 2047
"""Largest shift of a gain, in activations; its knots then fit 16 bits."""


def saturate(x: Tensor, low: int = -ACTIVATION_MAX) -> Tensor:
    """Clamp to the range of activations; `low=0` is the rectifier."""
    return x.clamp(low, ACTIVATION_MAX)


def two_scales(x: Tensor, left: int, right: int) -> Tensor:
    """Show a value of wide range twice: shifted left, saturating early, and shifted right.

    (B, C, H, W) integers -> (B, 2C, H, W) activations. What matters of a latent to its neighbours
    is the order of its magnitude, from fractions of a step to dozens.
    """
    fine = saturate(x * 2.0**left) if left else saturate(x)
    return torch.cat([fine, saturate(round_through(x * 2.0**-right))], dim=1)


def round_through(x: Tensor) -> Tensor:
    """Round half up, with the gradient of the identity."""
    if not x.requires_grad:
        return torch.floor(x + 0.5)
    return x + (torch.floor(x + 0.5) - x).detach()


def channel_shifts(weight: Tensor, bias: Tensor, input_min: int) -> Tensor:
    """Return the largest shift of each filter for which weights fit and sums stay below 2^24.

    (It may be one too small where nearly all of the sum is a negative bias.)

    Args:
        weight: (O, I, k, k) float, in real units.
        bias: (O,) float, in units of activations (1/64).
        input_min: smallest input, 0 or -1023.
    """
    largest = weight.abs().amax(dim=(1, 2, 3)).clamp_min(2.0**-20)
    fits = torch.minimum((WEIGHT_MAX + 0.49) / largest, ACCUMULATOR_LIMIT / bias.abs())
    shift = torch.floor(torch.log2(fits)).clamp(1, SHIFT_MAX)
    # Each turn halves what the worst weights can sum to (twice that, for rounding). How many it may
    # take is known: asking whether it is enough would make a GPU wait. `IntegerConv.check` proves
    # it.
    worst = 2 * WEIGHT_MAX * ACTIVATION_MAX * weight[0].numel() + 2 * ACCUMULATOR_LIMIT
    for _ in range(min(SHIFT_MAX, (worst // ACCUMULATOR_LIMIT).bit_length())):
        w, b = quantise_filter(weight, bias, shift)
        over = (largest_sum(w, b, input_min) >= ACCUMULATOR_LIMIT) & (shift > 1)
        shift = shift - over.to(shift.dtype)
    return shift


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


def leaky_clamp(x: Tensor, least: float, most: float) -> Tensor:
    """Saturate; in training a tenth of the gradient passes, or nothing could ever come back."""
    inside = x.clamp(least, most)
    if x.requires_grad:
        beyond = 0.1 * (x - inside)
        inside = inside + (beyond - beyond.detach())
    return inside


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve, same size: (B, I, H, W) -> (B, O, H, W). There may be no position at all."""
    if not x.numel():  # which conv2d refuses
        return x.new_zeros(x.shape[0], len(weight), *x.shape[2:])
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def multiply_and_add(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve, same size, by nothing but products and sums.

    cuDNN may choose Winograd's or an FFT algorithm, which are not exact; a matrix product never
    does. (On CPUs only NNPACK would, and only without oneDNN for batches of 16 and more: batch
    fewer tiles.)
    """
    if x.device.type == "cpu" or not x.numel():
        return convolve(x, weight, bias)
    return unfolded(x, weight, bias)


def unfolded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve, same size, as a matrix product."""
    size = weight.shape[-1]
    columns = F.unfold(x, size, padding=size // 2)  # (B, I size^2, H W)
    return (weight.flatten(1) @ columns + bias[:, None]).unflatten(2, x.shape[2:])


def check_arithmetic(device: torch.device | None = None) -> None:
    """Convolve numbers near the bound, whose sums are known, as the networks here would.

    Libraries can be told to compute in fewer bits (oneDNN's ONEDNN_DEFAULT_FPMATH_MODE, torch's
    fp32_precision): files written so would decode nowhere else.

    Raises:
        BoundError: the sums are not exact.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(ACTIVATION_MAX - 63, ACTIVATION_MAX + 1, (1, 32, 24, 40), generator=generator)
    largest = ACCUMULATOR_LIMIT // (32 * 3 * 3 * ACTIVATION_MAX)
    weight = torch.randint(largest - 16, largest + 1, (32, 32, 3, 3), generator=generator)
    weight[::2] *= -1
    columns = F.unfold(x.double(), 3, padding=1)
    expected = (weight.double().flatten(1) @ columns).view(1, 32, 24, 40)
    numbers = (values.float().to(device) for values in (x, weight, torch.zeros(32)))
    sums = multiply_and_add(*numbers)
    if not torch.equal(sums.cpu().double(), expected):
        raise BoundError("convolutions are not exact here: some setting computes in fewer bits")
