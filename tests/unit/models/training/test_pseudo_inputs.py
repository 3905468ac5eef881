import pytest
import torch

from hvae_codec.codec.config import PRESETS
from hvae_codec.codec.quality.curve import step_of
from hvae_codec.models.integer.norms import FloatNorm
from hvae_codec.models.priors.gaussian_diffusion import GaussianDiffusion
from hvae_codec.models.training.pseudo_inputs import PseudoInputs

CHANNELS = PRESETS["tiny"].context_channels


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_sigma_becomes_the_noise_of_rounding(gain: float) -> None:
    """Where coefficients spread over many steps, and a prior that knows no more than that.

    Steps of twice the size may have half of the noise.
    """
    torch.manual_seed(0)
    quality = torch.full((8,), 60.0)
    spread = 2 * step_of(quality[:1]).expand(CHANNELS)
    norm, prior = FloatNorm(CHANNELS), GaussianDiffusion(PRESETS["tiny"])
    norm.spread.copy_(spread)
    prior.start_from(torch.empty(0), spread)
    prior.requires_grad_(False)
    pseudo = PseudoInputs(torch.full((CHANNELS,), gain))
    optimiser = torch.optim.Adam(pseudo.parameters(), lr=0.08)
    for _ in range(80):
        coefficients = 2 * torch.randn(8, CHANNELS, 2, 2)
        loss = pseudo.bpp(prior, coefficients, quality, norm).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(pseudo.sigma().detach().mean()) == pytest.approx(12**-0.5 / gain, rel=0.1)


def test_the_entropy_of_a_gaussian_is_what_a_fitting_prior_needs() -> None:
    """No rounding, and so many steps that the bound is tight."""
    torch.manual_seed(0)
    quality = torch.full((4,), 60.0)
    spread = 5 * step_of(quality[:1]).expand(CHANNELS)
    norm, prior = FloatNorm(CHANNELS), GaussianDiffusion(PRESETS["tiny"], steps=1000)
    norm.spread.copy_(spread)
    prior.start_from(torch.empty(0), spread)
    u = 5 * torch.randn(4, CHANNELS, 8, 8)
    with torch.no_grad():
        bits = torch.stack([prior.bits(u, quality, norm, continuous=True) for _ in range(8)])
    entropy = 0.5 * torch.log2(torch.tensor(2 * torch.pi * torch.e * 25)).item()
    counted = float(bits.sum(dim=1).mean()) / u[0].numel()
    assert counted == pytest.approx(entropy, rel=0.02)
