"""PyTorch's settings of the whole process: the caller's change nothing here, ours nothing there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ..codec.locks import lock

_FULL = ("ieee", "none")

# The child of a fork has no threads but its own: whoever waits for the parent's waits for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


_LOCK = lock()
_users = 0
_before: Callable[[], None]


@contextmanager
def own_settings() -> Iterator[None]:
    """Compute in float32 on the CPU unless told otherwise, in full precision; then put all back.

    The settings belong to the process: another thread that computes meanwhile has ours.
    """
    global _users, _before
    with _LOCK:
        if not _users:
            _before = _take_over()
        _users += 1
    try:
        with torch.device("cpu") if torch.get_default_device().type != "cpu" else nullcontext():
            yield
    finally:
        with _LOCK:
            _users -= 1
            if not _users:
                _before()


def _take_over() -> Callable[[], None]:
    """Set what we need, and return what puts the caller's settings back."""
    dtype = torch.get_default_dtype()
    is_strict = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    reduced = [(p, p.fp32_precision) for p in _places() if p.fp32_precision not in _FULL]
    legacy = None if _places() else torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    for place, _ in reduced:
        place.fp32_precision = "ieee"
    if legacy:
        torch.set_float32_matmul_precision("highest")

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(is_strict, warn_only=warns_only)
        for place, precision in reduced:
            place.fp32_precision = precision
        if legacy:
            torch.set_float32_matmul_precision(legacy)

    return put_back


def _places() -> list[Any]:
    """Return where PyTorch keeps the precision of products; nothing before version 2.9."""
    backends: Any = torch.backends
    if not hasattr(backends.mkldnn, "matmul"):
        return []
    found = [backends.mkldnn.matmul, backends.mkldnn.conv, backends.cuda.matmul]
    return [*found, backends.cudnn.conv]
