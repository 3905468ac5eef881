"""What a caller has set in PyTorch for all of a process changes no file, and stays as it was."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from hvae_codec.codec import api
from hvae_codec.models.settings import own_settings

SETTINGS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "precision": (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "dtype": (
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "device": (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("effort", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_callers_settings_change_no_file(
    name: str, effort: int, tiny_in_use: object, photograph: np.ndarray
) -> None:
    image = photograph[:40, :56]
    expected = api.encode(image, effort=effort, tune="psnr")
    decoded = np.asarray(api.decode(expected))
    change, restore = SETTINGS[name]
    change()
    try:
        assert api.encode(image, effort=effort, tune="psnr") == expected
        assert np.array_equal(np.asarray(api.decode(expected)), decoded)
        if name == "precision":
            assert torch.get_float32_matmul_precision() == "medium"
        if name == "dtype":
            assert torch.get_default_dtype() == torch.float64
        if name == "device":
            assert torch.get_default_device().type == "meta"
        if name == "deterministic":
            assert torch.are_deterministic_algorithms_enabled()
    finally:
        restore()


def test_of_many_threads_the_last_puts_the_settings_back() -> None:
    torch.set_default_dtype(torch.float64)

    def work(_: int) -> torch.dtype:
        with own_settings():
            return torch.zeros(1).dtype

    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(work, range(50))) == {torch.float32}
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="before PyTorch 2.9")
def test_no_product_is_computed_in_fewer_bits() -> None:
    backends: Any = torch.backends
    before = backends.cudnn.conv.fp32_precision
    with own_settings():
        assert backends.cudnn.conv.fp32_precision == "ieee"
        assert backends.cuda.matmul.fp32_precision == "ieee"
    assert backends.cudnn.conv.fp32_precision == before
