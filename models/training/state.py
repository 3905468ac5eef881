"""A training run: its settings, and all of its state, saved and loaded whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...codec.config import PRESETS, ModelConfig
from ...codec.errors import WeightsError, about
from ..dct_vae import DctVae
from ..saved import read_saved, write_saved
from ..weight_models import is_weight_file, load_weights
from .config import BatchSizes, TrainConfig
from .data import fingerprint
from .growth import grown, opened
from .soap import Soap

CHECKPOINT = "checkpoint.pt"
LINEAR_PATHS = tuple(
    f"latents.{name}" for name in ("analysis.skeleton", "synthesis.skeleton", "step_gain.knots")
)

FIXED = (
    "preset",
    "start",
    "grow",
    "qualities",
    "eye",
    "learning_rate",
    "linear_rate",
    "warmup",
    "ema",
    "clip",
    "seed",
    "by_clock",
    *(field.name for field in dataclasses.fields(BatchSizes)),
)
"""Settings that a run keeps from its start to its end."""

ENDS = ("steps", "cooldown", "simulate")
"""Settings of its end, which it keeps unless they are given anew."""


def _option(field: str) -> str:
    """Return what the command calls a setting."""
    return "--rate" if field == "learning_rate" else "--" + field.replace("_", "-")


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return what a checkpoint says of the run, by field of `TrainConfig` and `BatchSizes`."""
    values = {**vars(config), **vars(config.sizes)}
    values["start"] = config.start and str(config.start.resolve())
    return {name: values[name] for name in (*FIXED, *ENDS)}


def started_with(saved: dict[str, Any]) -> dict[str, Any]:
    """Return the settings in a checkpoint; an earlier one has the qualities alone."""
    return {"qualities": tuple(saved["qualities"]), **saved.get("settings", {})}


def going_on(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """Return a configuration with the settings that its run was started with.

    Args:
        config: of a run that is resumed.
        given: names of settings that stay as they are.

    Raises:
        WeightsError: OUT/checkpoint.pt is not a checkpoint.
    """
    path = config.out / CHECKPOINT
    if not path.exists():
        return config
    saved = started_with(read_checkpoint(path))
    kept = {name: value for name, value in saved.items() if name not in given}
    if kept.get("start"):
        kept["start"] = Path(kept["start"])
    sizes = {name: kept.pop(name) for name in vars(config.sizes) if name in kept}
    return dataclasses.replace(config, sizes=dataclasses.replace(config.sizes, **sizes), **kept)


def optimiser_for(model: DctVae) -> Soap:
    """SOAP in two groups, as each step sets their rates: networks, then the linear skeleton."""
    named = list(model.named_parameters())
    linear = [p for name, p in named if name in LINEAR_PATHS]
    networks = [p for name, p in named if name not in LINEAR_PATHS]
    assert len(linear) == len(LINEAR_PATHS)
    return Soap([{"params": networks}, {"params": linear}], lr=0.0)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `Run.save` wrote.

    Raises:
        WeightsError: it is not a checkpoint.
    """
    return read_saved(path, {"config", "qualities", "average"}, "checkpoint")


def light(saved: dict[str, Any]) -> dict[str, Any]:
    """Return what `export` and a new run read of a checkpoint, its averages in half precision.

    It takes a twelfth of the bytes: most of them are the optimiser's.
    """
    average = {name: _halved(value) for name, value in saved["average"].items()}
    kept = {key: saved[key] for key in ("config", "qualities", "seconds") if key in saved}
    return {**kept, "average": average}


def _halved(values: Tensor) -> Tensor:
    return values.cpu().half() if values.is_floating_point() else values.cpu()


def load_into(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load the tensors that a file holds of a module.

    Raises:
        WeightsError: they are another module's.
    """
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} is of another version of the model, or of another shape"
        ) from error


def starting_point(path: Path, qualities: tuple[int, int]) -> dict[str, Any]:
    """Read the averaged weights of a checkpoint, or those of a weight file in float, for a new run.

    Args:
        path: of the checkpoint or weight file.
        qualities: of the new run; it starts from the model that serves their middle.

    Raises:
        WeightsError: it is neither.
    """
    with about(path):
        if not is_weight_file(path):
            saved = read_checkpoint(path)
            kept = {key: saved[key] for key in ("config", "average")}
            return kept | {"seconds": saved.get("seconds", 0.0)}
        model = load_weights(path).model_at(sum(qualities) // 2).to_float()
    average = {f"module.{name}": value for name, value in model.state_dict().items()}
    average["n_averaged"] = torch.tensor(0)
    return {"config": model.config.to_json(), "average": average}


def _grown(saved: dict[str, Any]) -> dict[str, Any]:
    config = ModelConfig.from_json(saved["config"])
    average = {name.removeprefix("module."): value for name, value in saved["average"].items()}
    count = average.pop("n_averaged")
    tensors = {f"module.{name}": value for name, value in grown(average, config).items()}
    return {
        **saved,
        "config": opened(config).to_json(),
        "average": {**tensors, "n_averaged": count},
    }


class Run:
    """All state of a run: model, average, optimiser, step. Saved and loaded whole."""

    def __init__(self, config: TrainConfig, device: torch.device):
        self.config, self.device = config, device
        self.path = config.out / CHECKPOINT
        self.images = {name: fingerprint(getattr(config, name)) for name in ("data", "valid")}
        source, saved = self._saved()
        self.step, self.seconds = saved.get("step", 0), saved.get("seconds", 0.0)
        name = saved.get("config")
        self.model_config = ModelConfig.from_json(name) if name else PRESETS[config.preset]
        torch.manual_seed(config.seed)
        self.model = DctVae(self.model_config).to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=False
        )
        self.optimiser = optimiser_for(self.model)
        if source is not None:
            load_into(self.average, saved["average"], source)
            load_into(self.model, saved.get("model", self.average.module.state_dict()), source)
        if "optimiser" in saved:
            if any("steps" not in group for group in saved["optimiser"]["param_groups"]):
                raise WeightsError(f"{self.path.name} is of an earlier optimiser: --start from it")
            self.optimiser.load_state_dict(saved["optimiser"])
        self.fresh = not saved
        self.skipped = 0  # steps in a row whose gradient was not finite

    def _saved(self) -> tuple[Path | None, dict[str, Any]]:
        """Return what the run goes on or starts from, and where that was read; nothing if new."""
        config = self.config
        if config.resume and self.path.exists():
            saved = read_checkpoint(self.path)
            self._check_settings(started_with(saved))
            self._check_images(saved.get("images", {}))  # which earlier ones do not have
            return self.path, saved
        if config.start is None:
            return None, {}
        saved = starting_point(config.start, config.qualities)
        return config.start, _grown(saved) if config.grow else saved

    def _check_settings(self, saved: dict[str, Any]) -> None:
        """Refuse to go on with settings that the run was not started with."""
        own = settings_of(self.config)
        other = [name for name in FIXED if name in saved and saved[name] != own[name]]
        if other:
            told = ", ".join(f"{_option(name)} {saved[name]}, not {own[name]}" for name in other)
            raise WeightsError(f"{self.path.name} is of a run with {told}")

    def _check_images(self, saved: dict[str, str]) -> None:
        """Refuse to go on with other images than those that the run was started with."""
        other = [name for name in saved if saved[name] != self.images[name]]
        if other:
            told = " and ".join(f"--{name}" for name in other)
            raise WeightsError(
                f"{self.path.name} is of a run with other images in {told}: "
                "a new run can --start from it"
            )

    @property
    def averaged(self) -> DctVae:
        """The model of averaged weights: what is validated, and what ships."""
        return cast(DctVae, self.average.module)

    def save(self) -> None:
        """Write the checkpoint whole, or not at all.

        Raises:
            OSError: it cannot be written.
        """
        state = {
            "config": self.model_config.to_json(),
            "qualities": self.config.qualities,
            "settings": settings_of(self.config),
            "images": self.images,
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_saved(self.path, state)
        if self.config.light is not None:
            write_saved(self.config.light, light(state))
