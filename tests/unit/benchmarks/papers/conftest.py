from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from hvae_codec.benchmarks.papers.data import Sets
from hvae_codec.benchmarks.papers.runner import Runner
from hvae_codec.benchmarks.papers.scales import TINY
from hvae_codec.benchmarks.papers.store import Store


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., Runner]:
    """Runners on drawn strokes in one folder; `told` of each holds what it said."""

    def new(**changes: object) -> Runner:
        told: list[str] = []
        found = Runner(Store(tmp_path / "out"), Sets(None), TINY, tell=told.append)
        for name, value in changes.items():
            setattr(found, name, value)
        found.told = told  # type: ignore[attr-defined]
        return found

    return new
