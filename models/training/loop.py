"""The training loop: resumable at any step, on CPU, on one GPU or, under torchrun, on several."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ...codec.config import PRESETS
from ...codec.errors import DataError, WeightsError
from ...codec.rate_control.score import check_metric
from ..dct_vae import DctVae
from ..descent import descend
from ..networks.blocks import Block, FixedBlock
from ..networks.dct import to_ycbcr
from . import graphics
from .config import BatchSizes, TrainConfig
from .data import CropDataset, ImageCache, batches, validation_images
from .losses import Terms, objective, validate
from .precision import mixed_precision
from .state import Run
from .stopping import stopping

MAX_SKIPPED = 50
SIMULATED = 0.4
"""Share of a run by the clock that trains with simulated integers."""

Loader = Iterable[tuple[Tensor, Tensor]]


class Objective(nn.Module):
    """The loss as a module, which DistributedDataParallel and torch.compile can wrap."""

    def __init__(self, model: DctVae, config: TrainConfig):
        super().__init__()
        self.model, self.qualities, self.eye = model, config.qualities, config.eye

    def forward(self, crops: Tensor, wide: Tensor) -> tuple[Tensor, Terms]:
        """See `losses.objective`."""
        return objective(self.model, crops, wide, self.qualities, self.eye)


def learning_rate_at(step: int, spent: float, config: TrainConfig) -> float:
    """Return the rate of `step` relative to the peak: warm-up, constant, cosine to 2 %.

    By the clock, of which `spent` is the share that is over, there is no constant part.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    left = (config.steps - step) / max(1, config.cooldown)
    if config.by_clock:
        left = min(1 - spent, 1 - 1e-9)
    if left >= 1:
        return warm
    cosine = 0.5 * (1 - math.cos(math.pi * max(0.0, left)))
    return warm * (0.02 + 0.98 * cosine)


def train(config: TrainConfig) -> None:
    """Train until `steps`, `minutes`, SIGTERM or Ctrl-C, writing checkpoint.pt and metrics.jsonl.

    Raises:
        OSError: a folder holds no images.
        DataError: the loss stays infinite.
        WeightsError: the preset is unknown, a checkpoint is none, or it is of a run with other
            settings or images.
        MetricMissing: it is for the eye, and the metric's package is not installed.
        KeyboardInterrupt: Ctrl-C was pressed; all is saved, unless the run had not begun.
    """
    if config.preset not in PRESETS:
        raise WeightsError(f"preset {config.preset} is not one of {', '.join(PRESETS)}")
    if config.eye:
        check_metric()
    began = time.monotonic()
    with _world() as (rank, world, device), ThreadPoolExecutor(1) as beside:
        config.out.mkdir(parents=True, exist_ok=True)
        run = Run(config, device)
        if run.step >= config.end:
            if rank == 0:
                tqdm.write(f"the run is at step {run.step} of {config.steps}: give more --steps")
            return
        reading = beside.submit(ImageCache, config.data, config.out.parent / "cache")
        if config.compile:  # while photographs are read
            compile_blocks(run.model)
            _warm_up(run, Objective(run.model, config))
        cache = reading.result()
        if run.fresh:
            sample = CropDataset(cache, BatchSizes(128, 128, 0), steps=1, seed=1)[0][0]
            run.model.start_from(to_ycbcr(sample.to(device).float()))
            run.averaged.load_state_dict(run.model.state_dict())
        if not config.sizes.wide_crops:
            run.model.context.prior.requires_grad_(False)  # nothing teaches it
        images = validation_images(config.valid, config.valid_images)
        loss_of: nn.Module = Objective(run.model, config)
        if world > 1:
            loss_of = DistributedDataParallel(loss_of)
        seed = config.seed * world + rank
        loader = batches(cache, config.sizes, run.step, config.end, seed, config.workers)
        with stopping() as stopped:
            ends = began + 60 * config.minutes
            _loop(run, loss_of, loader, images, stopped, ends, main=rank == 0)


def compile_blocks(model: nn.Module) -> None:
    """Compile the residual blocks, which are most of the work, each kind once.

    All of a model in one graph takes longer to compile than it saves.
    """
    for module in model.modules():
        if isinstance(module, Block | FixedBlock):
            module.compile(dynamic=False)


def _warm_up(run: Run, loss_of: nn.Module) -> None:
    """Compile what a step computes, with simulated integers and without, on drawn crops."""
    sizes = run.config.sizes
    drawn = [graphics.draw(np.random.default_rng(0), sizes.crop_px)] * sizes.crops
    crops = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).to(run.device)
    for simulated in (True, False):
        run.model.simulate_integers(simulated)
        with mixed_precision(run.device):
            loss, _ = loss_of(crops, crops[:0])
        loss.backward()
    run.optimiser.zero_grad(set_to_none=True)


@contextlib.contextmanager
def _world() -> Iterator[tuple[int, int, torch.device]]:
    """Yield (rank, number of processes, device), joined if torchrun started this process."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield 0, 1, torch.device("cuda" if cuda else "cpu")
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    local = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    try:
        yield dist.get_rank(), dist.get_world_size(), device
    finally:
        dist.destroy_process_group()


def _loop(
    run: Run,
    loss_of: nn.Module,
    loader: Loader,
    images: list[Tensor],
    stopped: threading.Event,
    ends: float,
    main: bool,
) -> None:
    """Take steps until the loader ends, the time is up or someone stopped it; report at the end."""
    config = run.config
    began = last = validated = time.monotonic()
    total = None if config.by_clock else config.steps
    bar = tqdm(total=total, initial=run.step, disable=not main, mininterval=5)
    running = torch.zeros(3)  # loss, bpp, norm of the gradient
    spent = 0.0
    for crops, wide in loader:
        values = _step(run, loss_of, crops, wide, spent)
        if run.step % 20 == 0 or not running.any():
            values = values.cpu()
            running = 0.95 * running + 0.05 * values if running.any() else values
            bar.set_postfix_str(f"loss {running[0]:.3f} bpp {running[1]:.3f} grad {running[2]:.2f}")
            bar.update(run.step - bar.n)
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        spent = _largest((now - began) / max(ends - began, 1e-9), run.device)
        over = bool(_largest(stopped.is_set(), run.device)) or spent >= 1 or run.step == config.end
        if main and (over or now - validated > config.valid_every_s):
            _report(run, images, running)
            last = validated = time.monotonic()
        if over:
            bar.update(run.step - bar.n)
            bar.close()
            return


def _step(run: Run, loss_of: nn.Module, crops: Tensor, wide: Tensor, spent: float) -> Tensor:
    """Take one step; return its (3,) loss, bits a pixel and norm of the gradient."""
    config, device = run.config, run.device
    last = run.step >= config.steps - config.simulate
    if spent >= 1 - SIMULATED if config.by_clock else last:
        run.model.simulate_integers()
        run.averaged.simulate_integers()
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(hash((config.seed, rank, run.step)))  # so that noise resumes as well
    rate = config.learning_rate * learning_rate_at(run.step, spent, config)
    for group, share in zip(run.optimiser.param_groups, (1.0, config.linear_rate), strict=True):
        group["lr"] = rate * share
    with mixed_precision(device):
        loss, terms = loss_of(
            crops.to(device, non_blocking=True), wide.to(device, non_blocking=True)
        )
    norm, taken = descend(loss, run.model.parameters(), run.optimiser, config.clip)
    run.skipped = 0 if taken else run.skipped + 1
    if taken:
        run.average.update_parameters(run.model)
    elif run.skipped == MAX_SKIPPED:
        raise DataError(f"the gradient was not finite in {MAX_SKIPPED} steps in a row")
    run.step += 1
    return torch.stack([loss, terms.bpp.mean(), norm]).detach()


def _largest(value: float, device: torch.device) -> float:
    """Return the largest value of any process, so that all do the same at the same step."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(float(value), device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return float(shared)


def _validated(config: TrainConfig) -> list[int]:
    lowest, highest = config.qualities
    within = [quality for quality in config.valid_qualities if lowest <= quality <= highest]
    return within or [(lowest + highest) // 2]


def _report(run: Run, images: list[Tensor], running: Tensor) -> None:
    """Save the checkpoint, then append a line of metrics on the averaged weights."""
    run.save()
    with mixed_precision(run.device):
        rows = validate(run.averaged, images, _validated(run.config))
    line = {
        "step": run.step,
        "hours": run.seconds / 3600,
        "train_loss": running[0].item(),
        "valid_loss": sum(row.loss for row in rows) / len(rows),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    with (run.config.out / "metrics.jsonl").open("a") as out:
        out.write(json.dumps(line) + "\n")
    curve = " ".join(f"{row.bpp:.3f}/{row.psnr:.2f}" for row in rows)
    tqdm.write(f"step {run.step}: valid loss {line['valid_loss']:.4f}, bpp/dB {curve}")
