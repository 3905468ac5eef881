"""Fits one prior of the context alone. The context has no weights, so no network runs for it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...codec.config import PATCH_PX, ModelConfig
from ...codec.errors import WeightsError
from ..dct_vae import ContextModel, DctVae
from ..descent import descend
from ..integer.convert import simulate_integers, to_float
from ..integer.norms import FloatNorm, IntegerNorm
from ..networks.dct import to_ycbcr
from ..priors import DEFAULT_PRIOR, make_prior
from ..priors.gaussian_diffusion import GaussianDiffusion
from ..saved import read_saved, write_saved
from .config import BatchSizes
from .data import CropDataset, ImageCache, batches
from .losses import draw_quality, prior_bpp, rate_loss
from .precision import mixed_precision
from .pseudo_inputs import PseudoInputs
from .soap import Soap
from .state import load_into

START_CROPS = 256
"""Crops whose patches a prior starts from."""

POOL_CROPS = 512
DRAWS = 4
"""How often a crop is drawn, on average, before it leaves the pool, each time at another quality.
Cutting and transforming crops would take longer than learning from them."""


@dataclass(frozen=True)
class FitConfig:
    """How a prior is fitted."""

    steps: int = 4000
    learning_rate: float = 3e-3
    batch: int = 8
    side: int = 8
    """Patches a side of the crops."""
    simulate: float = 0.2
    """Last share of the steps, trained with simulated integer arithmetic."""
    minutes: float = float("inf")
    """The learning rate falls to nothing within so long, if `steps` would take longer."""
    pseudo_inputs: bool = False
    """Fit the Gaussian diffusion to noisy contexts, as a generative model (`pseudo_inputs`)."""
    seed: int = 0


def fit(
    model: DctVae,
    name: str,
    photographs: ImageCache,
    config: FitConfig,
    is_stopped: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """Fit a prior of one name, for an integer model, and return it in float.

    The masked diffusion goes on from the model's own; others start anew. Crops lie anywhere, turned
    and scaled as for all training: on one grid of patches there are too few contexts to learn from.

    A sample's bits a pixel are divided by sqrt(lambda), as in `losses.objective`, so that all
    qualities pull with like strength.

    Args:
        model: of integers, as a weight file has it.
        name: of the prior.
        photographs: what contexts are cut from.
        config: how it is fitted.
        is_stopped: asked after every step; what is fitted so far is returned then.

    Raises:
        WeightsError: no prior has this name, or this one has no pseudo-inputs.
    """
    torch.manual_seed(config.seed)
    norm = float_norm(model)
    prior, optimiser = _started(model, name, photographs, config, norm)
    noise = None
    if config.pseudo_inputs:
        if not isinstance(prior, GaussianDiffusion):
            raise WeightsError(f"{name} has no pseudo-inputs, only gaussian-diffusion has")
        noise = PseudoInputs(model.context.gain)
        optimiser.add_param_group({"params": [*noise.parameters()]})
    learned = [tensor for group in optimiser.param_groups for tensor in group["params"]]
    began, done = time.monotonic(), 0.0
    bar = tqdm(total=config.steps, mininterval=10)
    for step, (u, quality) in enumerate(_contexts(model, photographs, config), start=1):
        simulate_integers(prior, done >= 1 - config.simulate)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * _warm(step) * (1 + np.cos(np.pi * done)) / 2
        loss = _loss(prior, noise, u, quality, norm, is_mixed=name == DEFAULT_PRIOR)
        descend(loss, learned, optimiser, clip=1.0)
        spent = (time.monotonic() - began) / (60 * config.minutes)
        done = max(step / config.steps, spent)
        bar.update()
        bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
        if done >= 1 or is_stopped():
            break
    return prior.eval()


def _warm(step: int) -> float:
    return min(1.0, step / 100)


def _contexts(
    model: DctVae, photographs: ImageCache, config: FitConfig
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of contexts (B, C, h, w), in steps and not rounded, and their qualities (B,).

    They are drawn from a pool of crops, some of which each batch replaces.
    """
    sizes = BatchSizes(0, 0, max(1, config.batch // DRAWS), PATCH_PX * config.side)
    loader = batches(photographs, sizes, 0, config.steps, config.seed + 1, workers=0)
    pool: deque[Tensor] = deque(maxlen=POOL_CROPS)
    for _, crops in loader:
        pool.extend(_coefficients(model, crops))
        quality = draw_quality(config.batch, torch.device("cpu"))
        drawn = torch.randint(len(pool), (config.batch,)).tolist()
        yield torch.stack([pool[i] for i in drawn]) / model.context.steps(quality), quality


def _loss(
    prior: Any,  # noqa: ANN401
    noise: PseudoInputs | None,
    u: Tensor,
    quality: Tensor,
    norm: FloatNorm,
    *,
    is_mixed: bool,
) -> Tensor:
    """Return the loss of contexts (B, C, h, w), in steps and not rounded."""
    cpu = torch.device("cpu")
    with mixed_precision(cpu) if is_mixed else contextlib.nullcontext():
        if noise is None:
            bpp = prior_bpp(prior, torch.floor(u + 0.5), quality, norm)
        else:
            bpp = noise.bpp(prior, u, quality, norm)
    return rate_loss(bpp, quality)


def _started(
    model: DctVae, name: str, photographs: ImageCache, config: FitConfig, norm: FloatNorm
) -> tuple[Any, torch.optim.Optimizer]:
    """Return a prior, a module and a ContextPrior, where it begins to learn, and its optimiser."""
    if name == DEFAULT_PRIOR:
        prior: Any = to_float(model.context.prior)
        prior.to(memory_format=torch.channels_last)
        return prior, Soap(prior.parameters(), config.learning_rate)
    prior = make_prior(name, model.config)
    sizes = BatchSizes(0, 0, START_CROPS, PATCH_PX * config.side)
    crops = CropDataset(photographs, sizes, 1, config.seed)[0][1]
    drawn = _coefficients(model, crops).transpose(1, 3).flatten(0, 2)
    patches = drawn[torch.randperm(len(drawn))] / model.context.gain
    prior.start_from(patches, norm.spread)
    return prior, torch.optim.Adam(prior.parameters(), config.learning_rate, betas=(0.9, 0.98))


@torch.no_grad()
def _coefficients(model: DctVae, crops: Tensor) -> Tensor:
    """Return the context's coefficients (B, C, h, w), px, of crops (B, 3, 32h, 32w) uint8."""
    return model.context.dct.analyse(to_ycbcr(crops.float()))


def float_norm(model: DctVae) -> FloatNorm:
    """Return the norm of an integer model in float."""
    assert isinstance(model.context.norm, IntegerNorm)
    return model.context.norm.to_float()


def save_prior(path: Path, model: DctVae, name: str, prior: nn.Module) -> None:
    """Write a fitted prior, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    saved = {"config": model.config.to_json(), "name": name, "prior": prior.state_dict()}
    saved["norm"] = model.context.norm.state_dict()
    write_saved(path, saved)


def load_prior(path: Path, context: ContextModel) -> tuple[str, nn.Module]:
    """Read what `save_prior` wrote, for the context of an integer model: its name, and it in float.

    Raises:
        WeightsError: it is not a fitted prior, or was fitted to other contexts.
    """
    saved = read_saved(path, {"config", "name", "prior", "norm"}, "fitted prior")
    own = ModelConfig.from_json(saved["config"])
    norm = context.norm.state_dict()
    is_same = saved["norm"].keys() == norm.keys() and all(
        torch.equal(saved["norm"][name], norm[name]) for name in norm
    )
    if not is_same or _shape_of(own, saved["name"]) != _shape_of(context.config, saved["name"]):
        raise WeightsError(f"{path.name} was fitted to other contexts, or has another shape")
    prior = make_prior(saved["name"], own)
    load_into(prior, saved["prior"], path)
    return saved["name"], prior.eval()


def _shape_of(config: ModelConfig, name: str) -> tuple[object, ...]:
    """Return what the shape of a prior depends on."""
    context = config.luma_context, config.chroma_context
    if name == DEFAULT_PRIOR:
        inside = config.prior_slices, config.prior_hidden
        return *context, config.prior_width, config.prior_zones, *inside
    return *context, config.prior_components
