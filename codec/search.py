"""Searches the latents of a tile for a smaller loss, pass by pass: what an encoder's effort buys.

The networks of the encoder decide without having seen what their symbols decode to. A pass walks
down the levels, rounds, decodes, and goes back with the gradient of training (`coders.Learner`),
along which the targets descend: what the latents would be without rounding. (Yang et al. 2020,
"Improving inference for neural image compression", do so with Gumbel noise, which takes many more
passes.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.coders import Learner, Rounder
from ..models.config import LATENTS_A_SIDE
from ..models.dct import to_rgb
from ..models.dct_vae import DctVae
from ..models.quality import lmbda_of
from ..models.steps import pick, place
from ..models.trunk import Posterior
from .grey import luma_of
from .symbols import Selector
from .tiling import Window

EFFORTS = range(10)
PASSES = 4
"""Passes of each unit of effort."""

RATE = 0.05
"""Learning rate of Adam: by how many steps of quantisation a pass moves a target."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A tile with the surroundings that the synthesis sees when it decodes it.

    Attributes:
        ycbcr: (1, 3, H, W) in pixels about zero.
        context: (1, C, H/32, W/32) integers.
        posterior: the encoder's, of the whole scene.
        window: where the scene lies, in patches.
        tile: where the tile lies.
    """

    ycbcr: Tensor
    context: Tensor
    posterior: Posterior
    window: Window
    tile: Window


def aimed_at(model: DctVae, targets: Tensor) -> Posterior:
    """Return the posterior that brings latents as near as rounding can to targets (1, C, h, w)."""
    parts = model.entropy.trunk.parts

    def residual(step: int, h: Tensor, mean: Tensor) -> Tensor:
        return targets[:, parts[step].start : parts[step].stop] - mean

    return residual


@torch.enable_grad()
def search(model: DctVae, scene: Scene, quality: Tensor, passes: int, is_grey: bool) -> Tensor:
    """Search the targets of a tile's latents.

    Args:
        model: in float.
        scene: the tile and what is around it.
        quality: (1,).
        passes: down the levels and back.
        is_grey: chroma is not coded.

    Returns:
        (1, C, h, w) targets of the tile, in steps: those of the pass with the smallest loss.
    """
    luma, lmbda = luma_of(model), lmbda_of(quality)
    context_image = model.context_image(scene.context, quality)
    targets, latents = _first_walk(model, scene, quality)
    inside = (..., *scene.tile.slices(scene.window, LATENTS_A_SIDE))
    start = targets[inside]
    context = scene.context[(..., *scene.tile.slices(scene.window, 1))]
    moved = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([moved], RATE, betas=(0.9, 0.98))
    least, best = torch.inf, start
    for number in range(passes + 1):  # the last one only looks
        # one picture needs all of the curvature: nothing averages over what is left of it
        learner = Learner(curvature=1.0)
        coder = Selector(learner, luma.trunk) if is_grey else learner
        latents = latents.detach().clone()
        latents[inside] = model.latents(context, quality, coder, aimed_at(model, start + moved))
        shown = latents * luma.latents_mask if is_grey else latents
        error = model.synthesise(context_image, shown, quality) - scene.ycbcr
        error = error[:, 0] if is_grey else _in_rgb(error)
        loss = learner.bits.sum() + lmbda.sum() * error.square().sum()
        if loss.item() < least:
            least, best = loss.item(), (start + moved).detach()
        if number < passes:
            (moved.grad,) = torch.autograd.grad(loss, moved)
            optimiser.step()
    return best


def _in_rgb(difference: Tensor) -> Tensor:
    """Return a difference (B, 3, H, W) in RGB, scaled so that a pixel's squares sum to its MSE."""
    return (to_rgb(difference) - 128.0) / difference.shape[1] ** 0.5


@torch.no_grad()
def _first_walk(model: DctVae, scene: Scene, quality: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the encoder would put the latents of the scene, and where rounding does."""
    parts = model.entropy.trunk.parts
    height, width = (LATENTS_A_SIDE * side for side in scene.window.size)
    targets = torch.zeros(1, model.config.latent_channels, height, width)

    def noted(step: int, h: Tensor, mean: Tensor) -> Tensor:
        part, residual = parts[step], scene.posterior(step, h, mean)
        here = place(pick(residual + mean, part.parity), part.parity, height, width)
        targets[:, part.start : part.stop] += here
        return residual

    return targets, model.latents(scene.context, quality, Rounder(), noted)
