from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from hvae_codec.models.config import ModelConfig
from hvae_codec.models.dct import to_ycbcr
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.errors import WeightsError
from hvae_codec.models.leaves import INTEGER
from hvae_codec.models.priors import DEFAULT_PRIOR, OTHERS
from hvae_codec.models.training.contexts import (
    FitConfig,
    fit,
    float_norm,
    load_prior,
    save_prior,
)
from hvae_codec.models.training.data import ImageCache
from hvae_codec.models.training.losses import prior_bpp


@pytest.fixture(scope="module")
def frozen(tiny_model: DctVae) -> DctVae:
    return tiny_model.frozen()


@pytest.fixture(scope="module")
def photographs(clouds: Tensor, tmp_path_factory: pytest.TempPathFactory) -> ImageCache:
    folder = tmp_path_factory.mktemp("clouds")
    for number, cloud in enumerate(clouds):
        Image.fromarray(cloud.permute(1, 2, 0).byte().numpy()).save(folder / f"{number}.png")
    return ImageCache(folder, folder / "cache")


def context_bpp(prior: Any, norm: Any, model: DctVae, clouds: Tensor) -> float:  # noqa: ANN401
    """Mean bits a pixel of the contexts of images at quality 50."""
    at = torch.full((len(clouds),), 50)
    with torch.no_grad():
        return float(prior_bpp(prior, model.context(to_ycbcr(clouds), at), at, norm).mean())


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "gaussian-diffusion"])
def test_fitting_saves_bits_and_survives_freezing(
    frozen: DctVae, clouds: Tensor, photographs: ImageCache, tmp_path: Path, name: str
) -> None:
    pytest.importorskip("compressai")
    norm = float_norm(frozen)
    # mixtures start near their end, and must not be driven from it
    rate, most = (0.02, 0.98) if name == "factorised" else (0.003, 1.005)
    config = {"side": 4, "batch": 4, "learning_rate": rate}
    started, fitted = (
        fit(frozen, name, photographs, FitConfig(steps=n, **config)) for n in (1, 60)
    )
    before, after = (context_bpp(p, norm, frozen, clouds) for p in (started, fitted))
    assert after < most * before
    save_prior(tmp_path / "prior.pt", frozen, name, fitted)
    model = frozen.with_prior(*load_prior(tmp_path / "prior.pt", frozen.config))
    assert model.config.other_priors == (name,)
    integer = context_bpp(model.entropy.priors[name], model.entropy.norm, model, clouds)
    assert integer == pytest.approx(after, rel=0.01)
    for key, values in frozen.state_dict().items():
        assert torch.equal(model.state_dict()[key], values), key


def test_the_masked_diffusion_goes_on_from_where_it_is(
    frozen: DctVae, clouds: Tensor, photographs: ImageCache, tmp_path: Path
) -> None:
    rate = {"learning_rate": 0.002, "batch": 4, "side": 4}
    fitted = fit(frozen, DEFAULT_PRIOR, photographs, FitConfig(steps=30, **rate))
    save_prior(tmp_path / "prior.pt", frozen, DEFAULT_PRIOR, fitted)
    model = frozen.with_prior(*load_prior(tmp_path / "prior.pt", frozen.config))
    assert model.config == frozen.config
    norm = frozen.entropy.norm
    before, after = (context_bpp(m.entropy.prior, norm, frozen, clouds) for m in (frozen, model))
    assert after < 0.97 * before
    in_float = context_bpp(fitted, float_norm(frozen), frozen, clouds)
    assert after == pytest.approx(in_float, rel=0.01)
    for key, values in frozen.state_dict().items():
        if not key.startswith("entropy.priors."):
            assert torch.equal(model.state_dict()[key], values), key


def test_the_gaussian_diffusion_can_learn_from_pseudo_inputs(
    frozen: DctVae, photographs: ImageCache
) -> None:
    config = FitConfig(steps=3, side=4, batch=2, pseudo_inputs=True)
    torch.manual_seed(0)
    noisy, rounded = (
        fit(frozen, "gaussian-diffusion", photographs, replace(config, pseudo_inputs=p))
        for p in (True, False)
    )
    pairs = zip(noisy.parameters(), rounded.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)
    assert all(bool(one.isfinite().all()) for one in noisy.parameters())
    with pytest.raises(WeightsError, match="factorised has no pseudo-inputs"):
        fit(frozen, "factorised", photographs, config)


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
