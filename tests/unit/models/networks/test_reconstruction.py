import copy

import pytest
import torch
from torch import Tensor

from hvae_codec.codec.quality.curve import lmbda_of
from hvae_codec.codec.symbols.scales import QUARTERS
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.networks.dct import to_ycbcr
from hvae_codec.models.networks.quantizers import Rounder
from hvae_codec.models.networks.reconstruction import BINS, SIZES, Reconstruction
from hvae_codec.models.training.losses import run
from hvae_codec.models.training.reconstruction import fit_reconstruction


def numbered() -> Reconstruction:
    reconstruction = Reconstruction()
    numbers = torch.arange(1.0, BINS * SIZES + 1).view(BINS, SIZES)
    reconstruction.offsets.data.copy_(numbers)
    return reconstruction


def latents_of(model: DctVae, images: Tensor, at: Tensor) -> Tensor:
    ycbcr = to_ycbcr(images)
    context = model.context.quantise(ycbcr, at)
    features = model.latents.features(ycbcr, model.context.image(context, at), at)
    return model.code_latents(context, at, Rounder(), model.latents.posterior(*features, at))


def test_an_offset_goes_by_scale_and_size_and_points_away_from_the_mean() -> None:
    quarters = QUARTERS * torch.tensor([0.0, 1.75, 2.0, 22.0, 63.0, 63.0])
    symbols = torch.tensor([1.0, -2.0, 3.0, 9.0, -1.0, 0.0])
    assert numbered()(quarters, symbols).tolist() == [1, -2, 6, 36, -34, 0]


def test_symbols_with_a_gradient_keep_it_to_themselves() -> None:
    symbols = torch.tensor([1.0, 0.0], requires_grad=True)
    offsets = numbered()(torch.tensor([0.0, 0.0]), symbols)
    offsets.sum().backward()
    assert symbols.grad is None


def test_only_what_is_shown_is_offset(tiny_model: DctVae, clouds: Tensor) -> None:
    at = torch.full((len(clouds),), 40.0)
    models = []
    for offset in (0.0, 0.125):
        model = copy.deepcopy(tiny_model)
        model.latents.reconstruction.offsets.data.fill_(offset)
        models.append(model)
    with torch.no_grad():
        (_, plain), (_, moved) = (run(model, clouds, at, Rounder()) for model in models)
        before, after = (latents_of(model, clouds, at) for model in models)
    assert torch.equal(plain.bpp, moved.bpp)
    assert not torch.equal(plain.mse, moved.mse)
    found = (after - before).round(decimals=3).unique().tolist()
    assert found == pytest.approx([-0.125, 0.0, 0.125], abs=1e-4)


def test_fitting_lowers_the_error_and_leaves_symbols_alone(
    tiny_model: DctVae, clouds: Tensor
) -> None:
    model = tiny_model.to_integer()
    at = torch.full((len(clouds),), 40)
    _, before = run(model, clouds, at, Rounder(), with_prior=False)
    fit_reconstruction(model, [clouds.to(torch.uint8)] * 2, (40, 40))
    _, after = run(model, clouds, at, Rounder(), with_prior=False)
    assert torch.equal(before.bpp, after.bpp)
    weight = lmbda_of(at).sqrt()
    assert (weight * after.mse).mean() < (weight * before.mse).mean()
    assert not any(parameter.requires_grad for parameter in model.parameters())
