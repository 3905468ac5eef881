import pytest
import torch
import torch.nn.functional as F

from hvae_codec.codec.config import PRESETS
from hvae_codec.models.dct_vae import DctVae
from hvae_codec.models.networks.analysis import Analysis
from hvae_codec.models.networks.synthesis import Synthesis

CONFIG = PRESETS["tiny"]
AT = torch.tensor([50.0, 80.0])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_it_begins_as_the_inverse_of_the_analysis_on_top_of_the_context(
    size: tuple[int, int],
) -> None:
    height, width = (4 * side for side in size)
    coefficients = 40 * noise(2, CONFIG.latent_channels, height, width)
    context_image = 40 * noise(2, 3, 8 * height, 8 * width, seed=1)
    decoded = Synthesis(CONFIG)(context_image, coefficients, AT)
    again = Analysis(CONFIG).coefficients(decoded - context_image)
    torch.testing.assert_close(again, coefficients, atol=1e-3, rtol=0)


@torch.no_grad()
def test_the_correction_sees_context_and_latents_at_their_places(tiny_model: DctVae) -> None:
    synthesis = tiny_model.latents.synthesis
    coefficients, context_image = torch.zeros(2, 140, 12, 12), torch.zeros(2, 3, 96, 96)
    plain = synthesis(context_image, coefficients, AT)
    for number, seen in enumerate((context_image, coefficients)):
        changed = [context_image.clone(), coefficients.clone()]
        side = seen.shape[2] // 12
        changed[number][..., -side:, -side:] = 30.0
        linear = changed[0] + F.pixel_shuffle(F.conv2d(changed[1], synthesis.skeleton), 8)
        correction = synthesis(*changed, AT) - linear - plain
        assert correction[..., -8:, -8:].abs().mean() > 1e-3
        assert correction[..., :48, :48].abs().max() < 1e-3
