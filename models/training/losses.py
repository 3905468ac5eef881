"""The objective: rate plus lambda times distortion, at a quality drawn for each sample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ...codec.config import PATCH_PX
from ...codec.quality.curve import QUALITIES, lmbda_of
from ..dct_vae import DctVae
from ..integer.norms import Norm
from ..networks.dct import to_rgb, to_ycbcr
from ..networks.quantizers import Rounder, TrainingQuantizer
from ..priors.interface import ContextPrior
from ..qualities import Quality, at_patches
from .config import EVERY_QUALITY
from .eye import ERROR_MSE, eye_map
from .ssimulacra2 import error as ssimulacra2_error


@dataclass
class Terms:
    """What one pass costs, each (B,): bits a pixel of context and of each level, and MSE."""

    context_bpp: Tensor
    level_bpp: list[Tensor]
    mse: Tensor
    """Mean squared error in RGB, of pixels 0...255."""

    @property
    def bpp(self) -> Tensor:
        """All bits a pixel."""
        return self.context_bpp + torch.stack(self.level_bpp).sum(0)


USUAL_QUALITIES = (20, 80)
USUAL_WEIGHT = 3.0
"""How much more often these qualities are drawn than those beyond, which few photographs are kept
at: 28 to 40 dB."""

_WEIGHTS = (1.0, USUAL_WEIGHT, 1.0)


def draw_quality(
    count: int, device: torch.device, within: tuple[int, int] = EVERY_QUALITY
) -> Tensor:
    """Draw (B,) qualities of a range, the usual ones more often, stratified over the batch."""
    ends = [min(max(end, within[0]), within[1]) for end in (0, *USUAL_QUALITIES, QUALITIES)]
    masses = [weight * (b - a) for weight, (a, b) in zip(_WEIGHTS, pairwise(ends), strict=True)]
    left = (torch.arange(count) + torch.rand(count)) * (sum(masses) / count)
    quality = torch.full((count,), float(within[0]))
    for weight, mass in zip(_WEIGHTS, masses, strict=True):
        quality += left.clamp(0, mass) / weight
        left = left - mass
    return quality.to(device)


def prior_bpp(prior: ContextPrior, context: Tensor, quality: Tensor, norm: Norm) -> Tensor:
    """Return the (B,) bits a pixel of contexts (B, C, h, w) under a prior."""
    bits = prior.bits(context, quality, norm).sum(0)
    return bits / (context[0, 0].numel() * PATCH_PX**2)


def rate_loss(bpp: Tensor, quality: Tensor) -> Tensor:
    """Return what a prior minimises, of (B,) bits a pixel: as the `objective` weighs them."""
    return (bpp / lmbda_of(quality).sqrt()).mean()


def run(
    model: DctVae,
    rgb: Tensor,
    quality: Quality,
    coder: TrainingQuantizer | Rounder,
    with_prior: bool = True,
) -> tuple[Tensor, Terms]:
    """Code images (B, 3, H, W) in 0...255 with a coder that counts bits.

    Returns:
        The decoded images (B, 3, H, W), not clamped, and what they cost; nothing for the context
        if it is to be left out.
    """
    pixels = rgb.shape[2] * rgb.shape[3]
    ycbcr = to_ycbcr(rgb)
    context = model.context.quantise(ycbcr, quality)
    context_image = model.context.image(context, quality)
    features = model.latents.features(ycbcr, context_image, quality)
    posterior = model.latents.posterior(*features, quality)
    latents = model.code_latents(context, quality, coder, posterior)
    decoded = to_rgb(model.synthesise(context, latents, quality))
    mse = (clamp_straight_through(decoded) - rgb).square().mean(dim=(1, 2, 3))
    levels = [bits / pixels for bits in coder.level_bits]
    rate = torch.zeros_like(mse)
    if with_prior:
        rate = prior_bpp(model.context.prior, context, at_patches(quality), model.context.norm)
    return decoded, Terms(rate, levels, mse)


def clamp_straight_through(decoded: Tensor) -> Tensor:
    """Clamp to 0...255 with a straight-through gradient.

    A pixel beyond the range costs nothing where the original is black or white, so that no symbol
    is spent on it.
    """
    return decoded + (decoded.clamp(0, 255) - decoded).detach()


def objective(
    model: DctVae,
    crops: Tensor,
    wide: Tensor,
    within: tuple[int, int] = EVERY_QUALITY,
    eye: float = 0.0,
) -> tuple[Tensor, Terms]:
    """Return the training loss of a batch, a scalar, and what the crops cost.

    A sample's loss (bpp + lambda * MSE) is divided by sqrt(lambda), so that all qualities pull
    with like strength, and weighted so that busy crops do not drown the others (`balance`). A
    share `eye` of the error is that which SSIMULACRA2 sees (`eye_loss`).

    The context has no weights, so what its prior learns is apart from the rest. It learns from the
    wide crops alone, which show it more neighbours, and at every quality: a weight file has one
    prior for all its models.

    Args:
        model: float.
        crops: uint8 (B, 3, h, w).
        wide: uint8 (B', 3, h', w'), or none.
        within: the qualities that the model serves.
        eye: a share, 0...1.
    """
    quality = draw_quality(len(crops), crops.device, within)
    lmbda = model.config.lmbda(quality)
    if eye:
        loss, terms = eye_loss(model, crops, quality, within, eye)
    else:
        _, terms = run(model, crops.float(), quality, TrainingQuantizer(), with_prior=False)
        loss = terms.bpp + lmbda * terms.mse
    loss = balance(loss / lmbda.sqrt()).mean()
    if len(wide):
        quality = draw_quality(len(wide), wide.device)
        context = model.context.quantise(to_ycbcr(wide.float()), quality)
        bpp = prior_bpp(model.context.prior, context, quality, model.context.norm)
        loss = loss + rate_loss(bpp, quality)
    return loss, terms


def eye_loss(
    model: DctVae, crops: Tensor, quality: Tensor, within: tuple[int, int], share: float
) -> tuple[Tensor, Terms]:
    """Return the (B,) losses of crops whose qualities follow activity, and what they cost.

    Args:
        model: to train.
        crops: uint8 (B, 3, h, w).
        quality: (B,) of the crops before activity moves it.
        within: the model's qualities.
        share: of the error that SSIMULACRA2 sees, in 0...1; the rest is squared error.
    """
    rgb = crops.float()
    patches = eye_map(crops, quality, within)
    decoded, terms = run(model, rgb, patches, TrainingQuantizer(), with_prior=False)
    squares = (clamp_straight_through(decoded) - rgb).square().mean(1, keepdim=True)
    squares = F.avg_pool2d(squares, PATCH_PX)
    squared = (model.config.lmbda(patches.patches) * squares).mean((1, 2, 3))
    seen = model.config.lmbda(quality) * ERROR_MSE * ssimulacra2_error(rgb, decoded)
    return terms.bpp + (1 - share) * squared + share * seen, terms


def balance(losses: Tensor) -> Tensor:
    """Weight the losses (B,) of samples by one over their root: 8, an average one, keeps its own.

    The gradient of a busy crop is larger and so is its noise; a third of the variance goes
    (docs/experiments.csv). Those that are next to flat count as if they lost 0.5.
    """
    return losses * (8 / losses.detach().clamp_min(0.5)).sqrt()


@dataclass(frozen=True)
class ValidRow:
    """What validation finds at one quality: means over the images, with rounded symbols.

    Attributes:
        loss: (bpp + lambda * MSE) / sqrt(lambda).
        psnr: in dB.
    """

    quality: int
    loss: float
    bpp: float
    psnr: float
    context_bpp: float
    level_bpp: list[float]


@torch.no_grad()
def validate(model: DctVae, images: list[Tensor], qualities: list[int]) -> list[ValidRow]:
    """Return a row a quality, of images (1, 3, H, W) in 0...255."""
    rows = []
    for quality in qualities:
        sums = []
        for image in images:
            rgb = image.to(next(model.parameters()).device).float()
            at = torch.full((1,), quality, device=rgb.device)
            decoded, terms = run(model, rgb, at, Rounder())
            mse = (decoded.clamp(0, 255).round() - rgb).square().mean()
            psnr = 10 * torch.log10(255**2 / mse)
            values = [psnr, terms.mse[0], terms.context_bpp[0], *(b[0] for b in terms.level_bpp)]
            sums.append(torch.stack(values))
        psnr, mse, context, *levels = torch.stack(sums).double().mean(0).tolist()
        bpp = context + sum(levels)
        lmbda = float(model.config.lmbda(torch.tensor(float(quality))))
        loss = (bpp + lmbda * mse) / lmbda**0.5
        rows.append(ValidRow(quality, loss, bpp, psnr, context, levels))
    return rows
