from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hvae_codec.models.vae import Hvae
from hvae_codec.models.vae.coders import (
    Distribution,
    First,
    Generation,
    Inference,
    Posterior,
)
from hvae_codec.models.vae.reconstruction import from_first, ms_ssim

OPTIONS = [
    {},
    {"context": "dct"},
    {"context": "dct", "context_code": "lattice", "prior": "diffusion"},
    {"context": "downsample", "prior": "mixture"},
    {"context": "linear", "prior": "gaussian"},
    {"prior": "vamp"},
    {"prior": "diffusion"},
    {"readout": "path"},
    {"readout": "bottom"},
    {"pixelcnn_layers": 2},
    {"likelihood": "logistic", "mixtures": 2},
    {"inference": "serial", "readout": "bottom", "latent_channels": 2, "rho": 0.9},
    {"inference": "serial", "readout": "bottom", "skips": True, "prior": "vamp"},
]


class Given:
    """Takes values that were drawn before."""

    def __init__(self, values: list[Tensor]):
        self.values = values

    def code(self, layer: int, prior: Distribution, posterior: Callable[[], Posterior]) -> Tensor:
        return self.values[layer]


def awake(model: Hvae) -> Hvae:
    """Give weights to the heads that begin at zero."""
    for p in model.parameters():
        if p.dim() > 1 and not p.any():
            torch.nn.init.normal_(p, std=0.1)
    return model.eval()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_learns_and_draws(small, bars: Tensor, options: dict) -> None:  # noqa: ANN001
    model = awake(Hvae(small(**options))).train()
    model.fit(lambda: [bars])
    terms = model.terms(bars[:4])
    (-terms.elbo.mean()).backward()
    assert len(terms.layers) == 4 + ("context" in options)
    still = {
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    }
    # What follows z_1 is of use only where the readout sees h_1.
    assert all(name.startswith("hierarchy.layers.3.") for name in still), still
    drawn, _ = model.eval().sample(3)
    assert drawn.shape == (3, 1, 16, 16) and drawn.isfinite().all()


def test_generation_meets_the_priors_of_inference(small, bars: Tensor) -> None:  # noqa: ANN001
    """The walk is one: with the same values it ends at the same features, with an image or not."""
    model = awake(Hvae(small(context="dct")))
    walked = model.infer(Inference(), bars[:4])
    assert walked.context is not None
    again = model.walk(Given([walked.context, *walked.latents]), 4)
    assert torch.equal(again.features, walked.features)


def test_layers_come_from_q_up_to_a_number(small, bars: Tensor) -> None:  # noqa: ANN001
    model = awake(Hvae(small(context="dct")))
    asked = Inference()
    model.infer(First(3, asked, Generation()), bars[:4])
    assert [terms.layer for terms in asked.terms] == [0, 1, 2]
    everything = Inference()
    model.infer(First(5, everything, Generation()), bars[:4])
    assert len(everything.terms) == 5


def test_without_an_image_no_posterior_can_be_asked(small, serial) -> None:  # noqa: ANN001
    for config in (small(), small(context="dct"), serial()):
        with pytest.raises(ValueError, match="a posterior needs an image"):
            Hvae(config).walk(Inference(), 2)


def test_aggregation_ties_the_image_to_every_layer(small, bars: Tensor) -> None:  # noqa: ANN001
    for kind, layers in (("aggregate", [0, 1, 2, 3]), ("bottom", [3])):
        model = awake(Hvae(small(readout=kind)))
        walked = model.infer(Inference(), bars[:2])
        latents = [z.detach().requires_grad_() for z in walked.latents]
        features = model.readout(latents, torch.zeros(2, 8, 8, 8))
        gradients = torch.autograd.grad(features.sum(), latents, allow_unused=True)
        assert [i for i, g in enumerate(gradients) if g is not None and g.any()] == layers


def test_serial_inference_is_markov(serial) -> None:  # noqa: ANN001
    """z_2 depends on the image through z_1 alone."""
    model = Hvae(serial())
    x = torch.rand(3, 1, 4, 4).requires_grad_()
    torch.manual_seed(1)
    drawn = model.hierarchy.encode(x)
    second = model.hierarchy.posteriors[1]([drawn[0].z])  # type: ignore
    assert torch.equal(second.mean, drawn[1].normal.mean)  # type: ignore


def test_ms_ssim() -> None:
    x = torch.rand(2, 1, 32, 32)
    assert torch.allclose(ms_ssim(x, x), torch.ones(2))
    near, far = (x + 0.05 * torch.randn_like(x)), torch.rand(2, 1, 32, 32)
    assert (ms_ssim(x, near) > ms_ssim(x, far)).all()
    small = torch.rand(2, 1, 16, 16)
    assert torch.allclose(ms_ssim(small, small), torch.ones(2))
    with pytest.raises(ValueError, match="8 pixels are too few"):
        ms_ssim(x[..., :8, :8], x[..., :8, :8])


def test_the_first_layers_are_those_of_the_image(small, bars: Tensor) -> None:  # noqa: ANN001
    """With no layer from q the image does not matter; with all of them it is inference."""
    model = awake(Hvae(small(context="dct")))
    model.fit(lambda: [bars])

    def rebuilt(x: Tensor, count: int) -> Tensor:
        torch.manual_seed(5)
        return from_first(model, x, count)

    a, b = bars[:4], bars[4:8]
    assert torch.equal(rebuilt(a, 0), rebuilt(b, 0))
    assert not torch.equal(rebuilt(a, 1), rebuilt(b, 1))
    torch.manual_seed(5)
    with torch.no_grad():
        walked = model.infer(Inference(), a)
        assert torch.equal(rebuilt(a, 5), model.likelihood.mean(walked.features))
