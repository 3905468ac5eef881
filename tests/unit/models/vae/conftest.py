from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hvae_codec.models.vae import VaeConfig

Config = Callable[..., VaeConfig]


@pytest.fixture
def small() -> Config:
    """Configurations of a few thousand weights, on images of 16x16 pixels."""

    def config(**changes: object) -> VaeConfig:
        base = {
            "image": (1, 16, 16),
            "scales": ((8, 2), (4, 2)),
            "width": 8,
            "hidden": 8,
            "blocks": 1,
            "context_side": 4,
            "diffusion_width": 8,
            "diffusion_steps": 4,
            "components": 3,
        }
        return VaeConfig(**(base | changes))  # type: ignore[arg-type]

    return config


@pytest.fixture
def serial() -> Config:
    """A serial MLP of three layers on images of 4x4 pixels."""

    def config(**changes: object) -> VaeConfig:
        base = {
            "image": (1, 4, 4),
            "inference": "serial",
            "network": "mlp",
            "readout": "bottom",
            "units": (4, 3, 2),
            "mlp_hidden": (8, 8, 8),
        }
        return VaeConfig(**(base | changes))  # type: ignore[arg-type]

    return config


@pytest.fixture
def bars() -> Tensor:
    """Binary images (64, 1, 16, 16), each with one row and one column lit."""
    x = torch.zeros(64, 1, 16, 16)
    for n in range(64):
        x[n, 0, n % 16] = 1
        x[n, 0, :, (5 * n + n // 16) % 16] = 1
    return x
