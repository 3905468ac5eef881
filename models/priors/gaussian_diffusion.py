"""Gaussian diffusion over the context, coded with bits-back.

Variational diffusion (Kingma et al. 2021) over x = u step / spread, the normalised context, with a
small UNet: the prior of DCT-VAE and DVP-VAE (appendix A, table 7).

    q(z_0 | x) q(z_1 | z_0) ... q(z_T | z_T-1)           the encoder's: adds noise
    p(z_T) p(z_T-1 | z_T) ... p(z_0 | z_1) p(u | z_0)    the decoder's: takes it away

The latents are coded as integers (`normal_bins`), and what the encoder chooses among them is not
lost: it pops its choice off the stack, from what lies there already (bits-back; Townsend et al.
2019). In the order of Bit-Swap (Kingma et al. 2019), a latent is pushed as soon as the next one is
chosen,

    pop z_0 | u    push u | z_0    pop z_1 | z_0    push z_0 | z_1    ...    push z_T

so that no more than the bits of two latents are ever missing; and patches are coded chunk by chunk,
so that it is two latents of one chunk. Popping undoes it from the right to the left.

The terms of the bound are those of `models.diffusion`, with x for u and z for y, in bits.

The network predicts x = alpha z - sigma v (v as in Salimans & Ho 2022, which keeps all sizes near
one), and then uses that x is a multiple of the step (`soft_rounding`).
"""

from __future__ import annotations

import functools
import math
from decimal import Context, Decimal, localcontext
from itertools import product

import torch
from torch import Tensor, nn

from ...codec.config import ModelConfig
from ...codec.quality.curve import MAX_QUALITY, step_of
from ...codec.symbols.fixed_point import ACTIVATION_MAX, KNOTS, UNIT
from ...codec.symbols.scales import SCALE_MAX, SCALE_MIN, SCALES
from .. import diffusion
from ..distributions import sum_images
from ..integer.norms import IntegerNorm, Norm
from .normal_bins import (
    DATA_BITS,
    LOG_SNR_MAX,
    LOG_SNR_MIN,
    integer,
    scaled,
    schedule_of,
)
from .soft_rounding import (
    MEAN_BITS,
    WIDTH_MIN,
    WIDTH_UNIT,
    WIDTHS_AN_OCTAVE,
    soft_round,
    soft_round_integers,
)
from .stack import TensorStack
from .unet import UNet

STEPS = 50
"""T of the papers; any other number works with the same weights."""

CHUNK = 4
"""Patches a side that are coded together: more would know more of each other, and borrow more."""

WIDTH, INNER_WIDTH = 64, 128

_ESCAPE_BITS = 40.0
"""What a symbol far from its mean takes: an escape under masses of 24 bits, then its distance."""

_LOG_2 = math.log(2)
_SCHEDULE = diffusion.Schedule("linear-log-snr", (LOG_SNR_MAX, LOG_SNR_MIN))
_LIMIT = ACTIVATION_MAX / UNIT
_DATA_MAX = ACTIVATION_MAX * 2**DATA_BITS // UNIT


class GaussianDiffusion(nn.Module):
    """Prior p(u) of the context.

    Attributes:
        steps: T, 1...1000; both sides need the same.
    """

    def __init__(self, config: ModelConfig, steps: int = STEPS):
        super().__init__()
        self.channels = config.context_channels
        self.steps = steps
        self.unet = UNet(self.channels, WIDTH, INNER_WIDTH)

    @torch.no_grad()
    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Start where z is all that is known: v = 0, and off by the noise of z.

        See `interface.ResearchPrior`.
        """
        units = WIDTH_UNIT * WIDTHS_AN_OCTAVE / UNIT  # an octave
        steps = step_of(torch.linspace(0, MAX_QUALITY, KNOTS, device=spread.device))
        log_snr = _SCHEDULE(torch.linspace(0, 1, KNOTS))
        log_sigma = 0.5 * torch.nn.functional.logsigmoid(-log_snr) / _LOG_2
        by_quality = torch.log2(spread / steps[:, None] / WIDTH_MIN)
        self.unet.start_widths(units * by_quality, units * log_sigma)

    def bits(self, u: Tensor, quality: Tensor, norm: Norm, continuous: bool = False) -> Tensor:
        """Return an estimate of the NELBO, whose mean is a bound on -log2 p(u).

        Args:
            u: (B, C, h, w) integers, or real numbers if `continuous`.
            quality: (B,).
            norm: a `FloatNorm`.
            continuous: count bits of a density, that of u in steps, and round no prediction.

        Returns:
            (3, B): bits of z_T, of all steps as estimated from one, of u.
        """
        step, share = self._draw_steps(len(u), u.device)
        x, unit = _data(u, quality, norm)
        steps = self._step_bits(x, unit, quality, step, continuous) / share
        return torch.stack([_last_bits(x), steps, _first_bits(x, unit, continuous)])

    def bound(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return the NELBO with every step, of chunks as they are coded.

        Args:
            u: (B, C, h, w) integers.
            quality: (B,).
            norm: a `FloatNorm`.

        Returns:
            (T + 2, B) bits, of z_T, of steps T-1...0, of u.
        """
        chunks = [u[:, :, rows, columns] for rows, columns in _chunks(u.shape[2], u.shape[3])]
        return torch.stack([self._chunk_bound(chunk, quality, norm) for chunk in chunks]).sum(0)

    def _chunk_bound(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        x, unit = _data(u, quality, norm)
        steps = [
            self._step_bits(x, unit, quality, torch.full_like(quality, i))
            for i in reversed(range(self.steps))
        ]
        return torch.stack([_last_bits(x), *steps, _first_bits(x, unit)])

    def _draw_steps(self, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Draw a step for each sample, and return them with their probabilities, (B,) each.

        Steps are drawn in proportion to alpha^2: what each costs where v = 0 and the variance is 1.
        Those of a batch are spread evenly, which takes much of the noise.
        """
        progress = torch.arange(1, self.steps + 1, device=device) / self.steps
        share = torch.sigmoid(_SCHEDULE(progress))
        share = share / share.sum()
        place = (torch.randperm(batch, device=device) + torch.rand(1, device=device)) / batch
        step = torch.bucketize(place, share.cumsum(0)).clamp_max(self.steps - 1)
        return step.float(), share[step]

    def _step_bits(
        self, x: Tensor, unit: Tensor, quality: Tensor, step: Tensor, continuous: bool = False
    ) -> Tensor:
        """Return KL(q(z_i | z_i+1, x) || p(z_i | z_i+1)), (B,) bits, at i = `step` (B,)."""
        progress = (step + 1) / self.steps
        log_snr, earlier = _SCHEDULE(progress), _SCHEDULE(step / self.steps)
        z = diffusion.forward(x, log_snr).draw()
        v, width = self.unet(z * UNIT, quality, progress * MAX_QUALITY)
        with torch.autocast(x.device.type, enabled=False):
            alpha, sigma = diffusion.alpha_sigma(log_snr, x)
            predicted = (alpha * z - sigma * v.float() / UNIT).clamp(-_LIMIT, _LIMIT)
            if not continuous:
                predicted = unit * soft_round(predicted / unit, width.float())
            error = log_snr.exp() * sum_images((x - predicted).square())
            return diffusion.step_kl(error, log_snr, earlier) / _LOG_2

    def push(
        self, stack: TensorStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        """Push the context (1, C, h, w) of a tile; see `interface.ContextPrior`.

        What lies on the stack must cover the initial bits of a chunk; the stack refuses if not.
        """
        coding = _Coding(self, quality, norm, mask)
        for rows, columns in reversed(_chunks(u.shape[2], u.shape[3])):
            coding.push(stack, u[0, :, rows, columns].long())

    def pop(
        self,
        stack: TensorStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        mask: Tensor,
    ) -> Tensor:
        """Pop the context (1, C, h, w), float64 integers, of `size` (h, w) patches."""
        coding = _Coding(self, quality, norm, mask)
        u = torch.zeros(1, self.channels, *size, dtype=torch.float64)
        for rows, columns in _chunks(*size):
            chunk = u[0, :, rows, columns]
            chunk += coding.pop(stack, (chunk.shape[1], chunk.shape[2]))
        return u


class _Coding:
    """The integers of one quality, and the two ways through a chunk."""

    def __init__(self, prior: GaussianDiffusion, quality: Tensor, norm: Norm, mask: Tensor):
        assert isinstance(norm, IntegerNorm), "only frozen networks code"
        self.unet, self.quality, self.mask = prior.unet, quality, mask
        self.schedule = schedule_of(prior.steps)
        # Q.14 deviations a symbol, and Q.9 symbols a deviation
        self.inward = norm.inward_table[quality[0]].long()[:, None, None]
        self.outward = norm.outward_table[quality[0]].long()[:, None, None]
        self.scale = torch.bucketize(self.outward, torch.tensor(_scale_limits()))

    def push(self, stack: TensorStack, u: Tensor) -> None:
        """Push the context (C, h, w) of a chunk, int64."""
        schedule = self.schedule
        k = self._scattered(schedule.first.pop(stack, self._only(self._start(u))), u)
        stack.push(*self._last(k), self._only(u))
        for i in range(schedule.steps):
            after = self._scattered(schedule.drawn.pop(stack, self._only(self._forward(k))), u)
            schedule.coded.push(stack, self._only(self._backward(i, after)), self._only(k))
            k = after
        schedule.last.push(stack, self._only(torch.zeros_like(k)), self._only(k))

    def pop(self, stack: TensorStack, size: tuple[int, int]) -> Tensor:
        """Pop the context (C, h, w) of a chunk, int64: `push`, from its end to its beginning."""
        schedule = self.schedule
        k = torch.zeros(len(self.mask), *size, dtype=torch.int64)
        k = self._scattered(schedule.last.pop(stack, self._only(k)), k)
        for i in reversed(range(schedule.steps)):
            before = self._scattered(schedule.coded.pop(stack, self._only(self._backward(i, k))), k)
            schedule.drawn.push(stack, self._only(self._forward(before)), self._only(k))
            k = before
        u = self._scattered(stack.pop(*self._last(k)), k)
        schedule.first.push(stack, self._only(self._start(u)), self._only(k))
        return u

    def _only(self, x: Tensor) -> Tensor:
        """(C, h, w) -> (n,), of the channels that are coded."""
        return x[self.mask].flatten()

    def _scattered(self, values: Tensor, like: Tensor) -> Tensor:
        """The inverse of `_only`, with zeros in the other channels."""
        x = torch.zeros_like(like)
        x[self.mask] = values.view(-1, *like.shape[1:])
        return x

    def _start(self, u: Tensor) -> Tensor:
        """Return the mean of q(k_0 | u), in offsets."""
        return scaled(_saturate(u * self.inward << (DATA_BITS - 14)), self.schedule.start)

    def _forward(self, k: Tensor) -> Tensor:
        """Return the mean of q(k_i+1 | k_i), in offsets."""
        return scaled(k, self.schedule.decay)

    def _backward(self, i: int, after: Tensor) -> Tensor:
        """Return the mean of p(k_i | k_i+1), in offsets."""
        schedule = self.schedule
        z = scaled(after, schedule.activation[i + 1]).to(self.unet.stem.weight.dtype) / 4
        progress = torch.tensor([(200 * (i + 1) + schedule.steps) // (2 * schedule.steps)])
        v, width = (out[0].long() for out in self.unet(z[None], self.quality, progress))
        x = _saturate(scaled(after, schedule.shrunk[i + 1]) - scaled(v, schedule.noise[i + 1]))
        rounded = soft_round_integers(scaled(x, self.outward, DATA_BITS + 1), width)
        x = scaled(rounded, self.inward, MEAN_BITS + 14 - DATA_BITS)
        return scaled(after, schedule.decay) + scaled(x, schedule.signal[i])

    def _last(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of u given k_0, in eighths, and the scale indices: (n,) each."""
        mean = scaled(scaled(k, self.schedule.data), self.outward, DATA_BITS + 9 - 3)
        return self._only(mean), self._only(self.scale.expand_as(mean))


def _data(u: Tensor, quality: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return x, and what a symbol is worth in it: (B, C, h, w) and (B, C, 1, 1)."""
    one = u.new_ones(len(u), u.shape[1], 1, 1)
    return norm.inward(u, quality) / UNIT, norm.inward(one, quality) / UNIT


def _first_bits(x: Tensor, unit: Tensor, continuous: bool = False) -> Tensor:
    """Return the bits of u given a random z_0, (B,)."""
    log_snr = _SCHEDULE(x.new_zeros(len(x)))
    last = diffusion.likelihood(diffusion.forward(x, log_snr).draw(), log_snr)
    if continuous:
        nats = -diffusion.log_units(last, x, None) - unit.log()  # of u, in steps
        return sum_images(nats) / _LOG_2
    nats = -diffusion.log_units(last, x, unit)
    return sum_images((nats / _LOG_2).clamp_max(_ESCAPE_BITS))


def _last_bits(x: Tensor) -> Tensor:
    """Return KL(q(z_T | x) || p(z_T)), (B,) bits."""
    return diffusion.prior_kl(x, _SCHEDULE(x.new_ones(len(x)))) / _LOG_2


def _saturate(x: Tensor) -> Tensor:
    return x.clamp(-_DATA_MAX, _DATA_MAX)


def _chunks(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return the chunks of a tile, in the order of popping."""
    rows, columns = (
        [slice(at, min(at + CHUNK, side)) for at in range(0, side, CHUNK)]
        for side in (height, width)
    )
    return list(product(rows, columns))


@functools.cache
def _scale_limits() -> list[int]:
    """Return the factors from symbols to deviations (Q.9) between which scales change.

    The noise of z_0 / alpha_0 is exp(-7 / 2) deviations; the scale nearest to it is taken.
    """
    with localcontext(Context(prec=24)):
        lowest = Decimal(2**9) * (Decimal(LOG_SNR_MAX) / 2).exp() * Decimal(str(SCALE_MIN))
        ratio = Decimal(SCALE_MAX) / Decimal(str(SCALE_MIN))
        return [
            integer(lowest * ratio ** ((j - Decimal("0.5")) / (SCALES - 1)), 0)
            for j in range(1, SCALES)
        ]
