from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hvae_codec.models.config import ModelConfig
from hvae_codec.models.dct import to_ycbcr
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import DataError, WeightsError
from hvae_codec.models.leaves import INTEGER
from hvae_codec.models.priors import DEFAULT_PRIOR, OTHERS
from hvae_codec.models.training.contexts import (
    ContextWindows,
    FitConfig,
    coefficients_of,
    context_bpp,
    fit,
    float_norm,
    load_prior,
    save_prior,
)


@pytest.fixture(scope="module")
def frozen(tiny_model: DctVae) -> DctVae:
    return tiny_model.frozen()


@pytest.fixture(scope="module")
def grids(frozen: DctVae, clouds: Tensor) -> list[Tensor]:
    return [coefficients_of(frozen, cloud.permute(1, 2, 0).byte().numpy()) for cloud in clouds]


def test_coefficients_are_those_of_the_context(
    frozen: DctVae, clouds: Tensor, grids: list[Tensor]
) -> None:
    at = torch.tensor([70])
    u = torch.floor(grids[0] / frozen.context_steps(at) + 0.5)
    assert torch.equal(u, frozen.context(to_ycbcr(clouds[:1]), at))


def test_windows_lie_within_images(grids: list[Tensor]) -> None:
    marked = [torch.full_like(grid, k) for k, grid in enumerate(grids)]
    windows = ContextWindows([*marked, torch.full((68, 2, 9), -1.0)], 3)
    drawn = windows.draw(np.random.default_rng(0), 40)
    assert drawn.shape == (40, 68, 3, 3)
    assert set(drawn.flatten().tolist()) == {0, 1, 2, 3}
    with pytest.raises(DataError, match="9x9 patches"):
        ContextWindows(grids, 9)


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "gaussian-diffusion"])
def test_fitting_saves_bits_and_survives_freezing(
    frozen: DctVae, grids: list[Tensor], tmp_path: Path, name: str
) -> None:
    pytest.importorskip("compressai")
    windows = ContextWindows(grids, 4)
    norm = float_norm(frozen)
    # mixtures start near their end, and must not be driven from it
    rate, most = (0.02, 0.98) if name == "factorised" else (0.003, 1.005)
    config = {"side": 4, "batch": 4, "learning_rate": rate}
    started, fitted = (fit(frozen, name, windows, FitConfig(steps=n, **config)) for n in (1, 60))
    before, after = (context_bpp(p, norm, frozen, grids, 50) for p in (started, fitted))  # type: ignore[arg-type]
    assert after < most * before
    save_prior(tmp_path / "prior.pt", frozen, name, fitted)
    model = frozen.with_prior(*load_prior(tmp_path / "prior.pt", frozen.config))
    assert model.config.other_priors == (name,)
    integer = context_bpp(model.entropy.priors[name], model.entropy.norm, model, grids, 50)
    assert integer == pytest.approx(after, rel=0.01)
    for key, values in frozen.state_dict().items():
        assert torch.equal(model.state_dict()[key], values), key


def test_the_masked_diffusion_goes_on_from_where_it_is(
    frozen: DctVae, grids: list[Tensor], tmp_path: Path
) -> None:
    windows, rate = ContextWindows(grids, 4), {"learning_rate": 0.002, "batch": 4, "side": 4}
    fitted: Any = fit(frozen, DEFAULT_PRIOR, windows, FitConfig(steps=30, **rate))
    save_prior(tmp_path / "prior.pt", frozen, DEFAULT_PRIOR, fitted)
    model = frozen.with_prior(*load_prior(tmp_path / "prior.pt", frozen.config))
    assert model.config == frozen.config
    norm = frozen.entropy.norm
    before, after = (context_bpp(m.entropy.prior, norm, frozen, grids, 50) for m in (frozen, model))
    assert after < 0.97 * before
    assert after == pytest.approx(
        context_bpp(fitted, float_norm(frozen), frozen, grids, 50), rel=0.01
    )
    for key, values in frozen.state_dict().items():
        if not key.startswith("entropy.prior."):
            assert torch.equal(model.state_dict()[key], values), key


def test_a_prior_of_other_contexts_is_refused(frozen: DctVae, tmp_path: Path) -> None:
    path = tmp_path / "prior.pt"
    prior = OTHERS["mixture"](frozen.config, INTEGER)
    save_prior(path, frozen, "mixture", prior)
    with pytest.raises(WeightsError, match=r"prior\.pt was fitted to other contexts"):
        load_prior(path, ModelConfig(luma_context=8))
    with pytest.raises(WeightsError, match="of another shape"):
        load_prior(path, frozen.config)  # integers, where a prior in float should be
    path.write_bytes(b"none")
    with pytest.raises(WeightsError, match="not a fitted prior"):
        load_prior(path, frozen.config)
