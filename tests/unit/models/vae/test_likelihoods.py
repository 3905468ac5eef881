import itertools

import pytest
import torch
from torch import Tensor

from hvae_codec.models.vae import VaeConfig
from hvae_codec.models.vae.likelihoods import Autoregressive, Independent


def tiny(**changes: object) -> VaeConfig:
    base = {"image": (1, 3, 3), "scales": ((3, 1),), "width": 6, "pixelcnn_layers": 2}
    return VaeConfig(**(base | changes))  # type: ignore[arg-type]


def every_binary_image() -> Tensor:
    bits = list(itertools.product((0.0, 1.0), repeat=9))
    return torch.tensor(bits).view(-1, 1, 3, 3)


@pytest.mark.parametrize("kind", [Autoregressive, Independent])
def test_all_binary_images_sum_to_one(kind: type[Autoregressive] | type[Independent]) -> None:
    likelihood = kind(tiny())
    for p in likelihood.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = every_binary_image()
    features = torch.randn(1, 6, 3, 3).expand(len(x), -1, -1, -1)
    assert likelihood.log_prob(x, features).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_a_pixel_sees_those_before_it_and_z() -> None:
    likelihood = Autoregressive(tiny())
    for p in likelihood.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = torch.rand(1, 1, 3, 3)
    features = torch.randn(1, 6, 3, 3)
    seen = torch.autograd.functional.jacobian(
        lambda flat: likelihood.network(flat.view(1, 1, 3, 3), features).flatten(), x.flatten()
    )
    assert isinstance(seen, Tensor)
    assert not torch.triu(seen).any() and torch.tril(seen, -1).any()
    from_z = torch.autograd.functional.jacobian(
        lambda f: likelihood.network(x, f).flatten(), features
    )
    assert isinstance(from_z, Tensor)
    assert from_z.flatten(1).any(1).all()


def test_raster_samples_follow_the_masses() -> None:
    likelihood = Autoregressive(tiny())
    for p in likelihood.parameters():
        torch.nn.init.normal_(p, std=0.7)
    features = torch.randn(1, 6, 3, 3)
    x = every_binary_image()
    masses = likelihood.log_prob(x, features.expand(len(x), -1, -1, -1)).exp()
    expected = (masses[:, None] * x.flatten(1)).sum(0)
    with torch.no_grad():
        drawn = likelihood.draw(features.expand(4000, -1, -1, -1))
    # shares of 4,000: five standard errors are 0.04
    assert torch.allclose(drawn.flatten(1).mean(0), expected, atol=0.04)


def test_a_float64_model_has_a_float64_likelihood() -> None:
    likelihood = Autoregressive(tiny()).double()
    x, features = torch.rand(2, 1, 3, 3).double(), torch.randn(2, 6, 3, 3).double()
    expected = likelihood.pixels.log_prob(x, likelihood.network(x, features))
    assert torch.equal(likelihood.log_prob(x, features), expected)
