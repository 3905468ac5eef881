"""The norm between symbols of the context and activations, in the two kinds of `layers`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...codec.errors import BoundError
from ...codec.quality.curve import QUALITIES, step_of
from ...codec.symbols.fixed_point import (
    ACTIVATION_MAX,
    CONTEXT_UNIT,
    INWARD_UNIT,
    OUTWARD_UNIT,
    UNIT,
)
from ..qualities import over, without_channels
from .fixed_point import saturate
from .layers import FloatLayer, IntegerLayer
from .prepared import EVERY, Channels, PreparedNorm


def _rows(table: Tensor, quality: Tensor, channels: Channels) -> Tensor:
    """Look the rows of qualities up in a table (QUALITIES, C): (B, c, ...)."""
    return F.embedding(without_channels(quality), table[:, channels]).movedim(-1, 1)


class FloatNorm(FloatLayer):
    """Brings context symbols to activations and back: x = 64 * u * step / spread.

    `spread` (C,) is each coefficient's standard deviation on training images, in pixels over the
    gain of its step.
    """

    spread: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("spread", torch.ones(channels))

    def _ratio(self, quality: Tensor, channels: Channels) -> Tensor:
        ratio = step_of(without_channels(quality))[..., None] / self.spread[channels]
        return ratio.movedim(-1, 1)  # (B, c, ...)

    def inward(self, symbols: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """(B, c, ...) symbols of some channels -> activations."""
        return saturate(symbols * over(symbols, self._ratio(quality, channels)) * UNIT)

    def outward(self, x: Tensor, quality: Tensor, channels: Channels) -> Tensor:
        """(B, c, ...) activations of some channels -> eighths of symbols."""
        return x / over(x, self._ratio(quality, channels)) * (CONTEXT_UNIT / UNIT)

    def empty_integer(self) -> IntegerNorm:
        """See `FloatLayer`."""
        return IntegerNorm(len(self.spread))

    @torch.no_grad()
    def to_integer(self) -> IntegerNorm:
        """See `FloatLayer`."""
        integer = self.empty_integer()
        ratio = step_of(torch.arange(QUALITIES))[:, None].double() / self.spread.double()
        integer.inward_table = torch.floor(ratio * (UNIT * INWARD_UNIT) + 0.5)
        integer.outward_table = torch.floor(CONTEXT_UNIT / UNIT * OUTWARD_UNIT / ratio + 0.5)
        return integer


class IntegerNorm(IntegerLayer):
    """The same on integers, carried in float64: a table row a quality for each direction."""

    inward_table: Tensor
    outward_table: Tensor

    def __init__(self, channels: int):
        super().__init__()
        for name in ("inward_table", "outward_table"):
            self.register_buffer(name, torch.zeros(QUALITIES, channels, dtype=torch.float64))

    def inward(self, symbols: Tensor, quality: Tensor, channels: Channels = EVERY) -> Tensor:
        """Q.0 context times Q.8 -> saturated activations (float64)."""
        factor = over(symbols, _rows(self.inward_table, quality, channels))
        return saturate(torch.floor(symbols.double() * factor / INWARD_UNIT + 0.5))

    def outward(self, x: Tensor, quality: Tensor, channels: Channels) -> Tensor:
        """Activations times Q.12 -> eighths of symbols (float64)."""
        factor = over(x, _rows(self.outward_table, quality, channels))
        return torch.floor(x.double() * factor / OUTWARD_UNIT + 0.5)

    def prepared(self, quality: int) -> PreparedNorm:
        """See `IntegerLayer`."""
        inward = self.inward_table[quality] / INWARD_UNIT
        outward = self.outward_table[quality] / OUTWARD_UNIT
        return PreparedNorm(inward[None, :, None], outward[None, :, None])

    def check(self, name: str) -> None:
        """Prove that all products stay below 2^53.

        A context is a symbol, |s| <= 2^20, and the whole part of a mean.

        Raises:
            BoundError: a factor is too large, or not an integer.
        """
        for table in (self.inward_table, self.outward_table):
            if not torch.equal(table, table.floor()):
                raise BoundError(f"{name}: factors are not integers; convert the network first")
        mean = ACTIVATION_MAX * float(self.outward_table.abs().max())
        context = 2**20 + mean / OUTWARD_UNIT / CONTEXT_UNIT + 1
        if max(mean, context * float(self.inward_table.abs().max())) >= 2**52:
            raise BoundError(f"{name}: a factor is too large for float64")

    @torch.no_grad()
    def to_float(self) -> FloatNorm:
        """Return spreads that `to_integer` makes these very tables of: every entry bounds them."""
        step = step_of(torch.arange(QUALITIES))[:, None].double()
        inward, outward = step * (UNIT * INWARD_UNIT), step * (UNIT / (CONTEXT_UNIT * OUTWARD_UNIT))
        least = torch.maximum(
            (inward / (self.inward_table + 0.5)).amax(0),
            ((self.outward_table - 0.5) * outward).amax(0),
        )
        most = torch.minimum(
            (inward / (self.inward_table - 0.5)).amin(0),
            ((self.outward_table + 0.5) * outward).amin(0),
        )
        trained = FloatNorm(self.inward_table.shape[1])
        trained.spread.copy_((least + most) / 2)
        return trained


Norm = FloatNorm | IntegerNorm | PreparedNorm
