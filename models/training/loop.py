"""The training loop: resumable at any step, on CPU, on one GPU or, under torchrun, on several."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ...codec.config import PRESETS
from ...codec.errors import DataError, WeightsError
from ..dct import to_ycbcr
from ..dct_vae import DctVae
from .data import BatchSizes, CropDataset, ImageCache, batches, validation_images
from .losses import Terms, objective, validate
from .precision import mixed_precision
from .state import Run, TrainConfig

MAX_SKIPPED = 50
Loader = Iterable[tuple[Tensor, Tensor]]


class Objective(nn.Module):
    """The loss as a module, which DistributedDataParallel and torch.compile can wrap."""

    def __init__(self, model: DctVae, qualities: tuple[int, int]):
        super().__init__()
        self.model, self.qualities = model, qualities

    def forward(self, crops: Tensor, wide: Tensor) -> tuple[Tensor, Terms]:
        """See `losses.objective`."""
        return objective(self.model, crops, wide, self.qualities)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Return the rate of `step` relative to the peak: warm-up, constant, cosine to 2 %."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    left = (config.steps - step) / max(1, config.cooldown)
    if left >= 1:
        return warm
    cosine = 0.5 * (1 - torch.cos(torch.tensor(torch.pi * max(0.0, left))).item())
    return warm * (0.02 + 0.98 * cosine)


def train(config: TrainConfig) -> None:
    """Train until `steps`, `minutes` or SIGTERM, writing checkpoint.pt and metrics.jsonl.

    Raises:
        DataError: a folder holds no images, or the loss stays infinite.
        WeightsError: the preset is unknown, or a checkpoint is none.
    """
    if config.preset not in PRESETS:
        raise WeightsError(f"preset {config.preset} is not one of {', '.join(PRESETS)}")
    with _world() as (rank, world, device):
        config.out.mkdir(parents=True, exist_ok=True)
        cache = _cache(config, rank)
        run = Run(config, device)
        if run.fresh:
            sample = CropDataset(cache, BatchSizes(128, 128, 0), steps=1, seed=1)[0][0]
            run.model.start_from(to_ycbcr(sample.to(device).float()))
            run.averaged.load_state_dict(run.model.state_dict())
        if not config.sizes.wide_crops:
            run.model.context.prior.requires_grad_(False)  # nothing teaches it
        images = validation_images(config.valid, config.valid_images)
        loss_of: nn.Module = Objective(run.model, config.qualities)
        if config.compile:
            loss_of.compile()
        if world > 1:
            loss_of = DistributedDataParallel(loss_of)
        seed = config.seed * world + rank
        loader = batches(cache, config.sizes, run.step, config.steps, seed, config.workers)
        with _sigterm() as stopped:
            _loop(run, loss_of, loader, images, stopped, main=rank == 0)


def _cache(config: TrainConfig, rank: int) -> ImageCache:
    where = config.out.parent / "cache"
    if dist.is_initialized():
        if rank == 0:
            ImageCache(config.data, where)
        dist.barrier()
    return ImageCache(config.data, where)


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


@contextlib.contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets; outside the main thread nothing does."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)


def _loop(
    run: Run,
    loss_of: nn.Module,
    loader: Loader,
    images: list[Tensor],
    stopped: threading.Event,
    main: bool,
) -> None:
    """Take steps until the loader ends, the time is up or someone stopped it; report at the end."""
    config = run.config
    began = last = validated = time.monotonic()
    bar = tqdm(total=config.steps, initial=run.step, disable=not main, mininterval=5)
    running = torch.zeros(3)  # loss, bpp, norm of the gradient
    for crops, wide in loader:
        values = _step(run, loss_of, crops, wide)
        if run.step % 20 == 0 or not running.any():
            values = values.cpu()
            running = 0.95 * running + 0.05 * values if running.any() else values
            bar.set_postfix_str(f"loss {running[0]:.3f} bpp {running[1]:.3f} grad {running[2]:.2f}")
            bar.update(run.step - bar.n)
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        over = _any_rank(stopped.is_set() or now - began > 60 * config.minutes, run.device)
        over = over or run.step == config.steps
        if main and (over or now - validated > config.valid_every_s):
            _report(run, images, running)
            last = validated = time.monotonic()
        if over:
            return


def _step(run: Run, loss_of: nn.Module, crops: Tensor, wide: Tensor) -> Tensor:
    """Take one step; return its (3,) loss, bits a pixel and norm of the gradient."""
    config, device = run.config, run.device
    if run.step >= config.steps - config.simulate:
        run.model.simulate_integers()
        run.averaged.simulate_integers()
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(hash((config.seed, rank, run.step)))  # so that noise resumes as well
    rate = config.learning_rate * learning_rate_at(run.step, config)
    for group, share in zip(run.optimiser.param_groups, (1.0, config.linear_rate), strict=True):
        group["lr"] = rate * share
    with mixed_precision(device):
        loss, terms = loss_of(
            crops.to(device, non_blocking=True), wide.to(device, non_blocking=True)
        )
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.skipped = 0 if torch.isfinite(norm) else run.skipped + 1
    if run.skipped == 0:
        run.optimiser.step()
        run.average.update_parameters(run.model)
    elif run.skipped == MAX_SKIPPED:
        raise DataError(f"the gradient was not finite in {MAX_SKIPPED} steps in a row")
    run.step += 1
    return torch.stack([loss, terms.bpp.mean(), norm]).detach()


def _any_rank(flag: bool, device: torch.device) -> bool:
    """Tell whether any process raised its flag, so that all stop at the same step."""
    if not dist.is_initialized():
        return flag
    shared = torch.tensor(float(flag), device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return bool(shared)


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
