"""The context u = f(x), the top latent variable, and the way back to a picture.

    x (B, C, D, D)  -- f -->  u (B, C, d, d)  -- f_dagger -->  picture (B, C, D, D)

f is the cropped DCT divided by S, the largest coefficients of the training set (DCT-VAE,
algorithms 1 and 2; DVP-VAE, algorithms 1 and 2), the image made smaller (DCT-VAE, app. F), or a
dense matrix that is learned (DVP-VAE, sec. 6.3). u is rounded to a lattice, so that q(u | x) is
Kronecker's delta (DCT-VAE, sec. 4.2), or it has Gaussian noise (DVP-VAE, eq. 9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..distributions import Normal
from ..networks.dct import dct_matrix
from .blocks import resize
from .coders import GaussianPosterior, Posterior
from .config import VaeConfig
from .priors import rounded

LOG_VARIANCE = (-12.0, -5.0)
"""Range of the noise's log variance, from the public code of DVP-VAE."""

START_LOG_VARIANCE = -6.0


class Dct(nn.Module):
    """The d x d lowest frequencies of each channel, divided by S."""

    largest: Tensor
    basis: Tensor

    def __init__(self, channels: int, side: int, kept: int):
        super().__init__()
        self.register_buffer("basis", dct_matrix(side)[:kept], persistent=False)
        self.register_buffer("largest", torch.ones(channels, kept, kept))

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set S to the largest absolute coefficients of the images x in [0, 1]."""
        seen = [self.coefficients(x).abs().amax(0) for x in batches]
        self.largest.copy_(torch.stack(seen).amax(0).clamp(min=1e-3))

    def coefficients(self, x: Tensor) -> Tensor:
        """(B, C, D, D) -> (B, C, d, d), not divided by S."""
        return torch.einsum("ki,bcij,lj->bckl", self.basis, x, self.basis)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, D, D) in [0, 1] -> u (B, C, d, d), in [-1, 1] for what `fit` saw."""
        return self.coefficients(x) / self.largest

    def decode(self, u: Tensor) -> Tensor:
        """U (B, C, d, d) -> picture (B, C, D, D)."""
        return torch.einsum("ki,bckl,lj->bcij", self.basis, u * self.largest, self.basis)


class Downsample(nn.Module):
    """The image brought to d x d pixels and scaled to [-1, 1]; back by interpolation."""

    def __init__(self, side: int, kept: int):
        super().__init__()
        self.side, self.kept = side, kept

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Need nothing of the training set."""

    def encode(self, x: Tensor) -> Tensor:
        """See `Dct`."""
        return 2 * resize(x, self.kept) - 1

    def decode(self, u: Tensor) -> Tensor:
        """See `Dct`."""
        return resize((u + 1) / 2, self.side)


class Linear(nn.Module):
    """A learned dense matrix for all channels together; back by interpolation."""

    def __init__(self, channels: int, side: int, kept: int):
        super().__init__()
        self.shape, self.side = (channels, kept, kept), side
        self.matrix = nn.Linear(channels * side * side, channels * kept * kept, bias=False)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Need nothing of the training set."""

    def encode(self, x: Tensor) -> Tensor:
        """See `Dct`; nothing bounds the values."""
        return self.matrix(x.flatten(1)).view(-1, *self.shape)

    def decode(self, u: Tensor) -> Tensor:
        """See `Dct`."""
        return resize(u, self.side)


@dataclass(frozen=True)
class PointPosterior:
    """Kronecker's delta at a point of a lattice."""

    mean: Tensor
    gaussian: Normal | None = None

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return the point, and log 1."""
        return self.mean, self.mean.new_zeros(self.mean.shape[0])


class Context(nn.Module):
    """F, its inverse, and q(u | x)."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        channels, side = config.image[:2]
        kept = config.context_side
        self.code, self.bits = config.context_code, config.context_bits
        self.transform: Dct | Downsample | Linear
        if config.context == "dct":
            self.transform = Dct(channels, side, kept)
        elif config.context == "downsample":
            self.transform = Downsample(side, kept)
        else:
            self.transform = Linear(channels, side, kept)
        if self.code == "noise":
            start = torch.full(config.context_shape, START_LOG_VARIANCE)
            self.log_variance = nn.Parameter(start)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take from training images (B, C, D, D) in [0, 1] what f needs of them."""
        self.transform.fit(batches)

    @property
    def cell(self) -> Tensor | None:
        """Distance of the points of the lattice, (1,); None without one.

        b bits make 2**b cells from -1 to 1, and with both ends 2**b + 1 points.
        """
        if self.code == "noise":
            return None
        return torch.tensor([2.0 ** (1 - self.bits)])

    def posterior(self, x: Tensor) -> Posterior:
        """Return q(u | x) for x (B, C, D, D) in [0, 1]."""
        u = self.transform.encode(x)
        if self.code == "noise":
            log_std = 0.5 * self.log_variance.clamp(*LOG_VARIANCE)
            return GaussianPosterior(Normal(u, log_std.expand_as(u)))
        cell = self.cell
        assert cell is not None
        return PointPosterior(rounded(u.clamp(-1, 1), cell.to(u)))

    def picture(self, u: Tensor) -> Tensor:
        """Bring u (B, C, d, d) back to (B, C, D, D): f_dagger."""
        return self.transform.decode(u)
