from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hvae_codec.codec.config import ModelConfig
from hvae_codec.codec.errors import WeightsError
from hvae_codec.codec.quality.curve import step_of
from hvae_codec.models.dct_vae import ContextModel, DctVae
from hvae_codec.models.integer.convert import to_integer
from hvae_codec.models.integer.norms import Norm
from hvae_codec.models.networks.dct import to_ycbcr
from hvae_codec.models.networks.quantizers import gaussian_bits
from hvae_codec.models.priors import DEFAULT_PRIOR, PRIORS, make_prior
from hvae_codec.models.priors.interface import ContextPrior, ResearchPrior
from hvae_codec.models.training import contexts
from hvae_codec.models.training.contexts import (
    FitConfig,
    fit,
    float_norm,
    load_prior,
    save_prior,
)
from hvae_codec.models.training.data import ImageCache
from hvae_codec.models.training.losses import prior_bpp
from hvae_codec.models.weight_models import Weights
from tests.conftest import PRIORS_AT_HAND

OTHERS = [name for name in PRIORS_AT_HAND if name != DEFAULT_PRIOR]


@pytest.fixture(scope="module")
def integer(integer_weights: Weights) -> DctVae:
    return integer_weights.model_at(50)


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
        return float(
            prior_bpp(prior, model.context.quantise(to_ycbcr(clouds), at), at, norm).mean()
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OTHERS if name != "gaussian-diffusion"])
def test_fitting_saves_bits_and_survives_rounding(
    integer: DctVae, clouds: Tensor, photographs: ImageCache, tmp_path: Path, name: str
) -> None:
    norm = float_norm(integer)
    # mixtures start near their end, and must not be driven from it
    rate, most = (0.02, 0.98) if name == "factorised" else (0.003, 1.005)
    config = {"side": 4, "batch": 4, "learning_rate": rate}
    started, fitted = (
        fit(integer, name, photographs, FitConfig(steps=n, **config)) for n in (1, 60)
    )
    before, after = (context_bpp(p, norm, integer, clouds) for p in (started, fitted))
    assert after < most * before
    save_prior(tmp_path / "prior.pt", integer, name, fitted)
    found, loaded = load_prior(tmp_path / "prior.pt", integer.context)
    assert found == name
    in_integers = context_bpp(to_integer(loaded), integer.context.norm, integer, clouds)
    assert in_integers == pytest.approx(after, rel=0.01)


@pytest.mark.slow
def test_the_masked_diffusion_goes_on_from_where_it_is(
    integer: DctVae, clouds: Tensor, photographs: ImageCache, tmp_path: Path
) -> None:
    before_fit = {k: v.clone() for k, v in integer.context.prior.state_dict().items()}
    rate = {"learning_rate": 0.002, "batch": 4, "side": 4}
    fitted = fit(integer, DEFAULT_PRIOR, photographs, FitConfig(steps=30, **rate))
    save_prior(tmp_path / "prior.pt", integer, DEFAULT_PRIOR, fitted)
    found, loaded = load_prior(tmp_path / "prior.pt", integer.context)
    assert found == DEFAULT_PRIOR
    norm, priors = integer.context.norm, (integer.context.prior, to_integer(loaded))
    before, after = (context_bpp(prior, norm, integer, clouds) for prior in priors)
    assert after < 0.99 * before
    in_float = context_bpp(fitted, float_norm(integer), integer, clouds)
    assert after == pytest.approx(in_float, rel=0.01)
    for key, values in integer.context.prior.state_dict().items():
        assert torch.equal(values, before_fit[key]), key


def test_the_gaussian_diffusion_can_learn_from_pseudo_inputs(
    integer: DctVae, photographs: ImageCache
) -> None:
    config = FitConfig(steps=3, side=4, batch=2, pseudo_inputs=True)
    torch.manual_seed(0)
    noisy, rounded = (
        fit(integer, "gaussian-diffusion", photographs, replace(config, pseudo_inputs=p))
        for p in (True, False)
    )
    pairs = zip(noisy.parameters(), rounded.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)
    assert all(bool(one.isfinite().all()) for one in noisy.parameters())
    with pytest.raises(WeightsError, match="mixture has no pseudo-inputs"):
        fit(integer, "mixture", photographs, config)


def test_pseudo_inputs_are_clipped_and_checked_with_their_prior(
    integer: DctVae, photographs: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watch(loss: Tensor, parameters: list[Any], optimiser: Any, clip: float) -> None:  # noqa: ANN401
        seen.append([{id(p) for p in parameters}, optimiser])

    monkeypatch.setattr(contexts, "descend", watch)
    config = FitConfig(steps=1, side=4, batch=2, pseudo_inputs=True)
    fit(integer, "gaussian-diffusion", photographs, config)
    ((found, optimiser),) = seen
    assert found == {id(p) for group in optimiser.param_groups for p in group["params"]}


class Gaussians(nn.Module):
    """A prior with the methods that its interface asks for, and no more."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.scales = nn.Parameter(torch.ones(config.context_channels))

    def start_from(self, patches: Tensor, spread: Tensor) -> None:
        assert patches.shape[1:] == spread.shape == self.scales.shape
        self.scales.data.copy_(spread)

    def bits(self, u: Tensor, quality: Tensor, norm: Norm) -> Tensor:
        steps = self.scales / step_of(quality)[:, None]
        return gaussian_bits(u, steps[..., None, None]).sum((1, 2, 3))[None]

    def push(self, *arguments: Any) -> None: ...  # noqa: ANN401

    def pop(self, *arguments: Any) -> None: ...  # noqa: ANN401


def test_a_prior_is_fitted_that_has_the_methods_of_the_interface_alone(
    integer: DctVae, photographs: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {name for name in (*vars(ContextPrior), *vars(ResearchPrior)) if name[0] != "_"}
    assert asked == {name for name in vars(Gaussians) if name[0] != "_"}
    monkeypatch.setitem(PRIORS, "gaussians", Gaussians)
    prior = fit(integer, "gaussians", photographs, FitConfig(steps=2, side=4, batch=4))
    assert isinstance(prior, Gaussians)
    start = float_norm(integer).spread
    assert torch.allclose(prior.scales, start, rtol=1e-3) and not torch.equal(prior.scales, start)


def test_a_prior_of_other_contexts_is_refused(integer: DctVae, tmp_path: Path) -> None:
    path = tmp_path / "prior.pt"
    prior = to_integer(make_prior("mixture", integer.config))
    save_prior(path, integer, "mixture", prior)
    with pytest.raises(WeightsError, match=r"prior\.pt was fitted to other contexts"):
        load_prior(path, ContextModel(ModelConfig(luma_context=8)))
    others = deepcopy(integer.context)
    next(iter(others.norm.state_dict().values())).add_(1)  # of as many coefficients
    with pytest.raises(WeightsError, match=r"prior\.pt was fitted to other contexts"):
        load_prior(path, others)
    with pytest.raises(WeightsError, match="of another shape"):
        load_prior(path, integer.context)  # integers, where a prior in float should be
    for junk in (b"", b"none", b"something else", b"PK\x03\x04"):
        path.write_bytes(junk)
        with pytest.raises(WeightsError, match="not a fitted prior"):
            load_prior(path, integer.context)


def test_fitting_ends_when_it_is_told_to(integer: DctVae, photographs: ImageCache) -> None:
    config = FitConfig(steps=10**6, side=4, batch=2)
    asked = iter([False, True])
    prior = fit(integer, "mixture", photographs, config, lambda: next(asked))
    assert not prior.training
    assert not [*asked]
