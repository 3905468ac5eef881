"""Searches the symbols of a tile for a smaller loss, pass by pass: what an encoder's effort buys.

The networks of the encoder decide without having seen what their symbols decode to. A pass rounds
the context, walks down the levels, rounds, decodes, and goes back with the gradient of training
(`coders.Learner`), along which the targets descend: what context and latents would be without
rounding. Where the context moves, the latents' targets make up for it. (Yang et al. 2020,
"Improving inference for neural image compression", do so with Gumbel noise, which takes many more
passes.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.coders import CURVATURE, Learner, Rounder
from ..models.config import LATENTS_A_SIDE, PATCH_PX
from ..models.dct import MAX_COEFFICIENT, to_rgb
from ..models.dct_vae import DctVae
from ..models.quality import lmbda_of
from ..models.steps import pick, place
from ..models.trunk import Posterior
from .grey import coded_context, walk_latents
from .tiling import Window

EFFORTS = range(10)
PASSES = 4
"""Passes of each unit of effort."""

RATES = (0.15, 0.05)
"""Learning rates of Adam for context and latents: how many steps of quantisation a pass moves."""


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
def search(
    model: DctVae, scene: Scene, quality: Tensor, passes: int, is_grey: bool
) -> tuple[Tensor, Tensor]:
    """Search the context and the latents of a tile.

    Args:
        model: in float.
        scene: the tile and what is around it.
        quality: (1,).
        passes: down the levels and back.
        is_grey: chroma is not coded.

    Returns:
        (1, C, H/32, W/32) integers and (1, C', H/8, W/8) latents in steps, both of the tile: those
        of the pass with the smallest loss.
    """
    lmbda = lmbda_of(quality).sum()
    coded = coded_context(model.config, is_grey)[:, None, None]
    patches = (..., *scene.tile.slices(scene.window, 1))
    inside = (..., *scene.tile.slices(scene.window, LATENTS_A_SIDE))
    pixels = (..., *scene.tile.slices(scene.window, PATCH_PX))
    original = _shown(scene.ycbcr, is_grey)
    targets, latents = _first_walk(model, scene, quality, is_grey)
    first, start = model.context_image(scene.context, quality)[pixels], targets[inside]
    aim = model.exact_context(scene.ycbcr[pixels], quality).requires_grad_()
    reach = MAX_COEFFICIENT / model.context_steps(quality)  # what priors reckon with
    moved = torch.zeros_like(start, requires_grad=True)
    groups = [{"params": [x], "lr": lr} for x, lr in zip((aim, moved), RATES, strict=True)]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    least, best = torch.inf, (scene.context[patches], latents[inside])
    for number in range(passes + 1):
        torch.set_grad_enabled(number < passes)  # the last one only looks
        context, bent = _rounded(aim * coded, model.context_gain)
        contexts, latents = scene.context.clone(), latents.detach().clone()
        contexts[patches] = context
        context_image = model.context_image(contexts, quality)
        off = model.analysis.coefficients(context_image[pixels] - first) / model.steps(quality)
        # one picture needs all of the curvature: nothing averages over what is left of it
        learner = Learner(curvature=1.0, shared=0.0)
        posterior = aimed_at(model, start + moved - off)
        latents[inside] = walk_latents(model, context, quality, learner, posterior, is_grey=is_grey)
        decoded = model.synthesise(contexts, latents, quality)
        error = _shown(decoded, is_grey) - original
        prior_bits = model.entropy.prior.bits(context, quality, model.entropy.norm)
        loss = learner.bits.sum() + prior_bits.sum() + lmbda * error.square().mean(1).sum()
        if loss.item() < least:
            least, best = loss.item(), (context.detach(), latents[inside].detach())
        if number < passes:
            aim.grad, moved.grad = torch.autograd.grad(loss + bent, (aim, moved))
            optimiser.step()
            aim.data.clamp_(-reach, reach)
    return best


def _rounded(aim: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Round the context as `Learner` rounds latents of large scales.

    Args:
        aim: (1, C, h, w) the context before rounding.
        gain: (C,) of its steps.

    Returns:
        the context, and the bits that the distortion's curvature adds: zero. Both have a gradient.
    """
    symbols = torch.floor(aim.detach() + 0.5)
    rest = aim.detach() - symbols
    moved = 4 * rest.abs() * (aim - aim.detach())
    bent = 2 * CURVATURE * gain.square()[:, None, None] * rest * moved
    return symbols + moved, bent.sum()


def _shown(ycbcr: Tensor, is_grey: bool) -> Tensor:
    """Return the samples that are seen in the end: (B, 1 or 3, H, W) in 0...255."""
    return (ycbcr[:, :1] + 128.0 if is_grey else to_rgb(ycbcr)).clamp(0, 255)


@torch.no_grad()
def _first_walk(
    model: DctVae, scene: Scene, quality: Tensor, is_grey: bool
) -> tuple[Tensor, Tensor]:
    """Return where the encoder would put the latents of the scene, and where rounding does."""
    parts = model.entropy.trunk.parts
    height, width = (LATENTS_A_SIDE * side for side in scene.window.size)
    targets = torch.zeros(1, model.config.latent_channels, height, width)

    def noted(step: int, h: Tensor, mean: Tensor) -> Tensor:
        part, residual = parts[step], scene.posterior(step, h, mean)
        here = place(pick(residual + mean, part.squares), part.squares, height, width)
        targets[:, part.start : part.stop] += here
        return residual

    latents = walk_latents(model, scene.context, quality, Rounder(), noted, is_grey=is_grey)
    return targets, latents
