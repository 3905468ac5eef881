"""Fits one prior of the context alone. The context has no weights, so no network runs for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..config import PATCH_PX, ModelConfig
from ..dct import to_ycbcr
from ..dct_vae import DctVae
from ..errors import DataError, WeightsError
from ..leaves import FLOAT, FloatNorm, IntegerNorm, simulate_integers, thaw
from ..priors import DEFAULT_PRIOR, prior_kind
from ..priors.interface import ContextPrior
from .losses import draw_quality, prior_bpp, prior_loss
from .soap import Soap
from .state import read_saved

START_WINDOWS = 256
"""Windows whose patches a prior starts from."""


@dataclass(frozen=True)
class FitConfig:
    """How a prior is fitted."""

    steps: int = 4000
    learning_rate: float = 3e-3
    batch: int = 8
    side: int = 8
    """Patches a side of the windows."""
    simulate: float = 0.2
    """Last share of the steps, trained with simulated integer arithmetic."""
    minutes: float = float("inf")
    """The learning rate falls to nothing within so long, if `steps` would take longer."""
    seed: int = 0


class ContextWindows:
    """The coefficients of many images, and random windows of patches out of them.

    Args:
        coefficients: (C, h, w) of each image, px.
        side: patches a side of a window; smaller images are left out.

    Raises:
        DataError: no image is as large.
    """

    def __init__(self, coefficients: Iterable[Tensor], side: int):
        self.side = side
        self.grids = [grid for grid in coefficients if min(grid.shape[1:]) >= side]
        if not self.grids:
            raise DataError(f"no image has {side}x{side} patches of {PATCH_PX} px")
        areas = np.array([grid[0].numel() for grid in self.grids], dtype=np.float64)
        self.weights = np.sqrt(areas) / np.sqrt(areas).sum()  # as `data.CropDataset`

    def draw(self, rng: np.random.Generator, count: int) -> Tensor:
        """Return (count, C, side, side) px."""
        windows = []
        for number in rng.choice(len(self.grids), count, p=self.weights):
            grid = self.grids[number]
            top, left = (int(rng.integers(s - self.side + 1)) for s in grid.shape[1:])
            windows.append(grid[:, top : top + self.side, left : left + self.side])
        return torch.stack(windows)


@torch.no_grad()
def coefficients_of(model: DctVae, image: np.ndarray) -> Tensor:
    """Return the context's coefficients (C, h, w), px, of the whole patches of (H, W, 3) uint8."""
    rows, columns = (side // PATCH_PX * PATCH_PX for side in image.shape[:2])
    pixels = torch.tensor(image[:rows, :columns])
    return model.dct.analyse(to_ycbcr(pixels.permute(2, 0, 1)[None].float()))[0]


def fit(model: DctVae, name: str, windows: ContextWindows, config: FitConfig) -> nn.Module:
    """Fit a prior of one name, for a frozen model, and return it in float.

    The masked diffusion goes on from the model's own; others start anew.

    A sample's bits a pixel are divided by sqrt(lambda), as in `losses.objective`, so that all
    qualities pull with like strength.

    Raises:
        WeightsError: no prior has this name.
    """
    torch.manual_seed(config.seed)
    prior: Any = prior_kind(name)(model.config, FLOAT)  # a module and a ContextPrior
    norm = float_norm(model)
    rng = np.random.default_rng(config.seed)
    if name == DEFAULT_PRIOR:
        thaw(model.entropy.prior, prior)
        prior.to(memory_format=torch.channels_last)
        optimiser = Soap(prior.parameters(), config.learning_rate)
    else:
        drawn = windows.draw(rng, START_WINDOWS).transpose(1, 3).flatten(0, 2)
        patches = drawn[torch.randperm(len(drawn))] / model.context_gain
        prior.start_from(patches, norm.spread)
        optimiser = torch.optim.Adam(prior.parameters(), config.learning_rate, betas=(0.9, 0.98))
    began = time.monotonic()
    bar = tqdm(total=config.steps, mininterval=10)
    step, done = 0, 0.0
    while done < 1:
        simulate_integers(prior, done >= 1 - config.simulate)
        rate = min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = rate * config.learning_rate
        quality = draw_quality(config.batch, torch.device("cpu"))
        px = windows.draw(rng, config.batch)
        u = torch.floor(px / model.context_steps(quality) + 0.5)
        loss = prior_loss(prior, u, quality, norm)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
        optimiser.step()
        step += 1
        spent = (time.monotonic() - began) / (60 * config.minutes)
        done = max(step / config.steps, spent)
        bar.update()
        bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
    return prior.eval()


def float_norm(model: DctVae) -> FloatNorm:
    """Return the norm of a frozen model in float."""
    assert isinstance(model.entropy.norm, IntegerNorm)
    norm = FloatNorm(model.config.context_channels)
    thaw(model.entropy.norm, norm)
    return norm


@torch.no_grad()
def context_bpp(
    prior: ContextPrior,
    norm: FloatNorm | IntegerNorm,
    model: DctVae,
    grids: Iterable[Tensor],
    quality: int,
) -> float:
    """Return the mean bits a pixel of the contexts of images, (C, h, w) px, at a quality."""
    at, rates = torch.full((1,), quality), []
    for px in grids:
        u = torch.floor(px[None] / model.context_steps(at) + 0.5)
        rates.append(float(prior_bpp(prior, u, at, norm)))
    return sum(rates) / len(rates)


def save_prior(path: Path, model: DctVae, name: str, prior: nn.Module) -> None:
    """Write a fitted prior, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    saved = {"config": model.config.to_json(), "name": name, "prior": prior.state_dict()}
    torch.save(saved, temporary)
    os.replace(temporary, path)


def load_prior(path: Path, config: ModelConfig) -> tuple[str, nn.Module]:
    """Read what `save_prior` wrote, for weights of a configuration: its name, and it in float.

    Raises:
        WeightsError: it is not a fitted prior, or was fitted to other contexts.
    """
    saved = read_saved(path, {"config", "name", "prior"}, "fitted prior")
    own = ModelConfig.from_json(saved["config"])
    if _shape_of(own, saved["name"]) != _shape_of(config, saved["name"]):
        raise WeightsError(f"{path.name} was fitted to other contexts, or has another shape")
    prior = prior_kind(saved["name"])(own, FLOAT)
    try:
        prior.load_state_dict(saved["prior"])
    except RuntimeError as error:
        raise WeightsError(f"the prior in {path.name} is of another shape") from error
    return saved["name"], prior.eval()


def _shape_of(config: ModelConfig, name: str) -> tuple[object, ...]:
    """Return what the shape of a prior depends on."""
    context = config.luma_context, config.chroma_context
    if name == DEFAULT_PRIOR:
        return *context, config.prior_width, config.prior_zones, config.prior_checkerboards
    return *context, config.prior_components
