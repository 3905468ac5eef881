"""Mixtures of Gaussians over the whole context of a patch, patches apart: two baselines.

    p(u) = prod over patches of sum_k w_k prod_c N(u_c; m_kc, s_kc)

`Mixture` learns weights, means and scales. `VampPrior` (Tomczak & Welling 2018) has equal weights,
and its components are what the encoder makes of learned pseudo-inputs: the DCT of images of 32x32
pixels, with one learned noise a coefficient (DVP-VAE, eq. 9: u = f(x) + sigma eps).

A component is coded first, then the coefficients under it. The encoder takes the component that
costs least, so that the file is longer than -log2 p(u) by what the others would have added.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...bitstream.escape import TOTAL
from ...codec.config import PATCH_PX, ModelConfig
from ...codec.errors import BoundError
from ...codec.quality.curve import LMBDA_MAX, LMBDA_MIN, MAX_QUALITY, step_of
from ...codec.symbols.fixed_point import ACTIVATION_MAX, CONTEXT_UNIT, UNIT
from ...codec.symbols.scales import LOG_RATIO, SCALE_MIN, SCALES
from ..integer.layers import FloatLayer, IntegerLayer
from ..integer.norms import Norm
from ..networks.dct import ContextDct
from ..networks.quantizers import gaussian_bits, scale_of
from .stack import TensorStack

INDEX_UNIT = 2**12
"""Units of a scale index in integers."""

SLOPE = round(INDEX_UNIT * 0.5 * math.log(LMBDA_MAX / LMBDA_MIN) / MAX_QUALITY / LOG_RATIO)
"""What a scale index, in its units, rises a quality: the logarithm of the step falls evenly."""

ROUNDS = 20
"""Of expectation and maximisation before the gradient takes over."""

CHUNK = 256
"""Patches whose costs under every component are held at once."""


def _index_of(spread: Tensor) -> Tensor:
    """Return the (real) scale index at quality 0 of standard deviations in px over the gain."""
    return torch.log(spread / step_of(torch.zeros(())) / SCALE_MIN) / LOG_RATIO


def clusters(x: Tensor, count: int, shared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a mixture of Gaussians by expectation and maximisation, to start from.

    Args:
        x: (n, C) vectors of unit variance, in random order; the first `count` are the first means.
        count: of components.
        shared: whether all have the same weight and deviations.

    Returns:
        Means (K, C), standard deviations (K, C) and weights (K,).
    """
    means, variances = x[:count], torch.full_like(x[:count], 0.25)
    weights = x.new_full((count,), 1 / count)
    for _ in range(ROUNDS):
        inverse = 1 / variances
        cost = x.square() @ inverse.T - 2 * x @ (means * inverse).T
        cost = cost + (means.square() * inverse - inverse.log()).sum(1) - 2 * weights.log()
        share = (-0.5 * cost).softmax(1)
        total = share.sum(0).clamp_min(1e-3)
        means = share.T @ x / total[:, None]
        variances = (share.T @ x.square() / total[:, None] - means.square()).clamp_min(1e-4)
        if shared:
            variances = (total[:, None] * variances).sum(0).div(len(x)).expand_as(means)
        else:
            weights = total / total.sum()
    return means, variances.sqrt(), weights


class FloatComponents(FloatLayer):
    """Components in training: means in activations, scale indices at quality 0, logits."""

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.means = nn.Parameter(torch.zeros(count, channels))
        self.indices = nn.Parameter(torch.zeros(count, channels))
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (K, C) in activations, scale indices (K, C) at quality 0, log2 w (K,)."""
        return self.means * UNIT, self.indices, self.logits.log_softmax(0) / math.log(2)

    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Start at a mixture for patches (n, C), px over the gain, of spread (C,)."""
        means, deviations, weights = clusters(patches / spread, len(self.means), False)
        self.means.copy_(means)
        self.indices.copy_(_index_of(deviations * spread))
        self.logits.copy_(weights.log())

    def empty_integer(self) -> IntegerComponents:
        """See `FloatLayer`."""
        return IntegerComponents(*self.means.shape)

    @torch.no_grad()
    def to_integer(self) -> IntegerComponents:
        """See `FloatLayer`."""
        return _integers_of(self)


class FloatPseudoInputs(FloatLayer):
    """Components in training as the encoder's output: pseudo-inputs, and one noise for all.

    Parameters are in spreads, as their gradients are then alike: a pseudo-input is the picture
    of its normalised coefficients, those beyond the context included.
    """

    spread: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.dct = ContextDct(config)
        self.pictures = nn.Parameter(torch.zeros(config.prior_components, 3, PATCH_PX, PATCH_PX))
        self.noise = nn.Parameter(torch.zeros(config.context_channels))
        self.register_buffer("spread", torch.ones(config.context_channels))

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (K, C) in activations, scale indices (K, C) at quality 0, log2 w (K,)."""
        means = self.dct.analyse(self.pictures)[:, :, 0, 0]
        even = means.new_full((len(means),), -math.log2(len(means)))
        index = _index_of(self.spread) + self.noise / LOG_RATIO
        return means * UNIT, index.expand_as(means), even

    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Start at a mixture for patches (n, C), px over the gain, of spread (C,)."""
        self.spread.copy_(spread)
        means, deviations, _ = clusters(patches / spread, len(self.pictures), True)
        self.pictures.copy_(self.dct.synthesise(means[:, :, None, None]))
        self.noise.copy_(deviations[0].log())

    def empty_integer(self) -> IntegerComponents:
        """See `FloatLayer`."""
        return IntegerComponents(len(self.pictures), len(self.noise))

    @torch.no_grad()
    def to_integer(self) -> IntegerComponents:
        """See `FloatLayer`."""
        return _integers_of(self)


class IntegerComponents(IntegerLayer):
    """Components at run time: means in activations, indices at quality 0 in 1/4096, masses."""

    means: Tensor
    indices: Tensor
    masses: Tensor

    def __init__(self, count: int, channels: int):
        super().__init__()
        self.register_buffer("means", torch.zeros(count, channels, dtype=torch.int64))
        self.register_buffer("indices", torch.zeros(count, channels, dtype=torch.int64))
        self.register_buffer("masses", torch.ones(count, dtype=torch.int64))

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """See `FloatComponents.forward`."""
        weights = torch.log2(self.masses.double() / TOTAL).float()
        return self.means.float(), self.indices.float() / INDEX_UNIT, weights

    def check(self, name: str) -> None:
        """See `IntegerLayer`."""
        if not len(self.masses) or self.masses.min() < 1 or self.masses.sum() != TOTAL:
            raise BoundError(f"{name}: masses are below 1, or do not sum to {TOTAL}")
        if self.means.abs().max() > ACTIVATION_MAX:
            raise BoundError(f"{name}: a mean exceeds {ACTIVATION_MAX}")
        if self.indices.abs().max() > 2 * SCALES * INDEX_UNIT:
            raise BoundError(f"{name}: a scale index is no index")

    def gaussians(self, chosen: Tensor, quality: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return the mean in eighths of a symbol and the scale index of every coefficient.

        Args:
            chosen: (n,) component of each patch.
            quality: (1,).
            norm: brings the means to symbols.

        Returns:
            (C, n) float64 integers each.
        """
        means = norm.outward(self.means.T[None, ..., None], quality, slice(None))[0, :, :, 0]
        index = (self.indices.T + SLOPE * quality + INDEX_UNIT // 2) // INDEX_UNIT
        return means[:, chosen], index.clamp(0, SCALES - 1)[:, chosen]


Components = FloatComponents | FloatPseudoInputs | IntegerComponents


def _integers_of(trained: FloatComponents | FloatPseudoInputs) -> IntegerComponents:
    """Round the components of a prior in training."""
    integer = trained.empty_integer()
    means, indices, weights = (values.double() for values in trained())
    limit = 2 * SCALES * INDEX_UNIT
    integer.means = means.round().clamp(-ACTIVATION_MAX, ACTIVATION_MAX).long()
    integer.indices = (indices * INDEX_UNIT).round().clamp(-limit, limit).long()
    masses = torch.floor(torch.exp2(weights) * (TOTAL - len(weights))).long() + 1
    masses[masses.argmax()] += TOTAL - masses.sum()
    integer.masses = masses
    return integer


class Mixture(nn.Module):
    """Mixture with learned weights, means and diagonal scales."""

    components: Components

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.components = FloatComponents(config.prior_components, config.context_channels)

    @torch.no_grad()
    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        """Start at a mixture for the patches; see `interface.ResearchPrior`."""
        assert not isinstance(self.components, IntegerComponents)
        self.components.start_from(patches, spread)

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        """Return -log2 p(u), one term; see `interface.ContextPrior`."""
        every = torch.ones(u.shape[1], dtype=torch.bool, device=u.device)
        costs = [
            self._costs(patches, quality[b : b + 1], norm, every)
            for b, patches in enumerate(u.flatten(2).transpose(1, 2))
        ]
        bits = [-(-cost * math.log(2)).logsumexp(1).sum() / math.log(2) for cost in costs]
        return torch.stack(bits)[None]

    def best(self, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the component that costs least for each patch, and its bits: (n,), (n,)."""
        patches = u[0].flatten(1).T
        costs = [self._costs(part, quality, norm, mask).min(1) for part in patches.split(CHUNK)]
        return torch.cat([c.indices for c in costs]), torch.cat([c.values for c in costs])

    def _costs(self, patches: Tensor, quality: Tensor, norm: Norm, mask: Tensor) -> Tensor:
        """Return the bits of patches (n, C) under every component, its own included: (n, K)."""
        means, indices, weights = self.components()
        means = (
            norm.outward(means.T[None, ..., None], quality, slice(None))[0, :, :, 0].T
            / CONTEXT_UNIT
        )
        indices = (indices + SLOPE / INDEX_UNIT * quality[:, None]).clamp(0, SCALES - 1)
        residual = patches[:, None, mask] - means[None, :, mask].to(patches.dtype)
        bits = gaussian_bits(residual, scale_of(indices[:, mask])[None].to(patches.dtype))
        return bits.sum(2) - weights

    def push(
        self, stack: TensorStack, u: Tensor, quality: Tensor, norm: Norm, mask: Tensor
    ) -> None:
        """See `interface.ResearchPrior`."""
        assert isinstance(self.components, IntegerComponents)
        chosen, _ = self.best(u.float(), quality, norm, mask)
        means, index = self.components.gaussians(chosen, quality, norm)
        values = u[0].flatten(1)[mask]
        stack.push(means[mask].flatten(), index[mask].flatten(), values.flatten())
        stack.push_under(self.components.masses.expand(len(chosen), -1), chosen)

    def pop(
        self,
        stack: TensorStack,
        size: tuple[int, int],
        quality: Tensor,
        norm: Norm,
        mask: Tensor,
    ) -> Tensor:
        """See `interface.ResearchPrior`."""
        assert isinstance(self.components, IntegerComponents)
        chosen = stack.pop_under(self.components.masses.expand(size[0] * size[1], -1)).long()
        means, index = self.components.gaussians(chosen, quality, norm)
        u = torch.zeros_like(means)
        values = stack.pop(means[mask].flatten(), index[mask].flatten()).to(u)
        u[mask] = values.view(-1, len(chosen))
        return u.view(1, -1, *size)


class VampPrior(Mixture):
    """Mixture of what the encoder makes of learned pseudo-inputs, with equal weights."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.components = FloatPseudoInputs(config)
