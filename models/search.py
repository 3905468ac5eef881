"""Searches the symbols of a tile for a smaller loss, pass by pass: what an encoder's effort buys.

The networks of the encoder decide without having seen what their symbols decode to. A pass rounds
the context, walks down the levels, rounds, decodes, and goes back with the gradient of training
(`quantizers.TrainingQuantizer`). Along it the targets descend: what context and latents would be
without rounding. Where the context moves, the latents' targets make up for it. (Yang et al. 2020,
"Improving inference for neural image compression", do so with Gumbel noise, which takes many more
passes.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..codec.config import LATENTS_A_SIDE, PATCH_PX
from ..codec.networks.runtime import Floats
from ..codec.networks.weight_file import WeightFile
from ..codec.quality.curve import CURVATURE
from ..codec.symbols.schedule import CodingStep
from ..codec.symbols.walk import Prediction, SymbolCoder
from ..codec.tiles.conditions import CodingConditions
from ..codec.tiles.tiling import Window, synthesis_halo
from .dct_vae import DctVae
from .networks.dct import MAX_COEFFICIENT, to_rgb, to_ycbcr
from .networks.passes import Posterior
from .networks.quantizers import Rounder, TrainingQuantizer
from .networks.step import pick, place
from .qualities import Quality, as_map, at_patches, tensors_of, upsampled
from .settings import own_settings
from .weight_models import models_of

PASSES = 4
"""Passes of each unit of effort."""

RATES = (0.15, 0.05)
"""Learning rates of Adam for context and latents: how many steps of quantisation a pass moves."""


@own_settings()
@torch.inference_mode(mode=False)  # whatever the caller has: a search needs gradients
def search(
    file: WeightFile,
    rgb: Floats,
    u: Floats,
    seen: Window,
    window: Window,
    conditions: CodingConditions,
    effort: int,
) -> tuple[Floats, Floats]:
    """Search the context and the latents of a tile.

    Args:
        file: the weights.
        rgb: (1, 3, H, W) in 0...255, the tile and what the analysis sees around it.
        u: (1, C, h, w) the context of the tile as it was decided.
        seen: the patches of `rgb`.
        window: those of the tile.
        conditions: of the file.
        effort: in units of `PASSES` passes.

    Returns:
        (1, C, h, w) integers, and (1, C', 4h, 4w) targets of the latents in steps: those of the
        pass with the smallest loss.
    """
    model = _float_model(file, file.model_at(conditions.quality))
    with torch.autocast("cpu", enabled=False):  # as a decorator it would be that of all threads
        scene = _scene(model, torch.tensor(rgb), torch.tensor(u), seen, window, conditions)
        found = _search(model, scene, effort * PASSES)
    return found[0].numpy().astype(np.float32), found[1].numpy()


@functools.lru_cache(maxsize=4)  # one more than the shipped file has models
def _float_model(file: WeightFile, number: int) -> DctVae:
    weights = models_of(file)
    model = DctVae(file.config, weights.context, weights.latents[number]).to_float()
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@dataclass(frozen=True, eq=False)
class _Scene:
    """A tile with the surroundings that the synthesis sees when it decodes it.

    Attributes:
        ycbcr: (1, 3, H, W) in pixels about zero.
        context: (1, C, H/32, W/32) integers.
        posterior: the encoder's, of the whole scene.
        near: where the scene lies, in patches.
        window: where the tile lies.
        quality: of the scene.
        own: of the tile.
        masks: of the channels that are coded, (C, 1, 1) for context and latents.
        is_grey: luma alone is shown.
    """

    ycbcr: Tensor
    context: Tensor
    posterior: Posterior
    near: Window
    window: Window
    quality: Quality
    own: Quality
    masks: tuple[Tensor, Tensor]
    is_grey: bool

    def shown(self, ycbcr: Tensor) -> Tensor:
        """Return the samples that are seen in the end: (B, 1 or 3, H, W) in 0...255."""
        return (ycbcr[:, :1] + 128.0 if self.is_grey else to_rgb(ycbcr)).clamp(0, 255)


@torch.no_grad()
def _scene(
    model: DctVae,
    rgb: Tensor,
    u: Tensor,
    seen: Window,
    window: Window,
    conditions: CodingConditions,
) -> _Scene:
    at = tensors_of(conditions.at([seen]))
    masks = tuple(
        torch.from_numpy(mask.astype(np.float32))[:, None, None]
        for mask in (conditions.context_mask, conditions.latent_mask)
    )
    ycbcr = to_ycbcr(rgb)
    context = model.context.quantise(ycbcr, at) * masks[0]
    context[(..., *window.slices(seen, 1))] = u
    features = model.latents.features(ycbcr, model.context.image(context, at), at)
    near = window.grown(synthesis_halo(conditions.config), seen)
    quality = tensors_of(conditions.at([near]))
    found, coefficients = (x[(..., *near.slices(seen, LATENTS_A_SIDE))] for x in features)
    return _Scene(
        ycbcr=ycbcr[(..., *near.slices(seen, PATCH_PX))],
        context=context[(..., *near.slices(seen, 1))],
        posterior=model.latents.posterior(found, coefficients, quality),
        near=near,
        window=window,
        quality=quality,
        own=tensors_of(conditions.at([window])),
        masks=(masks[0], masks[1]),
        is_grey=conditions.is_grey,
    )


class _Objective:
    """The loss of a scene, of which the tile gets other symbols: bits + lambda * squared error."""

    def __init__(self, model: DctVae, scene: _Scene):
        self.model, self.scene = model, scene
        self.patches, self.latents_inside, self.pixels = (
            (..., *scene.window.slices(scene.near, a_side))
            for a_side in (1, LATENTS_A_SIDE, PATCH_PX)
        )
        quality = as_map(at_patches(scene.quality))
        self.lmbda = upsampled(model.config.lmbda(quality), PATCH_PX)
        self.original = scene.shown(scene.ycbcr)
        self.contexts = scene.context
        targets, self.latents = _first_walk(model, scene)
        self.first = model.context.image(scene.context, scene.quality)[self.pixels]
        self.targets = targets[self.latents_inside]

    @property
    def own(self) -> tuple[Tensor, Tensor]:
        """The symbols of the tile: its context, and its latents in steps."""
        return self.contexts[self.patches], self.latents[self.latents_inside]

    def __call__(self, aim: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
        """Take symbols in, and return the loss and the curvature of rounding the context.

        Args:
            aim: (1, C, h, w) the context before it is rounded.
            moved: (1, C', 4h, 4w) what is added to the targets of the latents, in steps.
        """
        model, scene = self.model, self.scene
        context, curvature = _rounded(aim * scene.masks[0], model.context.gain)
        contexts, latents = scene.context.clone(), self.latents.detach().clone()
        contexts[self.patches] = context
        image = model.context.image(contexts, scene.quality)
        off = model.latents.analysis.coefficients(image[self.pixels] - self.first)
        off = off / model.latents.steps(scene.own)
        # one picture needs all of the curvature: nothing averages over what is left of it
        quantizer = TrainingQuantizer(curvature=1.0, shared=0.0)
        posterior = _aimed_at(self.targets + moved - off)
        latents[self.latents_inside] = _code(model, context, scene.own, quantizer, posterior, scene)
        decoded = model.synthesise(contexts, latents, scene.quality)
        error = scene.shown(decoded) - self.original
        prior_bits = model.context.prior.bits(context, scene.own, model.context.norm)
        distortion = (self.lmbda * error.square().mean(1, keepdim=True)).sum()
        self.contexts, self.latents = contexts, latents
        return quantizer.bits.sum() + prior_bits.sum() + distortion, curvature


@torch.enable_grad()
def _search(model: DctVae, scene: _Scene, passes: int) -> tuple[Tensor, Tensor]:
    objective = _Objective(model, scene)
    aim = model.context.unrounded(scene.ycbcr[objective.pixels], scene.own).requires_grad_()
    reach = MAX_COEFFICIENT / model.context.steps(scene.own)  # what priors reckon with
    moved = torch.zeros_like(objective.targets, requires_grad=True)
    groups = [{"params": [x], "lr": lr} for x, lr in zip((aim, moved), RATES, strict=True)]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    least, best = torch.inf, objective.own
    for number in range(passes + 1):
        torch.set_grad_enabled(number < passes)  # the last one only looks
        loss, curvature = objective(aim, moved)
        if loss.item() < least:
            context, latents = objective.own
            least, best = loss.item(), (context.detach(), latents.detach())
        if number < passes:
            aim.grad, moved.grad = torch.autograd.grad(loss + curvature, (aim, moved))
            optimiser.step()
            aim.data.clamp_(-reach, reach)
    return best


def _aimed_at(targets: Tensor) -> Posterior:
    """Return the posterior that brings latents as near as rounding can to targets (1, C, h, w)."""

    def residual(step: CodingStep, h: Tensor, mean: Tensor) -> Tensor:
        return targets[:, step.start : step.stop] - mean

    return residual


class _Masked:
    """Codes the channels of a mask (C, 1, 1); the others stay at their means."""

    def __init__(self, coder: SymbolCoder, mask: Tensor):
        self.coder, self.mask = coder, mask[:, :, 0]

    def code(
        self,
        step: CodingStep,
        number: int,
        prediction: Prediction,
        residual: Callable[[], Tensor],
    ) -> Tensor:
        """See `codec.symbols.walk.SymbolCoder`."""
        mask = self.mask[step.start : step.stop] > 0
        chosen = mask[:, 0]
        part = Prediction(prediction.mean[:, chosen], prediction.quarters[:, chosen])
        coded = self.coder.code(step, number, part, lambda: residual()[:, chosen])
        offset = coded.new_zeros(prediction.mean.shape)
        offset[:, chosen] = coded
        return offset


def _code(
    model: DctVae,
    context: Tensor,
    quality: Quality,
    coder: SymbolCoder,
    posterior: Posterior,
    scene: _Scene,
) -> Tensor:
    """Walk the trunk; returns latents of the channels that are coded, zero in the others."""
    mask = scene.masks[1]
    if scene.is_grey:
        coder = _Masked(coder, mask)
    return model.code_latents(context, quality, coder, posterior) * mask


def _rounded(aim: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Round the context as `TrainingQuantizer` rounds latents of large scales.

    Args:
        aim: (1, C, h, w) the context before rounding.
        gain: (C,) of its steps.

    Returns:
        The context, and the bits that the distortion's curvature adds: zero. Both have a gradient.
    """
    symbols = torch.floor(aim.detach() + 0.5)
    rest = aim.detach() - symbols
    moved = 4 * rest.abs() * (aim - aim.detach())
    curvature = 2 * CURVATURE * gain.square()[:, None, None] * rest * moved
    return symbols + moved, curvature.sum()


@torch.no_grad()
def _first_walk(model: DctVae, scene: _Scene) -> tuple[Tensor, Tensor]:
    """Return where the encoder would put the latents of the scene, and where rounding does."""
    height, width = (LATENTS_A_SIDE * side for side in scene.near.size)
    targets = torch.zeros(1, model.config.latent_channels, height, width)

    def noted(step: CodingStep, h: Tensor, mean: Tensor) -> Tensor:
        residual = scene.posterior(step, h, mean)
        here = place(pick(residual + mean, step.squares), step.squares, height, width)
        targets[:, step.start : step.stop] += here
        return residual

    latents = _code(model, scene.context, scene.quality, Rounder(), noted, scene)
    return targets, latents
