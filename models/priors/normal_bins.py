"""Latents of a Gaussian diffusion as integers: bins, their masses, and the schedule.

The log-SNR of z_i falls linearly, log-SNR_i = 7 - 17 i / T, with alpha_i^2 + sigma_i^2 = 1
(variance-preserving; Kingma et al. 2021; DVP-VAE, table 7). Let D = 17 / T, c = 1 - exp(-D). Then
both conditionals of z_i have the same standard deviation, sigma_i sqrt(c): that of q(z_i | z_i-1),
with which the encoder draws it, and that of p(z_i | z_i+1), with which it is coded. So z_i is
measured in bins of a quarter of it, k_i = 4 z_i / (sigma_i sqrt(c)), and all is one picture:

    q(k_0 | x)       mean 4 exp(logSNR_0 / 2) / sqrt(c) x                     deviation 4 / sqrt(c)
    q(k_i+1 | k_i)   mean exp(-D/2) k_i                                       deviation 4
    p(k_i | k_i+1)   mean exp(-D/2) k_i+1 + 4 sqrt(c) exp(logSNR_i / 2) x^    deviation 4
    p(k_T)           mean 0                                     deviation 4 / (sigma_T sqrt(c))

Means are multiples of 1/64 bin, so one table of 64 rows serves every inner step, and one such table
the ends. The bins are equal in width, not in mass under N(0, 1): the context has tails of 16
deviations, where bins of equal mass are wider than the noise.

A latent is a number on a ring of 2**16 bins: whatever is popped can be pushed.

Every constant here comes from `decimal`, whose results are the same on every machine, and every
table from integers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import torch
from torch import Tensor

from ...bitstream.escape import TOTAL
from .stack import TensorStack

LOG_SNR_MAX, LOG_SNR_MIN = 7, -10
BINS_A_DEVIATION = 4
"""Rounding to bins adds 1/192 to a step's variance; finer ones would only borrow more bits."""

OFFSETS_A_BIN = 64
"""Means are multiples of 1/64 bin, 1/256 deviation."""

MAX_STEPS = 1000
RING = 2**16

DATA_BITS = 16
"""The context x and what is predicted of it are integers in units of 2**-16 deviations."""

FACTOR_BITS = 24
"""Fractional bits of the factors of a schedule."""

_DIGIT = 64
_CDF_STEPS = 256  # points of the table of the normal distribution a deviation
_CDF_REACH = 8  # deviations
_CDF_BITS = 32


def integer(value: Decimal, bits: int) -> int:
    """Round to a multiple of 2**-bits, as an integer."""
    return int((value * 2**bits).to_integral_value(ROUND_HALF_EVEN))


def scaled(values: Tensor, factor: int | Tensor, bits: int = FACTOR_BITS) -> Tensor:
    """Multiply int64 by a factor of so many fractional bits, rounding half up."""
    return (values * factor + (1 << (bits - 1))) >> bits


@dataclass(frozen=True)
class Schedule:
    """The constants of T steps. A factor has `FACTOR_BITS` fractional bits; lists go by step.

    Attributes:
        decay: of k to the mean of its neighbour, in offsets.
        start: of x to the mean of k_0, in offsets.
        signal: of a prediction of x to the mean of k_i, in offsets; i = 0...T-1.
        activation: of k_i to quarters of an activation of z_i; i = 0...T.
        shrunk: of k_i to alpha_i z_i in units of data; i = 0...T.
        noise: of activations to sigma_i times them, in units of data; i = 0...T.
        data: of k_0 to z_0 / alpha_0 in units of data.
        first: the pmfs of q(k_0 | x).
        drawn: the pmfs of q(k_i+1 | k_i).
        coded: the pmfs of p(k_i | k_i+1).
        last: the pmfs of p(k_T).
    """

    decay: int
    start: int
    signal: list[int]
    activation: list[int]
    shrunk: list[int]
    noise: list[int]
    data: int
    first: Bins
    drawn: Bins
    coded: Bins
    last: Bins

    @property
    def steps(self) -> int:
        """T."""
        return len(self.signal)


@functools.lru_cache(maxsize=8)
def schedule_of(steps: int) -> Schedule:
    """Return the schedule of `steps` steps, 1...1000.

    Raises:
        ValueError: `steps` is something else.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"a diffusion has 1...{MAX_STEPS} steps, not {steps}")
    with localcontext(Context(prec=40)):
        bins, offsets = Decimal(BINS_A_DEVIATION), Decimal(OFFSETS_A_BIN)
        data, delta = Decimal(2**DATA_BITS), Decimal(LOG_SNR_MAX - LOG_SNR_MIN) / steps
        root = (1 - (-delta).exp()).sqrt()  # sqrt(c)
        snr = [(LOG_SNR_MAX - delta * i).exp() for i in range(steps + 1)]
        sigma = [(1 / (1 + s)).sqrt() for s in snr]
        alpha = [(s / (1 + s)).sqrt() for s in snr]

        def factor(value: Decimal) -> int:
            return integer(value, FACTOR_BITS)

        return Schedule(
            decay=factor((-delta / 2).exp() * offsets),
            start=factor(bins * offsets * snr[0].sqrt() / root / data),
            signal=[factor(bins * offsets * root * s.sqrt() / data) for s in snr[:-1]],
            activation=[factor(256 * s * root / bins) for s in sigma],
            shrunk=[factor(data * a * s * root / bins) for a, s in zip(alpha, sigma, strict=True)],
            noise=[factor(data / 64 * s) for s in sigma],
            data=factor(data * sigma[0] * root / bins / alpha[0]),
            first=Bins(bins / root, turned=True),
            drawn=Bins(bins, turned=True),
            coded=Bins(bins),
            last=Bins(bins / root / sigma[-1]),
        )


class Bins:
    """The pmfs over the bins about means of 0...63 offsets, for one deviation.

    All bins of the ring that are not in the window about the mean share one entry, the escape.

    What is popped right after a symbol was pushed is not independent of it: a symbol of small mass
    all but fixes the state's last 24 bits, which choose what is popped. So what the encoder draws
    has its entries turned by half a window: after a symbol in the tail it draws one near the mean,
    and not another one in the tail.

    Attributes:
        rows: int64 (64, window + 1), all >= 1, each of sum 2**24.
        window: number of bins, a multiple of 64.
    """

    def __init__(self, deviation: Decimal, turned: bool = False):
        """Integrate N(offset / 64, deviation^2), in bins."""
        self.window = _DIGIT * -int(-deviation * 2 * _CDF_REACH // _DIGIT)
        first = OFFSETS_A_BIN * (1 - self.window // 2) - OFFSETS_A_BIN // 2
        edges = first + OFFSETS_A_BIN * torch.arange(self.window + 1)
        edges = edges - torch.arange(OFFSETS_A_BIN)[:, None]  # of bins, from the mean, in offsets
        below = _normal_cdf(edges, integer(_CDF_STEPS / (deviation * OFFSETS_A_BIN), 32))
        mass = ((below[:, 1:] - below[:, :-1]) >> (_CDF_BITS - 24)).clamp_min(1)
        mass = torch.cat([mass, mass.new_ones(OFFSETS_A_BIN, 1)], dim=1)
        largest = mass.argmax(dim=1, keepdim=True)
        mass = mass.scatter_add(1, largest, TOTAL - mass.sum(dim=1, keepdim=True))
        self._turn = self.window // 2 if turned else 0
        self.rows = mass.roll(-self._turn, dims=1)
        self._high, self._low = _uniform((RING - self.window) // _DIGIT), _uniform(_DIGIT)

    def push(self, stack: TensorStack, mean: Tensor, latents: Tensor) -> None:
        """Push latents (n,) in -2**15...2**15 - 1 under means (n,) in offsets; all int64."""
        pmf, first = self._at(mean)
        distance = (latents - first) % RING
        far = distance[distance >= self.window] - self.window
        if len(far):
            stack.push_under(self._low.expand(len(far), -1), far % _DIGIT)
            stack.push_under(self._high.expand(len(far), -1), far // _DIGIT)
        entry = distance.clamp_max(self.window) - self._turn
        stack.push_under(pmf, entry % (self.window + 1))

    def pop(self, stack: TensorStack, mean: Tensor) -> Tensor:
        """Pop what was pushed under the same means: int64 (n,) in -2**15...2**15 - 1."""
        pmf, first = self._at(mean)
        distance = (stack.pop_under(pmf) + self._turn) % (self.window + 1)
        escaped = distance == self.window
        if count := int(escaped.sum()):
            far = _DIGIT * stack.pop_under(self._high.expand(count, -1))
            far = far + stack.pop_under(self._low.expand(count, -1))
            distance[escaped] = far + self.window
        return (distance + first + RING // 2) % RING - RING // 2

    def _at(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pmfs about the means, and the first bins of their windows."""
        return self.rows[mean % OFFSETS_A_BIN], mean // OFFSETS_A_BIN + 1 - self.window // 2


def _uniform(count: int) -> Tensor:
    """Return the (1, count) integer pmf of equal masses, the first ones greater by one."""
    return (TOTAL // count + (torch.arange(count) < TOTAL % count).long())[None]


def _normal_cdf(at: Tensor, factor: int) -> Tensor:
    """Return the normal distribution at `at` * `factor` * 2**-32 / 256 deviations, times 2**32."""
    table = torch.tensor(_cdf_table())
    limit = (2 * _CDF_REACH * _CDF_STEPS) << 32
    place = (at * factor + limit // 2).clamp(0, limit - 1)
    left, part = place >> 32, place % 2**32
    return table[left] + (((table[left + 1] - table[left]) * part) >> 32)


@functools.cache
def _cdf_table() -> list[int]:
    """Return the standard normal distribution from -8 to 8, by Simpson's rule, times 2**32."""
    with localcontext(Context(prec=24)):
        half = Decimal(1) / (2 * _CDF_STEPS)
        points = [-((half * i) ** 2) / 2 for i in range(2 * _CDF_REACH * _CDF_STEPS + 1)]
        density = [p.exp() for p in points]  # but for its constant; from the mean outwards
        area, areas = Decimal(0), [Decimal(0)]
        for a, b, c in zip(density[::2], density[1::2], density[2::2], strict=False):
            area += (a + 4 * b + c) * half / 3
            areas.append(area)
        one = 2**_CDF_BITS
        upper = [one // 2 + integer(a / area / 2, _CDF_BITS) for a in areas]
    return [one - u for u in upper[:0:-1]] + upper
