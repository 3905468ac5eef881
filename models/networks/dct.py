"""The discrete cosine transform as matrices, and the colour space that it works in."""

from __future__ import annotations

import torch
from torch import Tensor

from ...codec import color
from ...codec.config import LATENT_STRIDE, PATCH_PX, ModelConfig
from ...codec.symbols import frequencies
from ...codec.symbols.frequencies import Coefficient, context_order, latent_order

RGB_TO_YCBCR = torch.from_numpy(color.RGB_TO_YCBCR).float()
YCBCR_TO_RGB = torch.from_numpy(color.YCBCR_TO_RGB).float()

MAX_COEFFICIENT = 128 * PATCH_PX
"""No coefficient of a patch is larger, in pixels: the norm of a black patch."""


def full_precision(x: Tensor) -> torch.autocast:
    """Return the context in which arithmetic on `x` stays float32 under mixed precision."""
    return torch.autocast(x.device.type, enabled=False)


def to_ycbcr(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in 0...255 -> YCbCr, each about zero (luma - 128)."""
    with full_precision(rgb):
        return torch.einsum("ij,bjhw->bihw", RGB_TO_YCBCR.to(rgb), rgb - 128.0)


def to_rgb(ycbcr: Tensor) -> Tensor:
    """The inverse of `to_ycbcr`; not clamped."""
    with full_precision(ycbcr):
        return torch.einsum("ij,bjhw->bihw", YCBCR_TO_RGB.to(ycbcr), ycbcr) + 128.0


def dct_matrix(size: int) -> Tensor:
    """Return the orthonormal type-II DCT as a (frequency, sample) matrix."""
    return torch.from_numpy(frequencies.dct_matrix(size))


def block_dct_weight(channels: int) -> Tensor:
    """Return the (channels, 192) matrix from `pixel_unshuffle`d 8x8 blocks to coefficients."""
    c = dct_matrix(LATENT_STRIDE)
    rows = []
    for plane, i, j in latent_order(channels):
        block = torch.zeros(3, LATENT_STRIDE, LATENT_STRIDE)
        block[plane] = torch.outer(c[i], c[j])
        rows.append(block.flatten())
    return torch.stack(rows)


class BlockDct:
    """The orthonormal DCT of blocks, some of its coefficients kept, in an order.

    Coefficients are in units of pixels 0...255.

    Args:
        side: of a block, in pixels.
        order: of the channels: plane, row frequency, column frequency.
    """

    def __init__(self, side: int, order: list[Coefficient]):
        self.side, self.order = side, order
        self.size = 1 + max(max(i, j) for _, i, j in order)
        self.matrix = dct_matrix(side)[: self.size]
        index = [(p * self.size + i) * self.size + j for p, i, j in self.order]
        self.index = torch.tensor(index)

    def analyse(self, ycbcr: Tensor) -> Tensor:
        """(B, 3, H, W) with sides multiples of a block's -> (B, C, H/side, W/side) coefficients."""
        b, p, h, w = ycbcr.shape
        side, matrix = self.side, self.matrix.to(ycbcr)
        with full_precision(ycbcr):
            rows = ycbcr.reshape(b, p, h // side, side, w // side, side) @ matrix.T
            both = torch.einsum("ui,bpyixv->bpuvyx", matrix, rows)
        return both.flatten(1, 3)[:, self.index.to(ycbcr.device)]

    def synthesise(self, coefficients: Tensor) -> Tensor:
        """The inverse, other frequencies zero: (B, C, h, w) -> (B, 3, side h, side w) YCbCr."""
        b, _, h, w = coefficients.shape
        full = coefficients.new_zeros(b, 3 * self.size**2, h, w)
        full[:, self.index.to(coefficients.device)] = coefficients
        full = full.view(b, 3, self.size, self.size, h, w)
        matrix = self.matrix.to(coefficients)
        with full_precision(coefficients):
            rows = torch.einsum("ui,bpuvyx->bpyixv", matrix, full)
            return (rows @ matrix).reshape(b, 3, h * self.side, w * self.side)


class ContextDct(BlockDct):
    """The non-trainable map between image and context (DCT-VAE, algorithms 1 and 2).

    Dividing by the step and rounding, which makes coefficients the discrete context u, is the
    caller's.
    """

    def __init__(self, config: ModelConfig):
        super().__init__(PATCH_PX, context_order(config))


class LatentDct(BlockDct):
    """The linear part of the latents' transform, before anything is learned."""

    def __init__(self, config: ModelConfig):
        super().__init__(LATENT_STRIDE, latent_order(config.latent_channels))
